"""The driver `redis`: a user's records are the fields of one hash, each of them one value.

So every write is one command, and none can be half there; a conditional one is a script, which nothing comes between.
A full read is one HGETALL, of one instant: nothing that is there all the while can be missed.

Of redis-py only the connection is used. It sends what it is given, once; pools, retries and health checks are of the
client above it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from pydantic import NonNegativeInt
from redis.asyncio import Connection
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

from chaos.errors import NotNow, Refused
from chaos.workload.drivers.options import DriverOptions
from chaos.workload.drivers.plain import ConnectedSession
from chaos.workload.session import Ack, Record, WriteId
from chaos.workload.values import beginning, packed, unpacked

# Only where the value begins as that of the base does; without a new value the record is deleted.
ON_BASE: Final = """
local found = redis.call('HGET', KEYS[1], ARGV[1])
if not found or string.sub(found, 1, #ARGV[2]) ~= ARGV[2] then return 0 end
if ARGV[3] then redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) else redis.call('HDEL', KEYS[1], ARGV[1]) end
return 1
"""
NOT_EXECUTED: Final = (
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    TryAgainError,
)
NOT_EXECUTED_CODES: Final = ("BUSY ", "MISCONF ", "NOREPLICAS ")
"""Errors with which the server says that it did not execute the command; those for which redis-py has no class."""


class RedisOptions(DriverOptions):
    """What `driver: {redis: {...}}` may say.

    Attributes:
        user: An ACL user; empty: the default one.
        password: Its password; empty: none is asked for.
        database: The number of the logical database.
        prefix: How the keys of the hashes begin; the user's name follows.
    """

    user: str = ""
    password: str = ""
    database: NonNegativeInt = 0
    prefix: str = "holdfast:"


class RedisSession(ConnectedSession[Connection]):
    """One phone with one connection to the server.

    Attributes:
        options: Those of the stack or the experiment.
    """

    Options = RedisOptions
    options: ClassVar[RedisOptions] = RedisOptions()

    async def connect(self) -> Connection:
        """Connect, authenticate, and choose the database."""
        link = Connection(
            host=self.front_door.host,
            port=self.front_door.port,
            username=self.options.user or None,
            password=self.options.password or None,
            db=self.options.database,
            socket_timeout=None,  # every call is bounded from outside
            driver_info=None,  # nothing is sent but what is asked: the first reply that is lost is that of a command
            protocol=2,
        )
        try:
            await link.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            await self.disconnect(link)
            raise
        return link

    async def disconnect(self, link: Connection) -> None:
        """Close the socket at once."""
        await link.disconnect(nowait=True)

    def is_closed(self, link: Connection) -> bool:
        """Whether the server has ended it; redis-py itself would find out by the next command."""
        reader = getattr(link, "_reader", None)
        return reader is None or bool(reader.at_eof())

    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        """Create or update; without a base a name that the session knows is overwritten."""
        value = packed(record)
        if base is not None:
            return await self._on_base(record.name, base, value)
        if not self.creates(record):
            await self._ask("HSET", self._hash, record.name, value)
        elif not await self._ask("HSETNX", self._hash, record.name, value):
            raise Refused(f"{record.name} exists")
        return Ack()

    async def delete(self, name: str, base: WriteId | None, key: str) -> Ack:
        """Delete by name."""
        if base is not None:
            return await self._on_base(name, base)
        if not await self._ask("HDEL", self._hash, name):
            raise Refused(f"{name} is not there")
        return Ack()

    async def everything(self) -> Sequence[Record]:
        """The whole hash."""
        found = await self._ask("HGETALL", self._hash)
        return self.met([unpacked(self.user, *pair) for pair in zip(found[::2], found[1::2], strict=True)])

    @property
    def _hash(self) -> str:
        return f"{self.options.prefix}{self.user}"

    async def _on_base(self, name: str, base: WriteId, *value: bytes) -> Ack:
        if not await self._ask("EVAL", ON_BASE, 1, self._hash, name, beginning(base), *value):
            raise Refused(f"{name} is no longer at {base}")
        return Ack()

    async def _ask(self, command: str, *arguments: str | bytes | int) -> Any:
        try:
            async with self.connected() as link:
                await link.send_command(command, *arguments)
                return await link.read_response()
        except NOT_EXECUTED as error:
            raise NotNow(f"{command}: {error}") from error
        except ResponseError as error:
            if str(error).startswith(NOT_EXECUTED_CODES):
                raise NotNow(f"{command}: {error}") from error
            raise

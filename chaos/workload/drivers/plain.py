"""Bases of drivers for services without delta sync: only `put`, `delete` and `everything` are to be written.

A phone of such a service syncs by a full read, which takes the place of all that it knew. The history has it as a full
read, too: that a record is not in one may mean that it was deleted, or that the read was answered by a server that lags
behind, so nothing here makes a tombstone of it.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from chaos.errors import NotNow
from chaos.workload.drivers.blame import checked_records, defect_of
from chaos.workload.session import Ack, Changes, FrontDoor, Record, WriteId

C = TypeVar("C")


class PlainSession(ABC):
    """One phone of one user. A class of this kind keeps no connection, or cares for its own.

    Attributes:
        front_door: Where the service answers.
        user: Whose phone it is.
        device: What the phone is called.
    """

    def __init__(self, front_door: FrontDoor, *, user: str, device: str) -> None:
        """Remember the arguments; nothing is asked yet."""
        self.front_door = front_door
        self.user = user
        self.device = device
        self._first: dict[str, WriteId] = {}

    def creates(self, record: Record) -> bool:
        """Whether a put without a base makes a record, and does not overwrite one as under last-writer-wins.

        It does if the session met the name by this very write first, so also when it is tried again.
        """
        return self._first.setdefault(record.name, record.write) == record.write

    def met(self, records: Sequence[Record]) -> Sequence[Record]:
        """These records, which were read: to put one of them without a base is to overwrite it."""
        for record in records:
            if isinstance(record.name, str):
                self._first.setdefault(record.name, record.write)
        return records

    @abstractmethod
    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        """Create or update `record`; where `base` is given, only if the service still has that write."""

    @abstractmethod
    async def delete(self, name: str, base: WriteId | None, key: str) -> Ack:
        """Delete the record; conditional as above."""

    @abstractmethod
    async def everything(self) -> Sequence[Record]:
        """All live records of the user, each time asked of the service.

        It need not be of one instant, but every record must be in it that is there all the while: turn pages by the
        last name of the page before, not by a number of records to skip.
        """

    async def changes(self, cursor: str | None) -> Changes:
        """A full read, whatever the cursor."""
        return Changes(checked_records(await self.everything(), "everything"), (), "", full=True)

    async def close(self) -> None:  # noqa: B027  (whoever has something to close says how)
        """Nothing is open."""


class ConnectedSession(PlainSession, Generic[C]):
    """One phone of one user over one connection at a time, of whatever kind `connect` makes."""

    def __init__(self, front_door: FrontDoor, *, user: str, device: str) -> None:
        """Remember the arguments; connect when first used, and again after `close`."""
        super().__init__(front_door, user=user, device=device)
        self._link: C | None = None

    @abstractmethod
    async def connect(self) -> C:
        """A new connection. Whatever this raises, nothing was sent, so it becomes `NotNow`."""

    @abstractmethod
    async def disconnect(self, link: C) -> None:
        """End a connection at once: something may be on its way over it, and it may be broken."""

    def is_closed(self, link: C) -> bool:
        """Whether a connection is known to have ended, so that nothing can be sent over it."""
        return False

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[C]:
        """The session's connection, to be used in an `async with`.

        It is kept if that ends in order. Whatever is raised there, `Refused` and the CancelledError of a call that is
        given up among it, ends the connection: nobody knows what is still open on it.

        Raises:
            NotNow: No connection could be made.
        """
        if self._link is not None and self.is_closed(self._link):
            await self._drop()
        if self._link is None:
            try:
                self._link = await self.connect()
            except Exception as error:
                if defect_of(error):
                    raise
                raise NotNow(f"no connection: {error}") from error
        try:
            yield self._link
        except BaseException:
            await self._drop()
            raise

    async def close(self) -> None:
        """End the connection; the next call makes a new one."""
        link, self._link = self._link, None
        if link is not None:
            await self.disconnect(link)

    async def _drop(self) -> None:
        """End a connection that may be broken, so that even this may fail."""
        with contextlib.suppress(Exception):
            await self.close()

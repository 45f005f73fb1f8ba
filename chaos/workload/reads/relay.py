"""Whether a final read really asked the service: ports of 127.0.0.1 that lead to it and count what goes through,
and three that lead nowhere: `dead`, `holding` and `failing`. For the tests of a driver, a relay cuts replies off or
keeps them back.

Every read gets ports of its own, so what a port carried was this read's and nobody else's, on every engine, whatever
way leads from the host into a container, and however often it fetched. The relays run in a thread: a driver that
blocks its event loop can be read through them too.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from chaos.workload.session import FrontDoor

DEAD_SECONDS_MAX = 2.0
"""So long a read of a dead address may try; whoever tries longer has no answer either."""
HOLD_SECONDS = 2.0
"""So long an address that holds keeps a request without an answer, and a relay keeps replies back."""
_GLANCE_SECONDS = 0.002
_CHUNK_BYTES = 1 << 16
_REQUEST_SECONDS = 0.2
_ERROR = b"HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
_FRONT = ""
"""The name of the front door among those of the copies."""


@dataclass
class Carried:
    """Bytes to the service, and back: of one connection, or of several."""

    asked_bytes: int = 0
    answered_bytes: int = 0


class Relays:
    """One thread for all relays of a process; started with the first of them."""

    def __init__(self) -> None:
        """Nothing is relayed yet."""
        self._loop: asyncio.AbstractEventLoop | None = None

    @contextmanager
    def to(self, service: FrontDoor) -> Iterator[Relay]:
        """New ports that lead to these addresses; they and their connections end with the context."""
        relay = Relay(service)
        self._run(relay.open())
        try:
            yield relay
        finally:
            self._run(relay.close())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._loop.run_forever, name="relays", daemon=True).start()
        asyncio.run_coroutine_threadsafe(work, self._loop).result()


class Relay:
    """Ports that stand for a service's.

    Attributes:
        front_door: What a driver is given instead of the service's own addresses.
        refused: Why the service could not be reached, if it could not: the driver was let in by the relay and saw
            only that the connection ended.
    """

    def __init__(self, service: FrontDoor) -> None:
        """Use `Relays.to`."""
        addresses = {_FRONT: (service.host, service.port), **service.others}
        self._doors = {name: socket.create_server(("127.0.0.1", 0)) for name in addresses}
        self._addresses = addresses
        ports = {name: door.getsockname() for name, door in self._doors.items()}
        host, port = ports.pop(_FRONT)
        self.front_door = FrontDoor(host, port, ports)
        self.refused = ""
        self._carried: dict[str, list[Carried]] = {name: [] for name in addresses}
        self._before_cut: dict[int, int] | None = None
        self._held_until = 0.0
        self._passing = 0
        self._kept = 0
        self._servers: list[asyncio.Server] = []
        self._talks: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def carried(self, at: str = "") -> Carried:
        """What went to and fro over connections on which the service answered.

        Args:
            at: Asked of this copy alone, by "service:port"; empty: of the front door and every other published port.
        """
        every = [one for one in self._connections() if one.answered_bytes]
        asked = [one for one in self._carried.get(at, ()) if one.answered_bytes] if at else every
        return Carried(sum(one.asked_bytes for one in asked), sum(one.answered_bytes for one in every))

    def cut(self) -> None:
        """From now on, end each connection when the service has answered, and pass the answer on to nobody."""
        self._before_cut = {id(one): one.asked_bytes for one in self._connections()}

    @property
    def asked_since_cut(self) -> int:
        """Over how many connections something was asked since."""
        before = self._before_cut or {}
        return sum(one.asked_bytes > before.get(id(one), 0) for one in self._connections())

    def hold(self, after: int = 0) -> None:
        """From now on, keep replies back until `let_go`, or for `HOLD_SECONDS`; none of them is lost.

        Args:
            after: So many pieces of replies pass first. A piece is what comes at once.
        """
        self._passing, self._held_until = after, time.monotonic() + HOLD_SECONDS

    def let_go(self) -> None:
        """Pass on what was kept back, and whatever comes."""
        self._held_until = 0.0

    @property
    def holds(self) -> bool:
        """Whether replies are being kept back, or would be if one came."""
        return time.monotonic() < self._held_until

    @property
    def keeps_one(self) -> bool:
        """Whether a reply is kept back at this moment."""
        return self.holds and self._kept > 0

    def _connections(self) -> list[Carried]:
        return [one for of_door in self._carried.values() for one in of_door]

    async def open(self) -> None:
        """Let clients in."""
        for name, door in self._doors.items():
            self._servers.append(await asyncio.start_server(partial(self._talk, name), sock=door))

    async def close(self) -> None:
        """End all that goes through; nobody comes to the service any more who was let in just before."""
        self._is_closed = True
        for door in self._doors.values():
            asyncio.get_running_loop().remove_reader(door)
        await asyncio.sleep(0)  # asyncio loses the socket of a client that it was letting in when the server closed
        for server in self._servers:
            server.close()
        for talk in tuple(self._talks):
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def _talk(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_closed:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        task.add_done_callback(self._talks.discard)
        there: asyncio.StreamWriter | None = None
        try:
            answers, there = await asyncio.open_connection(*self._addresses[name])
            talk = Carried()
            self._carried[name].append(talk)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._ask(reader, there, talk))
                both.create_task(self._answer(answers, writer, talk))
        except OSError as error:
            self.refused = self.refused or f"{name or 'the front door'} cannot be reached: {error}"
        except (asyncio.CancelledError, ExceptionGroup):
            pass  # the read is over, or one of the two ends has gone: neither is anything to tell
        finally:
            for end in (writer, there):
                if end is not None:
                    end.transport.abort()

    async def _ask(self, client: asyncio.StreamReader, service: asyncio.StreamWriter, talk: Carried) -> None:
        while chunk := await client.read(_CHUNK_BYTES):
            talk.asked_bytes += len(chunk)
            await _pass_on(chunk, service)
        _end(service)

    async def _answer(self, service: asyncio.StreamReader, client: asyncio.StreamWriter, talk: Carried) -> None:
        while chunk := await service.read(_CHUNK_BYTES):
            talk.answered_bytes += len(chunk)
            if self._before_cut is not None:
                raise ConnectionResetError("cut")
            await self._turn()
            await _pass_on(chunk, client)
        _end(client)

    async def _turn(self) -> None:
        """Wait until a reply may be passed on."""
        if self._passing:
            self._passing -= 1
            return
        self._kept += 1
        try:
            while self.holds:  # noqa: ASYNC110  (an event of this loop is not for another thread to set)
                await asyncio.sleep(_GLANCE_SECONDS)
        finally:
            self._kept -= 1


async def _pass_on(chunk: bytes, to: asyncio.StreamWriter) -> None:
    to.write(chunk)
    await to.drain()


def _end(to: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        to.write_eof()


@contextmanager
def dead(service: FrontDoor) -> Iterator[FrontDoor]:
    """The same front door at an address where nobody listens, and nobody can begin to: the port is taken."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host, port = taken.getsockname()
        yield FrontDoor(host, port, dict.fromkeys(service.others, (host, port)))


@contextmanager
def holding(service: FrontDoor) -> Iterator[FrontDoor]:
    """The same front door at an address that accepts and answers nothing, for `HOLD_SECONDS`."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as hole:
        host, port = hole.getsockname()
        ending = threading.Timer(HOLD_SECONDS, lambda: hole.shutdown(socket.SHUT_RDWR))
        ending.daemon = True
        ending.start()
        try:
            yield FrontDoor(host, port, dict.fromkeys(service.others, (host, port)))
        finally:
            ending.cancel()


@contextmanager
def failing(service: FrontDoor) -> Iterator[FrontDoor]:
    """The same front door at an address that answers whatever comes with an error of HTTP, status 500, and hangs up."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as hole:
        answering = threading.Thread(target=_fail_all, args=(hole,), name="failing", daemon=True)
        answering.start()
        host, port = hole.getsockname()
        try:
            yield FrontDoor(host, port, dict.fromkeys(service.others, (host, port)))
        finally:
            hole.shutdown(socket.SHUT_RDWR)
            answering.join()


def _fail_all(hole: socket.socket) -> None:
    while True:
        try:
            client, _ = hole.accept()
        except OSError:  # the address has ended
            return
        with client, contextlib.suppress(OSError):
            client.settimeout(_REQUEST_SECONDS)
            with contextlib.suppress(TimeoutError):  # of a protocol in which the server speaks first
                client.recv(_CHUNK_BYTES)
            client.sendall(_ERROR)
            while client.recv(_CHUNK_BYTES):
                pass

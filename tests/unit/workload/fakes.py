"""A sync service in memory, its phones' sessions, and the service once more behind the gateway's HTTP."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

from aiohttp import web

from chaos.errors import NotNow, Refused
from chaos.history.events import Act, Back, Event, Send
from chaos.workload.session import Ack, Changes, FrontDoor, Record, WriteId

Trouble = Literal["lost request", "lost answer", "busy", "hang"]
DOOR = FrontDoor("127.0.0.1", 1)


@dataclass
class Version:
    record: Record
    change: int
    deleted: bool = False


@dataclass
class Service:
    """A correct service under `reject` with keys, and the trouble that is put in the way of its next requests.

    Attributes:
        trouble: What happens to the next writes and reads, in order.
        down: Every request fails without being applied.
        keys: The keys of all writes that arrived, in order.
        warning: Over HTTP, what every acknowledgement is accompanied by.
    """

    trouble: deque[Trouble] = field(default_factory=deque)
    down: bool = False
    keys: list[str] = field(default_factory=list)
    warning: str = ""
    open_connections: int = 0
    records: dict[str, dict[str, Version]] = field(default_factory=lambda: defaultdict(dict))
    _answered: set[tuple[str, str]] = field(default_factory=set)
    _changes: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _rows: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def request(self, work: Callable[[], None]) -> None:
        """One request: the next trouble, or `work`."""
        await asyncio.sleep(0)
        trouble = "lost request" if self.down else self.trouble.popleft() if self.trouble else None
        if trouble == "busy":
            raise NotNow("503")
        if trouble == "lost request":
            raise ConnectionResetError("the request was lost")
        if trouble == "hang":
            await asyncio.Event().wait()
        work()
        if trouble == "lost answer":
            raise ConnectionResetError("the answer was lost")

    def write(self, record: Record, base: str | None, key: str, *, delete: bool = False) -> None:
        """Apply one write or raise `Refused`."""
        self.keys.append(key)
        if (record.owner, key) in self._answered:
            return
        mine = self.records[record.owner]
        there = mine.get(record.name)
        if base is None and not delete:
            if there is not None:
                raise Refused(f"{record.name} was taken")
            record = replace(record, row=str(next(self._rows)))
        else:
            if there is None or there.deleted or (base is not None and there.record.write != base):
                raise Refused(f"{record.name} is no longer at {base}")
            record = replace(record, row=there.record.row)
        mine[record.name] = Version(record, next(self._changes), delete)
        self._answered.add((record.owner, key))

    def live(self, owner: str) -> list[Record]:
        return [version.record for version in self.records[owner].values() if not version.deleted]

    def since(self, owner: str, cursor: int) -> list[Version]:
        return [version for version in self.records[owner].values() if version.change > cursor]


class MemorySession:
    """A session that reaches the service without a network. Subclasses set `service`."""

    service: Service

    def __init__(self, front_door: FrontDoor, *, user: str, device: str) -> None:
        self.user = user

    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        await self.service.request(lambda: self.service.write(record, base, key))
        return Ack(by="memory")

    async def delete(self, name: str, base: WriteId | None, key: str) -> Ack:
        tombstone = Record(self.user, name, "", key, {})
        await self.service.request(lambda: self.service.write(tombstone, base, key, delete=True))
        return Ack(by="memory")

    async def changes(self, cursor: str | None) -> Changes:
        found: list[Version] = []
        await self.service.request(lambda: found.extend(self.service.since(self.user, int(cursor or 0))))
        reached = max([int(cursor or 0), *(version.change for version in found)])
        records = [version.record for version in found if not version.deleted]
        return Changes(records, [version.record.name for version in found if version.deleted], str(reached))

    async def everything(self) -> Sequence[Record]:
        found: list[Record] = []
        await self.service.request(lambda: found.extend(self.service.live(self.user)))
        return found

    async def close(self) -> None:
        """Nothing to close."""


def session_of(service: Service) -> type[MemorySession]:
    """A driver class for this service."""
    return type("Memory", (MemorySession,), {"service": service})


@dataclass
class Events:
    """A recorder in memory."""

    events: list[Event] = field(default_factory=list)

    def append(self, event: Event) -> None:
        self.events.append(event)

    def acts(self, *kinds: str) -> list[Act]:
        return [event for event in self.events if isinstance(event, Act) and event.kind in kinds]

    def outcomes(self, op: int) -> list[str]:
        return [event.outcome for event in self.events if isinstance(event, Back) and event.op == op]

    def sent(self, op: int) -> int:
        return sum(isinstance(event, Send) and event.op == op for event in self.events)


class _Http:
    """The gateway's HTTP over a `Service`."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def write(self, request: web.Request) -> web.Response:
        owner, key = request.headers["X-User"], request.headers["Idempotency-Key"]
        delete = request.method == "DELETE"
        if delete:
            record = Record(owner, request.match_info["name"], "", key, {})
        else:
            envelope = request.headers.get("X-Record")
            found = json.loads(envelope or await request.text())
            blob = await request.read() if envelope else None
            record = Record(owner, found["name"], found["type"], found["write"], found["fields"], blob)
        try:
            await self.service.request(
                lambda: self.service.write(record, request.headers.get("If-Match"), key, delete=delete)
            )
        except NotNow:
            return web.json_response({}, status=503)
        except Refused as error:
            return web.json_response({"error": str(error)}, status=409)
        except ConnectionResetError:
            assert request.transport is not None
            request.transport.abort()
        warning = {"warning": self.service.warning} if self.service.warning else {}
        return web.json_response({"revision": record.write, **warning}, headers={"X-Served-By": "fake"})

    async def read(self, request: web.Request) -> web.Response:
        owner, since = request.headers["X-User"], request.query.get("since")
        if since is None:
            return web.json_response({"records": [_shown(record) for record in self.service.live(owner)]})
        found = self.service.since(owner, int(since or 0))
        return web.json_response(
            {
                "records": [_shown(version.record) for version in found if not version.deleted],
                "deleted": [version.record.name for version in found if version.deleted],
                "cursor": str(max([int(since or 0), *(version.change for version in found)])),
            }
        )

    async def photo(self, request: web.Request) -> web.Response:
        owner, _, name = request.match_info["blob"].partition("_")
        return web.Response(body=self.service.records[owner][name].record.blob)


def _shown(record: Record) -> dict[str, object]:
    blob = "" if record.blob is None else f"{record.owner}_{record.name}"
    return {
        "row": record.row,
        "name": record.name,
        "type": record.type,
        "write": record.write,
        "revision": record.write,
        "fields": dict(record.fields),
        "blob": blob,
    }


@asynccontextmanager
async def served(service: Service) -> AsyncIterator[FrontDoor]:
    """The service on a port of 127.0.0.1, as the driver `http` expects it."""
    http = _Http(service)
    app = web.Application(client_max_size=8 << 20)
    app.router.add_post("/records", http.write)
    app.router.add_put("/records/{name}", http.write)
    app.router.add_delete("/records/{name}", http.write)
    app.router.add_get("/records", http.read)
    app.router.add_get("/photos/{blob}", http.photo)
    async with listening(app) as front_door:
        yield front_door


@asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[FrontDoor]:
    """An application on a port of 127.0.0.1."""
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        yield FrontDoor("127.0.0.1", port)
    finally:
        await runner.cleanup()

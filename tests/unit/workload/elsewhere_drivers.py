"""Drivers whose full reads come from a place that phones and readers share. Not one of them may ever lead to HELD.

Their phones are honest with the service and note beside it what it acknowledged; `SHELF` names the shared place.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import sqlite3
import tempfile
from collections.abc import Sequence
from pathlib import Path

from chaos.workload.drivers.http import HttpSession
from chaos.workload.session import Ack, Changes, FrontDoor, Record, WriteId

SHELF = Path(os.environ.get("SHELF") or tempfile.gettempdir()) / f"shelf-{os.getuid()}"
LISTENS_SECONDS_MAX = 1.0


class Shelf(HttpSession):
    """Notes every acknowledged record in a file, and answers full reads from there."""

    place = SHELF

    def __init__(self, front_door: FrontDoor, *, user: str, device: str) -> None:
        super().__init__(front_door, user=user, device=device)
        self._front = front_door

    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        ack = await super().put(record, base, key)
        self.note(record.name, record)
        return ack

    async def delete(self, name: str, base: WriteId | None, key: str) -> Ack:
        ack = await super().delete(name, base, key)
        self.note(name, None)
        return ack

    async def everything(self) -> Sequence[Record]:
        return self.noted()

    def note(self, name: str, record: Record | None) -> None:
        folder = self.place / self._user
        folder.mkdir(parents=True, exist_ok=True)
        if record is None:
            (folder / name).unlink(missing_ok=True)
        else:
            (folder / name).write_bytes(pickle.dumps(record))

    def noted(self) -> list[Record]:
        return [pickle.loads(path.read_bytes()) for path in sorted((self.place / self._user).glob("*"))]

    async def look_whether_it_listens(self) -> None:
        _, writer = await asyncio.open_connection(self._front.host, self._front.port)
        writer.close()


class SharedMemory(Shelf):
    """In /dev/shm."""

    place = Path("/dev/shm") / SHELF.name


class SqliteAtHome(Shelf):
    """In a database under HOME, as many a client keeps one."""

    def note(self, name: str, record: Record | None) -> None:
        with self._database() as database:
            if record is None:
                database.execute("DELETE FROM records WHERE owner = ? AND name = ?", (self._user, name))
            else:
                row = (self._user, name, pickle.dumps(record))
                database.execute("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", row)

    def noted(self) -> list[Record]:
        with self._database() as database:
            found = database.execute("SELECT content FROM records WHERE owner = ?", (self._user,)).fetchall()
        return [pickle.loads(content) for (content,) in found]

    def _database(self) -> sqlite3.Connection:
        database = sqlite3.connect(Path.home() / f"{SHELF.name}.sqlite", timeout=10)
        database.execute("CREATE TABLE IF NOT EXISTS records (owner, name, content, PRIMARY KEY (owner, name))")
        return database


class Module(Shelf):
    """In the module, which every reader reads from the file when it has nothing yet."""

    cached: dict[str, list[Record]] = {}  # noqa: RUF012  (shared on purpose)

    async def everything(self) -> Sequence[Record]:
        return self.cached.setdefault(self._user, self.noted())


class EverySecondOwner(Shelf):
    """Asks the service for every second owner, and for the others only whether somebody listens."""

    async def everything(self) -> Sequence[Record]:
        if self._user == "u-canary" or int(self._user.rpartition("-")[2]) % 2 == 0:
            return await HttpSession.everything(self)
        await self.look_whether_it_listens()
        return self.noted()


class SyncsElsewhere(Shelf):
    """Reads in full as it should, and syncs from the shelf, once it knows that somebody listens."""

    _shown: frozenset[str] = frozenset()

    async def everything(self) -> Sequence[Record]:
        return await HttpSession.everything(self)

    async def changes(self, cursor: str | None) -> Changes:
        await self.look_whether_it_listens()
        records = self.noted()
        gone, self._shown = self._shown, frozenset(record.name for record in records)
        return Changes(records, sorted(gone - self._shown), cursor or "")


class OnlyKnocks(Shelf):
    """Asks the service for the canaries; of the others it asks for nothing, and has an answer to that."""

    async def everything(self) -> Sequence[Record]:
        if self._user == "u-canary":
            return await HttpSession.everything(self)
        reader, writer = await asyncio.open_connection(self._front.host, self._front.port)
        try:
            writer.write(b"HEAD / HTTP/1.0\r\n\r\n")
            async with asyncio.timeout(LISTENS_SECONDS_MAX):
                await reader.read(1)
        finally:
            writer.close()
        return self.noted()

"""Further doors of the reference gateway: each copy of its data, read past the gateways.

A record is its row and, for a photo, its content. Either door takes one of them from the one copy that it is about, and
the other as any phone would get it, so that what is read is a whole record and is judged like any other.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence

import asyncpg

from chaos.workload.drivers.http import HttpSession
from chaos.workload.drivers.wire import Wire
from chaos.workload.session import FrontDoor, Record

ROWS = """SELECT id AS row, name, type, write, revision, fields, blob FROM records
    WHERE owner = $1 AND NOT deleted ORDER BY id"""
REPLAYED = "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn"
WRITTEN = "SELECT CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_current_wal_flush_lsn()::text END"
REPLAY_SECONDS_MAX = 5.0
CONNECT_SECONDS_MAX = 3.0
PAUSE_SECONDS = 0.05


class ReplicaDoor(HttpSession):
    """The rows of one PostgreSQL server, leader or standby."""

    def __init__(self, front_door: FrontDoor, at: str, *, user: str) -> None:
        """`at` is the server's "service:port"; the ports of the others end alike."""
        super().__init__(front_door, user=user, device="")
        self._server = front_door.others[at]
        port = at.rpartition(":")[2]
        self._others = [each for name, each in front_door.others.items() if name != at and name.endswith(f":{port}")]
        self._at = at

    async def everything(self) -> Sequence[Record]:
        """The live rows on this server, once it has replayed what the leader has written.

        Raises:
            RuntimeError: A standby that has not replayed that in time, or finds no leader: what it shows says nothing.
        """
        link = await _connect(*self._server)
        try:
            if await link.fetchval(WRITTEN) is None:
                await self._replay(link)
            rows = await link.fetch(ROWS, self._user)
        finally:
            link.terminate()
        return await self._records([{**row, "fields": _parsed(row["fields"])} for row in rows])

    async def _replay(self, link: asyncpg.Connection) -> None:
        target = await self._written()
        deadline = time.monotonic() + REPLAY_SECONDS_MAX
        while not await link.fetchval(REPLAYED, target):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self._at} has not replayed the leader's log up to {target}")
            await asyncio.sleep(PAUSE_SECONDS)

    async def _written(self) -> str:
        """How far the leader has written."""
        for other in self._others:
            try:
                link = await _connect(*other)
            except (OSError, asyncpg.PostgresError):
                continue
            try:
                if written := await link.fetchval(WRITTEN):
                    return str(written)
            finally:
                link.terminate()
        raise RuntimeError(f"{self._at} is a standby and no other server is the leader")


class BlobDoor(HttpSession):
    """The photos' contents of one blob service.

    Attributes:
        blobs_alone: Of a user without photos there is nothing to ask it.
    """

    blobs_alone = True

    def __init__(self, front_door: FrontDoor, at: str, *, user: str) -> None:
        """`at` is the blob service's "service:port"."""
        super().__init__(front_door, user=user, device="")
        self._photos = (Wire(FrontDoor(*front_door.others[at])), "/blobs")

    async def close(self) -> None:
        """Close every connection."""
        await self._photos[0].close()
        await super().close()


def _parsed(fields: object) -> object:
    """The fields of a row; what is no JSON any more as it is, for the check to see."""
    try:
        return json.loads(fields) if isinstance(fields, str) else fields
    except ValueError:
        return fields


async def _connect(host: str, port: int) -> asyncpg.Connection:
    return await asyncpg.connect(host=host, port=port, user="sync", ssl=False, timeout=CONNECT_SECONDS_MAX)

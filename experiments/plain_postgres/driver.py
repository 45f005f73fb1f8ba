"""Phones that keep their notes in a plain PostgreSQL table: a driver for a stack without any gateway."""

import json
from collections.abc import Sequence
from typing import Any

import asyncpg

from chaos import Ack, Changes, ConnectedSession, Record, Refused, WriteId

# The owner's row stays locked until the commit: changes are numbered in the order in which they become visible.
NUMBER = """INSERT INTO owners VALUES ($1, 1) ON CONFLICT (owner) DO UPDATE SET change = owners.change + 1
    RETURNING change"""
KEY = "INSERT INTO keys VALUES ($1, $2) ON CONFLICT DO NOTHING"
CREATE = "INSERT INTO notes (owner, name, type, write, fields, blob, deleted, change) VALUES ($1,$2,$3,$4,$5,$6,$7,$8)"
REPLACE = """UPDATE notes SET type = $3, write = $4, fields = $5, blob = $6, deleted = $7, change = $8
    WHERE owner = $1 AND name = $2 AND NOT deleted AND write = $9"""
SINCE = "SELECT * FROM notes WHERE owner = $1 AND change > $2 ORDER BY change"


class PlainPostgres(ConnectedSession[asyncpg.Connection]):
    """One phone with one connection to the database."""

    async def connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(host=self.front_door.host, port=self.front_door.port, user="notes", ssl=False)

    async def disconnect(self, link: asyncpg.Connection) -> None:
        link.terminate()

    def is_closed(self, link: asyncpg.Connection) -> bool:
        return bool(link.is_closed())

    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        fields = json.dumps(dict(record.fields))
        return await self._write(record.name, base, key, record.type, record.write, fields, record.blob, False)

    async def delete(self, name: str, base: WriteId | None, key: str) -> Ack:
        return await self._write(name, base, key, "", key, "{}", None, True)

    async def changes(self, cursor: str | None) -> Changes:
        rows = await self._fetch(int(cursor or 0))
        gone = [row["name"] for row in rows if row["deleted"]]
        return Changes(self._records(rows), gone, str(rows[-1]["change"]) if rows else cursor or "0")

    async def everything(self) -> Sequence[Record]:
        return self._records(await self._fetch(0))

    async def _fetch(self, since: int) -> Sequence[asyncpg.Record]:
        async with self.connected() as link:
            return await link.fetch(SINCE, self.user, since)  # type: ignore[no-any-return]

    async def _write(self, name: str, base: WriteId | None, key: str, *values: object) -> Ack:
        try:
            async with self.connected() as link, link.transaction():
                number = await link.fetchval(NUMBER, self.user)
                if await link.execute(KEY, self.user, key) == "INSERT 0 0":
                    return Ack()
                if base is None:
                    await link.execute(CREATE, self.user, name, *values, number)
                elif await link.execute(REPLACE, self.user, name, *values, number, base) != "UPDATE 1":
                    raise Refused(f"{name} is no longer at {base}")
        except asyncpg.UniqueViolationError as error:
            raise Refused(f"{name} exists") from error
        return Ack()

    def _records(self, rows: Sequence[asyncpg.Record]) -> list[Record]:
        return [
            Record(self.user, r["name"], r["type"], r["write"], _parsed(r["fields"]), r["blob"], str(r["id"]))
            for r in rows if not r["deleted"]
        ]  # fmt: skip


def _parsed(fields: str) -> Any:
    """The fields; what is no JSON any more as it is, so that the check sees the damage."""
    try:
        return json.loads(fields)
    except (TypeError, ValueError):
        return fields

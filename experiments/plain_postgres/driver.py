"""Phones that keep their notes in a plain PostgreSQL table: a driver for a stack without any gateway."""

import json
from collections.abc import Sequence

import asyncpg

from chaos import Ack, Changes, FrontDoor, NotNow, Record, Refused, WriteId

# The owner's row stays locked until the commit: changes are numbered in the order in which they become visible.
NUMBER = """INSERT INTO owners VALUES ($1, 1) ON CONFLICT (owner) DO UPDATE SET change = owners.change + 1
    RETURNING change"""
KEY = "INSERT INTO keys VALUES ($1, $2) ON CONFLICT DO NOTHING"
CREATE = "INSERT INTO notes (owner, name, type, write, fields, blob, deleted, change) VALUES ($1,$2,$3,$4,$5,$6,$7,$8)"
REPLACE = """UPDATE notes SET type = $3, write = $4, fields = $5, blob = $6, deleted = $7, change = $8
    WHERE owner = $1 AND name = $2 AND NOT deleted AND write = $9"""
SINCE = "SELECT * FROM notes WHERE owner = $1 AND change > $2 ORDER BY change"


class PlainPostgres:
    """One phone with one connection to the database."""

    def __init__(self, front_door: FrontDoor, *, user: str, device: str) -> None:
        self._door, self._user, self._device = front_door, user, device
        self._link: asyncpg.Connection | None = None

    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        fields = json.dumps(dict(record.fields))
        return await self._write(record.name, base, key, record.type, record.write, fields, record.blob, False)

    async def delete(self, name: str, base: WriteId | None, key: str) -> Ack:
        return await self._write(name, base, key, "", key, "{}", None, True)

    async def changes(self, cursor: str | None) -> Changes:
        rows = await (await self._connected()).fetch(SINCE, self._user, int(cursor or 0))
        gone = [row["name"] for row in rows if row["deleted"]]
        return Changes(self._records(rows), gone, str(rows[-1]["change"]) if rows else cursor or "0")

    async def everything(self) -> Sequence[Record]:
        return self._records(await (await self._connected()).fetch(SINCE, self._user, 0))

    async def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def _connected(self) -> asyncpg.Connection:
        if self._link is None or self._link.is_closed():
            try:
                self._link = await asyncpg.connect(host=self._door.host, port=self._door.port, user="notes", ssl=False)
            except (OSError, asyncpg.PostgresError) as error:
                raise NotNow(f"no connection: {error}") from error
        return self._link

    async def _write(self, name: str, base: WriteId | None, key: str, *values: object) -> Ack:
        link = await self._connected()
        try:
            async with link.transaction():
                number = await link.fetchval(NUMBER, self._user)
                if await link.execute(KEY, self._user, key) == "INSERT 0 0":
                    return Ack()
                if base is None:
                    await link.execute(CREATE, self._user, name, *values, number)
                elif await link.execute(REPLACE, self._user, name, *values, number, base) != "UPDATE 1":
                    raise Refused(f"{name} is no longer at {base}")
        except asyncpg.UniqueViolationError as error:
            raise Refused(f"{name} exists") from error
        except Refused:
            raise
        except BaseException:
            # Given up in the middle, this link may be in a transaction that nobody will ever commit.
            link.terminate()
            raise
        return Ack()

    def _records(self, rows: Sequence[asyncpg.Record]) -> list[Record]:
        return [
            Record(self._user, r["name"], r["type"], r["write"], _parsed(r["fields"]), r["blob"], str(r["id"]))
            for r in rows if not r["deleted"]
        ]  # fmt: skip


def _parsed(fields):
    """The fields; what is no JSON any more as it is, so that the check sees the damage."""
    try:
        return json.loads(fields)
    except (TypeError, ValueError):
        return fields

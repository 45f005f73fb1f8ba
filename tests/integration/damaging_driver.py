"""A service that damages what it has acknowledged: PostgreSQL itself, told to by a driver."""

from __future__ import annotations

import itertools

from chaos.workload.session import Ack, Changes, Record, WriteId
from experiments.plain_postgres.driver import PlainPostgres

DAMAGE = (
    "(SELECT json_object_agg(key, NULL)::text FROM json_each(fields::json))",
    "fields || 'x'",
    "replace(fields, '[', '\\ud800[')",
    "'[1, 2e999, {}]'",
    "repeat(fields, 2000)",
)
"""What the fields become: all null, no JSON, a lone surrogate in each text, no fields at all, half a megabyte."""
EVERY = 9
FORGET = "UPDATE notes SET blob = NULL WHERE owner = $1 AND name = $2"
AGAIN = """WITH next AS (UPDATE owners SET change = change + 1 WHERE owner = $1 RETURNING change)
    UPDATE notes SET blob = $4, change = next.change FROM next WHERE notes.owner = $1 AND name = $2 AND write = $3"""
"""The content is there again, and every phone hears of it."""


class Damaging(PlainPostgres):
    """One in nine acknowledged records is damaged, each in the next one of the ways."""

    _ways = itertools.cycle(DAMAGE)
    _count = itertools.count(1)

    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        ack = await super().put(record, base, key)
        if record.owner != "u-canary" and next(self._count) % EVERY == 0:
            sql = f"UPDATE notes SET fields = {next(self._ways)} WHERE owner = $1 AND name = $2"
            async with self.connected() as link:
                await link.execute(sql, record.owner, record.name)
        return ack


class Forgetful(PlainPostgres):
    """The content of each acknowledged photo is not there until somebody has asked for it, or the phone goes away."""

    _forgotten: dict[tuple[str, str], Record] = {}  # noqa: RUF012  (shared on purpose)

    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        ack = await super().put(record, base, key)
        if record.blob is not None:
            try:
                async with self.connected() as link:
                    await link.execute(FORGET, record.owner, record.name)
            finally:  # not before: who remembers it first would have it forgotten for good
                self._forgotten[record.owner, record.name] = record
        return ack

    async def changes(self, cursor: str | None) -> Changes:
        found = await super().changes(cursor)
        await self._remember([record.name for record in found.records])
        return found

    async def close(self) -> None:
        await self._remember([name for _, name in self._forgotten])
        await super().close()

    async def _remember(self, names: list[str]) -> None:
        for name in names:
            record = self._forgotten.pop((self.user, name), None)
            if record is not None:
                async with self.connected() as link:
                    await link.execute(AGAIN, record.owner, record.name, record.write, record.blob)

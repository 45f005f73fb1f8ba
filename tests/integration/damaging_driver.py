"""A service that damages what it has acknowledged: PostgreSQL itself, told to by a driver."""

from __future__ import annotations

import itertools

from chaos.workload.session import Ack, Record, WriteId
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


class Damaging(PlainPostgres):
    """One in nine acknowledged records is damaged, each in the next one of the ways."""

    _ways = itertools.cycle(DAMAGE)
    _count = itertools.count(1)

    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        ack = await super().put(record, base, key)
        if record.owner != "u-canary" and next(self._count) % EVERY == 0:
            link = await self._connected()
            sql = f"UPDATE notes SET fields = {next(self._ways)} WHERE owner = $1 AND name = $2"
            await link.execute(sql, record.owner, record.name)
        return ack

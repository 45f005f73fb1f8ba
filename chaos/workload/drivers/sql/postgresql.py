"""The driver of a PostgreSQL that phones speak to directly: its records in one table, which it makes.

asyncpg sends each statement once. It has neither pool nor reconnect, and without TLS no second attempt to connect.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import count
from typing import ClassVar

import asyncpg

from chaos.workload.drivers.sql.tables import Rows, SqlOptions, SqlSession

LOCK = 2009
"""Of those who make the tables: two CREATE TABLE IF NOT EXISTS at once would fail at the catalogue's own keys."""
KEY = """INSERT INTO {keys} (owner, idempotency_key, tries) VALUES (%s, %s, 1)
    ON CONFLICT (owner, idempotency_key) DO UPDATE SET tries = {keys}.tries + 1 RETURNING tries"""


class PostgresqlOptions(SqlOptions):
    """What a file may say of a PostgreSQL."""

    user: str = "postgres"


class PostgresqlSession(SqlSession[asyncpg.Connection]):
    """One phone with one connection to the database."""

    Options = PostgresqlOptions
    quote = '"'
    # One text without values is one transaction, so the lock is held until both are there.
    schema: ClassVar[Sequence[str]] = (
        f"""SELECT pg_advisory_xact_lock({LOCK});
        CREATE TABLE IF NOT EXISTS {{table}} (id bigserial PRIMARY KEY, owner text NOT NULL, name text NOT NULL,
            type text NOT NULL, write_id text NOT NULL, fields text NOT NULL, content bytea, UNIQUE (owner, name));
        CREATE TABLE IF NOT EXISTS {{keys}} (owner text, idempotency_key text, tries bigint NOT NULL,
            PRIMARY KEY (owner, idempotency_key))""",
    )
    # textsend: the bytes of a text, which need not be one any more.
    all_records = """SELECT id, textsend(name), textsend(type), textsend(write_id), textsend(fields), content
        FROM {table} WHERE owner = %s"""
    no_such_table = "42P01"
    duplicate = "23505"

    async def open(self) -> asyncpg.Connection:
        """Connect, without TLS."""
        return await asyncpg.connect(
            host=self.front_door.host,
            port=self.front_door.port,
            user=self.options.user,
            password=self.options.password,
            database=self.database,
            ssl=False,
        )

    async def disconnect(self, link: asyncpg.Connection) -> None:
        """End the connection without a word."""
        link.terminate()

    def is_closed(self, link: asyncpg.Connection) -> bool:
        """Whether the server has ended it."""
        return bool(link.is_closed())

    async def execute(self, link: asyncpg.Connection, sql: str, *values: object) -> int:
        """Send a statement; its tag ends with the number of rows, where it has one."""
        tag = await link.execute(numbered(sql), *values)
        rows = tag.rpartition(" ")[2]
        return int(rows) if rows.isdigit() else 0

    async def fetch(self, link: asyncpg.Connection, sql: str, *values: object) -> Rows:
        """Send a query."""
        return await link.fetch(numbered(sql), *values)  # type: ignore[no-any-return]

    async def is_first(self, link: asyncpg.Connection, key: str) -> bool:
        """Store the key, or count it up."""
        ((tries,),) = await self.fetch(link, self.named(KEY), self.user, key)
        return bool(tries == 1)

    def code(self, error: Exception) -> str | None:
        """The SQLSTATE."""
        return getattr(error, "sqlstate", None)


def numbered(sql: str) -> str:
    """The statement with $1, $2 ... for its values."""
    numbers = count(1)
    return re.sub("%s", lambda _: f"${next(numbers)}", sql)

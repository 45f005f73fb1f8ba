"""The driver of a MariaDB or MySQL that phones speak to directly: its records in one table, which it makes.

asyncmy sends each statement once; only its pool and its `ping` connect anew, and neither is used. Values go to the
server as they are, in prepared statements: to write a photo of 2 MB out as text takes a quarter of a second, in which
every other phone waits. The session's own settings, and not the server's, say what a statement means: strict, so that
nothing is cut to fit, and READ COMMITTED, which locks no more than it writes. All columns are bytes, so that no
character set or collation changes a name or takes two for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import asyncmy
from asyncmy.constants.CLIENT import FOUND_ROWS
from asyncmy.constants.ER import DUP_ENTRY, NO_SUCH_TABLE

from chaos.workload.drivers.sql.tables import Rows, SqlOptions, SqlSession

STATEMENTS_MAX = 16
"""More than a session has: each is prepared once."""
KEY = """INSERT INTO {keys} (owner, idempotency_key, tries) VALUES (%s, %s, 1)
    ON DUPLICATE KEY UPDATE tries = tries + 1"""


class MariadbOptions(SqlOptions):
    """What a file may say of a MariaDB."""

    user: str = "root"


class MariadbSession(SqlSession[asyncmy.Connection]):
    """One phone with one connection to the database."""

    Options = MariadbOptions
    quote = "`"
    schema: ClassVar[Sequence[str]] = (
        "SET SESSION sql_notes = 0",  # the library prints the note that another phone was quicker
        """CREATE TABLE IF NOT EXISTS {table} (id bigint AUTO_INCREMENT PRIMARY KEY, owner varbinary(255) NOT NULL,
            name varbinary(255) NOT NULL, type varbinary(255) NOT NULL, write_id varbinary(255) NOT NULL,
            fields longblob NOT NULL, content longblob, UNIQUE (owner, name)) ENGINE=InnoDB""",
        """CREATE TABLE IF NOT EXISTS {keys} (owner varbinary(255), idempotency_key varbinary(255),
            tries bigint NOT NULL, PRIMARY KEY (owner, idempotency_key)) ENGINE=InnoDB""",
    )
    all_records = "SELECT id, name, type, write_id, fields, content FROM {table} WHERE owner = %s"
    no_such_table = NO_SUCH_TABLE
    duplicate = DUP_ENTRY

    async def open(self) -> asyncmy.Connection:
        """Connect, without TLS."""
        return await asyncmy.connect(
            host=self.front_door.host,
            port=self.front_door.port,
            user=self.options.user,
            password=self.options.password,
            database=self.database,
            sql_mode="'STRICT_ALL_TABLES'",
            init_command="SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
            autocommit=True,
            stmt_cache_size=STATEMENTS_MAX,
            client_flag=FOUND_ROWS,  # an UPDATE tells what it found, not what it changed
        )

    async def disconnect(self, link: asyncmy.Connection) -> None:
        """End the connection without a word."""
        link.close()

    def is_closed(self, link: asyncmy.Connection) -> bool:
        """Whether the server has ended it, which the library's pool asks in the same way."""
        return bool(link._stream_broken)  # type: ignore[attr-defined]

    async def execute(self, link: asyncmy.Connection, sql: str, *values: object) -> int:
        """Send a statement."""
        async with link.cursor() as cursor:
            return await cursor.execute(sql, values or None)

    async def fetch(self, link: asyncmy.Connection, sql: str, *values: object) -> Rows:
        """Send a query."""
        async with link.cursor() as cursor:
            await cursor.execute(sql, values or None)
            return await cursor.fetchall()

    async def is_first(self, link: asyncmy.Connection, key: str) -> bool:
        """Store the key, or count it up: that is told as two rows."""
        return await self.execute(link, self.named(KEY), self.user, key) == 1

    def code(self, error: Exception) -> int | None:
        """The server's number."""
        return error.args[0] if isinstance(error, asyncmy.MySQLError) and error.args else None

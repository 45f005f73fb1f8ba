"""What the drivers of SQL databases share: a table of records, a table of idempotency keys, and what is asked of them.

A write is one transaction: its key, then its row. It is acknowledged by the COMMIT, and whatever goes wrong before that
ends the connection, so the server takes back what it had done. A key that is there already is counted up, since a
transaction that wrote something is flushed when it commits: InnoDB shows the key of an attempt that is still being
flushed, and an answer that rests on it may not be given earlier.

A driver of this kind is for one dialect. It says how a connection is opened, how a statement is sent, and what its
server calls things.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Final, TypeVar

from chaos.errors import Refused
from chaos.workload.drivers.options import DriverOptions
from chaos.workload.drivers.plain import ConnectedSession
from chaos.workload.session import Ack, FrontDoor, Record, WriteId

C = TypeVar("C")
Rows = Sequence[Sequence[Any]]

BOTH_TABLES: Final = "SELECT 1 FROM {table}, {keys} LIMIT 0"
CREATE: Final = "INSERT INTO {table} (type, write_id, fields, content, owner, name) VALUES (%s, %s, %s, %s, %s, %s)"
UPDATE: Final = "UPDATE {table} SET type = %s, write_id = %s, fields = %s, content = %s WHERE owner = %s AND name = %s"
DELETE: Final = "DELETE FROM {table} WHERE owner = %s AND name = %s"
ON_BASE: Final = " AND write_id = %s"


class SqlOptions(DriverOptions):
    """What a file may say of a database.

    Attributes:
        user: Who connects.
        password: Their password; "" where the server asks for none.
        database: Where the tables are; "": in the one of the user's name.
        table: The table of records; that of idempotency keys has the same name with `_keys` behind it.
    """

    user: str
    password: str = ""
    database: str = ""
    table: str = "holdfast"


class SqlSession(ConnectedSession[C]):
    """One phone of one user, with one connection to the database.

    Attributes:
        options: What the file says.
        quote: The character round the name of a table.
        schema: Statements that make both tables where they are not there; other phones may do it at the same time.
        all_records: A query for id, name, type, write, fields and content of an owner's records. All but the first
            come as bytes: a damaged text is nothing that the client's library may fail at.
        no_such_table: The server's code for that.
        duplicate: The server's code for a row that is there already.
    """

    options: SqlOptions
    quote: ClassVar[str]
    schema: ClassVar[Sequence[str]]
    all_records: ClassVar[str]
    no_such_table: ClassVar[str | int]
    duplicate: ClassVar[str | int]

    def __init__(self, front_door: FrontDoor, *, user: str, device: str) -> None:
        """Remember the arguments; connect when first used."""
        super().__init__(front_door, user=user, device=device)
        self._names: set[str] = set()

    @abstractmethod
    async def open(self) -> C:
        """A new connection, each statement a transaction of its own until one is begun."""

    @abstractmethod
    async def execute(self, link: C, sql: str, *values: object) -> int:
        """Send a statement with `%s` for each value; how many rows it found."""

    @abstractmethod
    async def fetch(self, link: C, sql: str, *values: object) -> Rows:
        """Send a query with `%s` for each value."""

    @abstractmethod
    async def is_first(self, link: C, key: str) -> bool:
        """Store the key, or count it up; whether this is the first time."""

    @abstractmethod
    def code(self, error: Exception) -> str | int | None:
        """The server's code for what went wrong, if the server said it."""

    @property
    def database(self) -> str:
        """Where the tables are."""
        return self.options.database or self.options.user

    def named(self, sql: str) -> str:
        """The statement with the names of the tables in it."""
        quote, name = self.quote, self.options.table
        table, keys = (f"{quote}{each.replace(quote, quote * 2)}{quote}" for each in (name, f"{name}_keys"))
        return sql.format(table=table, keys=keys)

    async def connect(self) -> C:
        """A new connection, and the tables made where they are not there."""
        link = await self.open()
        try:
            await self._make_tables(link)
        except BaseException:
            await self.disconnect(link)
            raise
        return link

    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        """Create or update: under last-writer-wins, a name that the database has confirmed before is an update."""
        fields = json.dumps(dict(record.fields))
        values = (record.type, record.write, fields, record.blob, self.user, record.name)
        sql = CREATE if base is None and record.name not in self._names else UPDATE
        await self._write(key, sql, values, base)
        self._names.add(record.name)
        return Ack()

    async def delete(self, name: str, base: WriteId | None, key: str) -> Ack:
        """Delete by name."""
        await self._write(key, DELETE, (self.user, name), base)
        return Ack()

    async def everything(self) -> Sequence[Record]:
        """All records of the user as of one instant: it is one statement."""
        async with self.connected() as link:
            rows = await self.fetch(link, self.named(self.all_records), self.user)
        records = [
            Record(self.user, _text(name), _text(of_type), _text(write), _parsed(fields), content, str(row))
            for row, name, of_type, write, fields, content in rows
        ]
        self._names.update(record.name for record in records)
        return records

    async def _make_tables(self, link: C) -> None:
        try:
            await self.fetch(link, self.named(BOTH_TABLES))
        except Exception as error:
            if self.code(error) != self.no_such_table:
                raise
            for statement in self.schema:
                await self.execute(link, self.named(statement))

    async def _write(self, key: str, sql: str, values: Sequence[object], base: WriteId | None) -> None:
        if base is not None:
            sql, values = sql + ON_BASE, (*values, base)
        try:
            async with self.connected() as link:
                await self.execute(link, "BEGIN")
                if await self.is_first(link, key) and await self.execute(link, self.named(sql), *values) != 1:
                    raise Refused("it is not there" if base is None else f"it is no longer at {base}")
                await self.execute(link, "COMMIT")
        except Exception as error:
            if self.code(error) != self.duplicate:
                raise
            raise Refused("a record of that name is there") from error


def _text(found: object) -> Any:
    """The text; bytes that are none as they are, so that the check sees the damage."""
    try:
        return found.decode() if isinstance(found, bytes) else found
    except UnicodeDecodeError:
        return found


def _parsed(found: object) -> Any:
    """The fields; what is no JSON any more as it is."""
    try:
        return json.loads(found) if isinstance(found, bytes) else found
    except ValueError:
        return _text(found)

"""What the drivers of SQL databases share, on a database in this process; the rest is tried on the real servers."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncmy.errors
import asyncpg
import pytest

from chaos.errors import Refused
from chaos.experiment.drivers import DriverChoice
from chaos.workload.drivers import chosen_driver
from chaos.workload.drivers.sql.postgresql import numbered
from chaos.workload.drivers.sql.tables import Rows, SqlOptions, SqlSession
from chaos.workload.records import digest, make
from chaos.workload.session import Record
from tests.unit.workload.fakes import DOOR

OWNER = "u-00"


class Sqlite(SqlSession[sqlite3.Connection]):
    """A third dialect. `file` is set from outside."""

    file: Path
    options = SqlOptions(user="", table='records "of" 2009')
    quote = '"'
    schema = (
        """CREATE TABLE IF NOT EXISTS {table} (id INTEGER PRIMARY KEY AUTOINCREMENT, owner, name, type, write_id,
            fields, content, UNIQUE (owner, name))""",
        "CREATE TABLE IF NOT EXISTS {keys} (owner, idempotency_key, tries, PRIMARY KEY (owner, idempotency_key))",
    )
    all_records = """SELECT id, CAST(name AS BLOB), CAST(type AS BLOB), CAST(write_id AS BLOB), CAST(fields AS BLOB),
        content FROM {table} WHERE owner = %s"""
    no_such_table = "SQLITE_ERROR"
    duplicate = "SQLITE_CONSTRAINT_UNIQUE"

    async def open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.file, isolation_level=None)

    async def disconnect(self, link: sqlite3.Connection) -> None:
        link.close()

    async def execute(self, link: sqlite3.Connection, sql: str, *values: object) -> int:
        return link.execute(sql.replace("%s", "?"), values).rowcount

    async def fetch(self, link: sqlite3.Connection, sql: str, *values: object) -> Rows:
        return link.execute(sql.replace("%s", "?"), values).fetchall()

    async def is_first(self, link: sqlite3.Connection, key: str) -> bool:
        sql = """INSERT INTO {keys} VALUES (%s, %s, 1) ON CONFLICT DO UPDATE SET tries = tries + 1 RETURNING tries"""
        ((tries,),) = await self.fetch(link, self.named(sql), self.user, key)
        return bool(tries == 1)

    def code(self, error: Exception) -> str | None:
        return getattr(error, "sqlite_errorname", None)


Scene = Callable[[Callable[[], Sqlite]], Awaitable[None]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "records.sqlite"


def play(file: Path, scene: Scene) -> None:
    """A scene of phones of one user before one database; what happens there is not waited for by anything."""
    phones: list[Sqlite] = []

    def phone() -> Sqlite:
        made = Sqlite(DOOR, user=OWNER, device=f"d-{len(phones)}")
        made.file = file
        phones.append(made)
        return made

    async def act() -> None:
        await scene(phone)
        for each in phones:
            await each.close()

    asyncio.run(asyncio.wait_for(act(), 5))


def version(number: int, name: str = "ada-1", kind: str = "contact") -> Record:
    return make(OWNER, name, f"w-{number}", kind, size_bytes=5_000)


async def shown(phone: Sqlite) -> list[str]:
    return sorted(digest(record) for record in await phone.everything())


def test_records_of_any_kind_come_back_whole_with_a_row_of_their_own(file: Path) -> None:
    async def scene(phone: Callable[[], Sqlite]) -> None:
        records = [version(1), version(2, "zoë's 50 %s", "todo"), version(3, "p-1", "photo")]
        one, two = phone(), phone()
        for record in records:
            await one.put(record, None, f"k-{record.write}")
        found = await two.everything()
        assert sorted(map(digest, found)) == sorted(map(digest, records))
        assert len({record.row for record in found}) == 3

    play(file, scene)


def test_under_reject_a_write_needs_the_version_that_it_was_based_on(file: Path) -> None:
    async def scene(phone: Callable[[], Sqlite]) -> None:
        one = phone()
        await one.put(version(1), None, "k-1")
        with pytest.raises(Refused, match="a record of that name is there"):
            await phone().put(version(2), None, "k-2")
        await one.put(version(3), "w-1", "k-3")
        with pytest.raises(Refused, match="it is no longer at w-1"):
            await one.put(version(4), "w-1", "k-4")
        with pytest.raises(Refused, match="it is no longer at w-1"):
            await one.delete("ada-1", "w-1", "k-5")
        assert await shown(one) == [digest(version(3))]
        await one.delete("ada-1", "w-3", "k-6")
        assert await shown(one) == []

    play(file, scene)


def test_under_last_writer_wins_a_name_that_was_seen_is_updated_and_an_update_never_makes_a_record(file: Path) -> None:
    async def scene(phone: Callable[[], Sqlite]) -> None:
        one, two = phone(), phone()
        await one.put(version(1), None, "k-1")
        await two.everything()
        await two.put(version(2), None, "k-2")
        await one.put(version(3), None, "k-3")
        assert await shown(two) == [digest(version(3))]
        await two.delete("ada-1", None, "k-4")
        with pytest.raises(Refused, match="it is not there"):
            await one.put(version(5), None, "k-5")
        with pytest.raises(Refused, match="it is not there"):
            await one.delete("ada-1", None, "k-6")
        assert await shown(two) == []

    play(file, scene)


def test_an_attempt_with_a_key_that_has_taken_effect_is_acknowledged_and_changes_nothing(file: Path) -> None:
    async def scene(phone: Callable[[], Sqlite]) -> None:
        one = phone()
        await one.put(version(1), None, "k-1")
        await phone().put(version(1), None, "k-1")
        await one.put(version(2), "w-1", "k-2")
        await one.put(version(3), "w-2", "k-3")
        await phone().put(version(2), "w-1", "k-2")
        assert await shown(one) == [digest(version(3))]
        await one.delete("ada-1", "w-3", "k-4")
        await phone().delete("ada-1", "w-3", "k-4")
        assert await shown(one) == []

    play(file, scene)


def test_an_attempt_that_was_refused_leaves_no_key_that_a_later_one_would_find(file: Path) -> None:
    async def scene(phone: Callable[[], Sqlite]) -> None:
        one = phone()
        await one.put(version(1), None, "k-1")
        for _ in range(2):
            with pytest.raises(Refused):
                await one.put(version(2), "w-0", "k-2")
            with pytest.raises(Refused):
                await phone().put(version(3), None, "k-3")

    play(file, scene)


def test_a_database_that_has_lost_everything_gets_new_tables_and_shows_nothing(file: Path) -> None:
    async def scene(phone: Callable[[], Sqlite]) -> None:
        one = phone()
        await one.put(version(1), None, "k-1")
        await one.close()
        await asyncio.to_thread(file.unlink)
        assert await shown(one) == []
        await phone().put(version(2), None, "k-2")
        assert await shown(one) == [digest(version(2))]

    play(file, scene)


@pytest.mark.parametrize(
    ("column", "damage", "shown_as"),
    [
        ("name", b"ad\xff-1", {"name": b"ad\xff-1"}),
        ("write_id", b"\x80", {"write": b"\x80"}),
        ("fields", b'{"name": "x', {"fields": '{"name": "x'}),
        ("fields", b"\xff\xfe", {"fields": b"\xff\xfe"}),
        ("fields", None, {"fields": None}),
        ("content", None, {"blob": None}),
    ],
)
def test_a_damaged_record_is_shown_as_it_is(
    file: Path, column: str, damage: bytes | None, shown_as: dict[str, object]
) -> None:
    async def scene(phone: Callable[[], Sqlite]) -> None:
        one = phone()
        await one.put(version(1, kind="photo"), None, "k-1")
        async with one.connected() as link:
            await one.execute(link, one.named(f"UPDATE {{table}} SET {column} = %s"), damage)
        (record,) = await phone().everything()
        assert {name: getattr(record, name) for name in shown_as} == shown_as

    play(file, scene)


def test_whatever_else_the_server_says_is_no_refusal(file: Path) -> None:
    async def scene(phone: Callable[[], Sqlite]) -> None:
        one = phone()
        await one.everything()
        async with one.connected() as link:
            await one.execute(link, one.named("ALTER TABLE {table} DROP COLUMN fields"))
        with pytest.raises(sqlite3.OperationalError, match="no column named fields"):
            await one.put(version(1), None, "k-1")

    play(file, scene)


def known(name: str, **options: object) -> SqlSession[Any]:
    session = chosen_driver(DriverChoice(name, options), None)(DOOR, user=OWNER, device="d-0")
    assert isinstance(session, SqlSession)
    return session


@pytest.mark.parametrize("name", ["postgresql", "mariadb"])
def test_the_database_is_that_of_the_users_name_unless_the_file_names_one(name: str) -> None:
    assert known(name, user="notes").database == "notes"
    assert known(name, user="notes", database="shared").database == "shared"


def test_values_are_numbered_for_postgresql_and_tables_quoted_for_each() -> None:
    assert numbered("INSERT INTO t VALUES (%s, %s)") == "INSERT INTO t VALUES ($1, $2)"
    assert known("postgresql").named("{table} {keys}") == '"holdfast" "holdfast_keys"'
    assert known("mariadb", table="my`s").named("{table} {keys}") == "`my``s` `my``s_keys`"


def test_a_row_that_is_there_and_a_table_that_is_not_are_known_by_the_servers_own_codes() -> None:
    for session, duplicate, missing in (
        (known("postgresql"), asyncpg.UniqueViolationError("x"), asyncpg.UndefinedTableError("x")),
        (known("mariadb"), asyncmy.errors.IntegrityError(1062, "x"), asyncmy.errors.ProgrammingError(1146, "x")),
    ):
        assert session.code(duplicate) == session.duplicate
        assert session.code(missing) == session.no_such_table
        assert session.code(ConnectionResetError(1062)) is None
        assert session.code(Refused("1062")) is None

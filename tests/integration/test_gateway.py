"""The reference gateway over a real PostgreSQL: what it promises, and that each unsafe variant breaks just that."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, cast

import aiohttp
import asyncpg
import docker
import pytest

from chaos.errors import NotNow, Refused
from chaos.workload.drivers.http import HttpSession
from chaos.workload.records import make, observe
from chaos.workload.session import FrontDoor

pytestmark = pytest.mark.engine
FIXTURES = Path(__file__).parents[2] / "fixtures"
READY_SECONDS_MAX = 30.0
SCENE_SECONDS_MAX = 60.0


class Container(Protocol):
    """The part of the engine's container that is used here."""

    attrs: dict[str, Any]

    def reload(self) -> None: ...
    def kill(self) -> None: ...
    def start(self) -> None: ...
    def remove(self, *, force: bool, v: bool) -> None: ...
    def exec_run(self, cmd: list[str]) -> Any: ...


class Engine:
    """Containers of one test module."""

    def __init__(self) -> None:
        self._client = docker.from_env(timeout=120)
        self._images: dict[str, str] = {}
        self._running: list[Container] = []

    def run(self, folder: str, environment: dict[str, str], port: int, tmpfs: str) -> Container:
        if folder not in self._images:
            image, _ = self._client.images.build(path=str(FIXTURES / folder), rm=True)
            self._images[folder] = str(image.id)
        container = self._client.containers.run(
            self._images[folder],
            detach=True,
            name=f"holdfast-test-{uuid.uuid4().hex[:10]}",
            environment=environment,
            ports={f"{port}/tcp": ("127.0.0.1", 0)},
            tmpfs={tmpfs: ""},
        )
        self._running.append(cast(Container, container))
        return self._running[-1]

    def close(self) -> None:
        for container in self._running:
            with suppress(docker.errors.APIError):
                container.remove(force=True, v=True)
        self._client.close()


def published(container: Container, port: int) -> FrontDoor:
    container.reload()
    return FrontDoor("127.0.0.1", int(container.attrs["NetworkSettings"]["Ports"][f"{port}/tcp"][0]["HostPort"]))


class Stack:
    """One database, and a gateway for each set of variables, all on that database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.database = engine.run(
            "images/postgres",
            {"POSTGRES_USER": "sync", "POSTGRES_DB": "sync", "POSTGRES_HOST_AUTH_METHOD": "trust"},
            5432,
            "/var/lib/postgresql/data",
        )
        self._gateways: dict[tuple[tuple[str, str], ...], Container] = {}

    def gateway(self, **variables: str) -> Container:
        chosen = tuple(variables.items())
        if chosen not in self._gateways:
            self.database.reload()
            networks = self.database.attrs["NetworkSettings"]["Networks"]
            address = next(iter(networks.values()))["IPAddress"]
            environment = {"GATEWAY_DATABASE": f"postgresql://sync@{address}:5432/sync", **variables}
            self._gateways[chosen] = self._engine.run("minimal/gateway", environment, 8080, "/photos")
            asyncio.run(healthy(published(self._gateways[chosen], 8080)))
        return self._gateways[chosen]


async def healthy(door: FrontDoor, *, seconds_max: float = READY_SECONDS_MAX) -> None:
    deadline = time.monotonic() + seconds_max
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as client:
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):
                async with client.get(f"http://{door.host}:{door.port}/healthz") as answer:
                    if answer.status == 200:
                        return
            assert time.monotonic() < deadline, "the gateway never became healthy"
            await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def stack(engine: Engine) -> Stack:
    return Stack(engine)


class Scene:
    """Phones of one user whom no other test knows."""

    def __init__(self, stack: Stack, door: FrontDoor) -> None:
        self.stack, self.door = stack, door
        self.user = f"u-{uuid.uuid4().hex[:8]}"
        self._phones: list[HttpSession] = []

    def phone(self) -> HttpSession:
        self._phones.append(HttpSession(self.door, user=self.user, device=f"d-{len(self._phones)}"))
        return self._phones[-1]

    async def names(self) -> set[str]:
        return {record.name for record in await self.phone().everything()}

    async def close(self) -> None:
        for phone in self._phones:
            await phone.close()


def play(stack: Stack, scene: Callable[[Scene], Awaitable[None]], **variables: str) -> None:
    door = published(stack.gateway(**variables), 8080)

    async def bounded() -> None:
        setting = Scene(stack, door)
        try:
            await asyncio.wait_for(scene(setting), SCENE_SECONDS_MAX)
        finally:
            await setting.close()

    asyncio.run(bounded())


@pytest.mark.parametrize(("cursor", "misses"), [("counter", False), ("sequence", True)])
def test_a_delta_misses_nothing_when_an_earlier_write_commits_later_unless_the_cursor_is_a_sequence(
    stack: Stack, cursor: str, misses: bool
) -> None:
    async def scene(s: Scene) -> None:
        slow, fast, reader = s.phone(), s.phone(), s.phone()
        await slow.put(make(s.user, "slow", "w-1", "todo"), None, "k-1")
        since = (await reader.changes(None)).cursor
        door = published(s.stack.database, 5432)
        link = await asyncpg.connect(host=door.host, port=door.port, user="sync", database="sync", ssl=False)
        # A row lock of ours holds the first write back after it got its number and before it commits.
        holding = link.transaction()
        await holding.start()
        await link.execute("SELECT FROM records WHERE owner = $1 FOR UPDATE", s.user)
        first = asyncio.create_task(slow.put(make(s.user, "slow", "w-2", "todo"), "w-1", "k-2"))
        await _until_waiting(link, 1)
        second = asyncio.create_task(fast.put(make(s.user, "fast", "w-3", "todo"), None, "k-3"))
        if misses:
            await second
        else:
            await _until_waiting(link, 2)
        between = await reader.changes(since)
        await holding.rollback()
        await asyncio.gather(first, second)
        after = await reader.changes(between.cursor)
        await link.close()
        seen = {record.write for record in (*between.records, *after.records)}
        assert ("w-2" not in seen) == misses
        assert "w-3" in seen

    play(stack, scene, GATEWAY_CURSOR=cursor)


async def _until_waiting(link: asyncpg.Connection, count: int) -> None:
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    while await link.fetchval(query) < count:
        # pg_stat_activity is frozen within a transaction until it is told otherwise.
        await link.execute("SELECT pg_stat_clear_snapshot()")


def test_a_phone_that_syncs_while_others_write_sees_every_write_by_deltas_alone(stack: Stack) -> None:
    async def scene(s: Scene) -> None:
        reader, seen = s.phone(), set[str]()

        async def write(number: int) -> None:
            phone = s.phone()
            for n in range(15):
                await phone.put(make(s.user, f"r-{number}-{n}", f"w-{number}-{n}", "todo"), None, f"k-{number}-{n}")

        writers = asyncio.gather(*(write(number) for number in range(8)))
        cursor: str | None = None
        while True:
            done = writers.done()
            changes = await reader.changes(cursor)
            cursor = changes.cursor
            seen |= {record.name for record in changes.records}
            if done:
                break
        await writers
        assert len(seen) == 8 * 15

    play(stack, scene)


def test_a_create_that_is_tried_again_with_its_key_makes_one_row_even_when_both_arrive_at_once(stack: Stack) -> None:
    async def scene(s: Scene) -> None:
        record = make(s.user, "ada", "w-1", "contact")
        await asyncio.gather(*(s.phone().put(record, None, "k-1") for _ in range(8)))
        await s.phone().put(record, None, "k-1")
        assert [one.name for one in await s.phone().everything()] == ["ada"]

    play(stack, scene)


def test_without_keys_a_create_that_is_tried_again_makes_a_second_row(stack: Stack) -> None:
    async def scene(s: Scene) -> None:
        record = make(s.user, "ada", "w-1", "contact")
        for _ in range(2):
            await s.phone().put(record, None, "k-1")
        rows = [one.row for one in await s.phone().everything()]
        assert len(set(rows)) == 2

    play(stack, scene, GATEWAY_KEYS="off")


def test_of_two_updates_on_one_revision_exactly_one_is_taken(stack: Stack) -> None:
    async def scene(s: Scene) -> None:
        phones = [s.phone() for _ in range(6)]
        await phones[0].put(make(s.user, "ada", "w-0", "contact"), None, "k-0")
        for phone in phones:
            await phone.changes(None)
        updates = [make(s.user, "ada", f"w-{n + 1}", "contact") for n in range(len(phones))]
        answers = await asyncio.gather(
            *(phone.put(update, "w-0", f"k-{update.write}") for phone, update in zip(phones, updates, strict=True)),
            return_exceptions=True,
        )
        assert sum(isinstance(answer, Refused) for answer in answers) == len(phones) - 1
        winner = next(u for u, answer in zip(updates, answers, strict=True) if not isinstance(answer, BaseException))
        assert [one.write for one in await phones[0].everything()] == [winner.write]

    play(stack, scene)


def test_a_deleted_name_is_a_tombstone_in_the_delta_and_can_never_be_created_again(stack: Stack) -> None:
    async def scene(s: Scene) -> None:
        phone = s.phone()
        await phone.put(make(s.user, "ada", "w-1", "contact"), None, "k-1")
        await phone.delete("ada", "w-1", "k-2")
        await phone.delete("ada", "w-1", "k-2")
        assert list((await phone.changes(None)).deleted) == ["ada"]
        with pytest.raises(Refused):
            await s.phone().put(make(s.user, "ada", "w-3", "contact"), None, "k-3")
        with pytest.raises(Refused):
            await phone.put(make(s.user, "ada", "w-4", "contact"), "w-1", "k-4")
        assert await s.names() == set()

    play(stack, scene)


def test_a_photo_comes_back_whole_and_one_whose_file_is_gone_as_a_row_with_the_blob_missing(stack: Stack) -> None:
    async def scene(s: Scene) -> None:
        photo = make(s.user, "sunset", "w-1", "photo", size_bytes=2_000_000)
        await s.phone().put(photo, None, "k-1")
        (there,) = await s.phone().everything()
        assert observe(there).hash == observe(photo).hash
        gateway = s.stack.gateway()
        await asyncio.to_thread(gateway.exec_run, ["sh", "-c", "rm /photos/*"])
        (row,) = [observe(record) for record in await s.phone().everything()]
        assert (row.write, row.blob) == ("w-1", "missing")

    play(stack, scene)


def test_an_acknowledged_write_can_be_read_at_once_unless_it_is_acknowledged_early(stack: Stack) -> None:
    async def scene(s: Scene) -> None:
        await s.phone().put(make(s.user, "ada", "w-1", "todo"), None, "k-1")
        assert await s.names() == {"ada"}

    async def early(s: Scene) -> None:
        await s.phone().put(make(s.user, "ada", "w-1", "todo"), None, "k-1")
        assert await s.names() == set()

    play(stack, scene)
    play(stack, early, GATEWAY_ACK="early")


def test_nonsense_is_refused_and_changes_nothing(stack: Stack) -> None:
    async def scene(s: Scene) -> None:
        base = f"http://{s.door.host}:{s.door.port}"
        user = {"X-User": s.user}
        both = {**user, "Idempotency-Key": "k"}
        async with aiohttp.ClientSession() as client:
            for method, path, headers, body in (
                ("POST", "/records", user, b"{}"),
                ("POST", "/records", both, b"not json"),
                ("POST", "/records", both, b'{"name": "x"}'),
                ("POST", "/records", both, b"[1]"),
                ("GET", "/records?since=7;drop", user, b""),
                ("GET", "/records", {}, b""),
            ):
                async with client.request(method, base + path, headers=headers, data=body) as answer:
                    assert answer.status == 400, (method, path, await answer.text())
            async with client.put(f"{base}/records/nobody", headers=both, data=_body("nobody")) as answer:
                assert answer.status == 404
        assert await s.names() == set()

    play(stack, scene)


def _body(name: str) -> bytes:
    return f'{{"name": "{name}", "type": "todo", "write": "w", "fields": {{}}}}'.encode()


def test_the_gateway_outlives_its_database_and_serves_again_what_was_acknowledged(engine: Engine) -> None:
    stack = Stack(engine)

    async def scene(s: Scene) -> None:
        phone = s.phone()
        await phone.put(make(s.user, "ada", "w-1", "todo"), None, "k-1")
        cursor = (await phone.changes(None)).cursor
        await asyncio.to_thread(s.stack.database.kill)
        with pytest.raises((NotNow, RuntimeError)):
            await phone.put(make(s.user, "ben", "w-2", "todo"), None, "k-2")
        with pytest.raises(NotNow):
            await phone.put(make(s.user, "ben", "w-2", "todo"), None, "k-2")
        # tmpfs is empty after a start: to the gateway, a database that was initialised anew after a disaster.
        await asyncio.to_thread(s.stack.database.start)
        await healthy(s.door)
        await phone.put(make(s.user, "cleo", "w-3", "todo"), None, "k-3")
        # A cursor of the database that is gone must not skip what the new one numbers from 1 again.
        assert [record.name for record in (await phone.changes(cursor)).records] == ["cleo"]

    play(stack, scene)


def test_a_gateway_that_is_killed_and_started_again_serves_at_once(stack: Stack) -> None:
    async def scene(s: Scene) -> None:
        await s.phone().put(make(s.user, "ada", "w-1", "todo"), None, "k-1")
        gateway = s.stack.gateway(GATEWAY_NAME="again")
        await asyncio.to_thread(gateway.kill)
        await asyncio.to_thread(gateway.start)
        s.door = published(gateway, 8080)
        await healthy(s.door, seconds_max=5.0)
        assert await s.names() == {"ada"}

    play(stack, scene, GATEWAY_NAME="again")

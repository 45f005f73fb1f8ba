"""Which copies have caught up, with services that are healthy and steady when a test says so."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, cast

import pytest

from chaos.errors import HarnessError
from chaos.stack import waiting
from chaos.stack.engine import containers
from chaos.stack.engine.containers import Container
from chaos.stack.live import readiness
from chaos.stack.live.readiness import Behind, Failure, Readiness
from chaos.stack.spec import Condition, Lun, Mount, Service, Stack
from chaos.stack.waiting import Waits
from tests.unit.faults import jumping

NAMES = ("pg1", "pg2")
STACK = Stack(
    "unit",
    Path("compose.yaml"),
    {name: Service(name, mounts=(Mount("lun", name, "/data"),)) for name in NAMES},
    {name: Lun(name, "core", 4096) for name in NAMES},
    (),
    ("pg1", 5432),
    steady={"pg1": ("is.sh", "sync")},
)


class Ready:
    """Services that are not there yet."""

    def __init__(self) -> None:
        self.is_healthy = {name: asyncio.Event() for name in NAMES}
        self.is_steady = asyncio.Event()
        self.ended: set[str] = set()

    async def healthy(self, service: Service, deadline: float, error: Failure) -> None:
        await self.is_healthy[service.name].wait()
        if service.name in self.ended:
            raise error(f"{service.name} ended with code 1")

    async def steady(self, service: str, command: tuple[str, ...], deadline: float, error: Failure) -> None:
        assert (service, command) == ("pg1", ("is.sh", "sync"))
        await self.is_steady.wait()


async def pause() -> None:
    """Let every task go on as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_copy_on_a_blank_disk_is_behind_until_its_services_are_healthy_and_steady() -> None:
    async def act() -> None:
        ready = Ready()
        behind = Behind(STACK, cast(Readiness, ready))
        behind.watch({"pg1"})
        ready.is_healthy["pg1"].set()
        await pause()
        assert behind.luns == {"pg1"}, "it is healthy and not steady"
        behind.watch({"pg2"})
        assert behind.luns == {"pg1", "pg2"}
        ready.is_healthy["pg2"].set()
        await pause()
        assert behind.luns == {"pg1"}, "nothing but its health tells of pg2"
        ready.is_steady.set()
        await pause()
        assert behind.luns == set()

    asyncio.run(act())


def test_a_copy_whose_service_ends_before_is_behind_until_somebody_brought_it_back() -> None:
    async def act() -> None:
        ready = Ready()
        behind = Behind(STACK, cast(Readiness, ready))
        ready.ended = {"pg2"}
        ready.is_healthy["pg2"].set()
        behind.watch({"pg2"})
        await pause()
        assert behind.luns == {"pg2"}
        ready.ended = set()
        behind.watch(set())
        await pause()
        assert behind.luns == set()

    asyncio.run(act())


def test_a_copy_that_is_replaced_again_is_behind_again_and_nobody_waits_once_all_is_cleared() -> None:
    async def act() -> None:
        ready = Ready()
        behind = Behind(STACK, cast(Readiness, ready))
        ready.is_healthy["pg2"].set()
        for _ in range(2):
            behind.watch({"pg2"})
            assert behind.luns == {"pg2"}
            await pause()
            assert behind.luns == set()
        behind.watch({"pg1"})
        behind.clear()
        assert behind.luns == set()
        await pause()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(act())


@pytest.mark.parametrize(
    ("at_once", "order"),
    [
        (False, ["db", "db is ready", "web", "tool"]),
        (True, ["db", "web", "db is ready", "tool"]),
    ],
)
def test_an_engine_that_boots_starts_what_has_a_restart_policy_at_once_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, at_once: bool, order: list[str]
) -> None:
    needs: dict[str, Condition] = {"db": "service_healthy"}
    services = (
        Service("web", restart="always", depends_on=needs),
        Service("tool", depends_on=needs),
        Service("migrate", restart="on-failure"),
        Service("db", restart="on-failure", depends_on={"migrate": "service_completed_successfully"}),
    )
    stack = Stack("unit", Path("compose.yaml"), {each.name: each for each in services}, {}, (), ("web", 1))
    did: list[str] = []

    async def act() -> None:
        ready = Readiness(cast(Any, None), stack, {}, lambda name, code: False, cast(Any, None), Waits())

        async def start(name: str) -> None:
            did.append(name)

        async def healthy(service: Service, deadline: float, error: Failure) -> None:
            if service.name == "db":
                await pause()
                did.append("db is ready")

        async def completed(service: Service, deadline: float, error: Failure) -> None: ...

        monkeypatch.setattr(ready, "healthy", healthy)
        monkeypatch.setattr(ready, "completed", completed)
        boot = stack.started_by_a_boot if at_once else ()
        await ready.start_in_order(stack.services, start, 1.0, HarnessError, at_once=boot)

    asyncio.run(act())
    did.remove("migrate")
    assert did == order


def test_a_service_is_first_asked_shortly_before_it_was_ready_last_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not after the deadline; where it is ready sooner from then on, that is found out little by little."""
    asked: list[float] = []
    seconds = 1.0

    async def act() -> None:
        nonlocal seconds
        loop = asyncio.get_running_loop()
        ready = Readiness(cast(Any, None), STACK, {}, lambda name, code: False, cast(Any, None), Waits())
        begun = 0.0

        async def start(name: str) -> None:
            nonlocal begun
            begun = loop.time()

        async def healthy(service: Service, deadline: float, error: Failure) -> int:
            times = 1
            asked.append(loop.time() - begun)
            while loop.time() < begun + seconds:
                await asyncio.sleep(0.1)
                times += 1
            return times

        async def first_ask(seconds_max: float = 60.0) -> float:
            asked.clear()
            await ready.start_in_order(["pg1"], start, seconds_max, HarnessError)
            return asked[0]

        monkeypatch.setattr(ready, "healthy", healthy)
        assert await first_ask() == 0.0
        assert 0.9 < await first_ask() < 1.0
        assert await first_ask(0.5) == pytest.approx(0.5)
        seconds = 0.2
        for _ in range(60):
            last = await first_ask()
        assert 0.15 < last < 0.35
        seconds = 30.0
        await first_ask()
        assert await first_ask() == readiness._FIRST_SECONDS_MAX

    jumping.run(act(), monkeypatch, readiness)


def test_of_what_is_waited_for_the_last_words_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    async def act() -> None:
        waits, checks = Waits(), iter([False, False, True])
        waits.say = said.append
        monkeypatch.setattr(waiting, "_TELL_SECONDS", 0.0)
        monkeypatch.setattr(containers, "is_healthy", lambda *_: next(checks))
        monkeypatch.setattr(containers, "state", lambda *_: (True, 0))
        monkeypatch.setattr(containers, "last_words", lambda *_: "migrating\n3 of 7")
        running = {"pg1": Container("id", "pg1")}
        ready = Readiness(cast(Any, None), STACK, running, lambda name, code: False, cast(Any, None), waits)
        await ready.healthy(STACK.services["pg1"], time.monotonic() + 60, HarnessError)

    asyncio.run(act())
    assert said[0].startswith("waiting for pg1 to get healthy, 0 s so far, ")
    assert said[0].endswith(" s left; it says: 3 of 7")

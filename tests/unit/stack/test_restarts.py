"""Restart policies, with a service that only takes notes of when it was started."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from chaos.errors import AgentError, HarnessError
from chaos.stack.engine import containers
from chaos.stack.engine.containers import Container
from chaos.stack.live import restarts
from chaos.stack.live.restarts import Ends, Restarts
from chaos.stack.spec import Service, Stack
from tests.unit.faults.jumping import run

SERVICES = {
    "once": Service("once"),
    "again": Service("again", restart="always"),
    "twice": Service("twice", restart="on-failure", restarts_max=2),
}
STACK = Stack("unit", Path("compose.yaml"), SERVICES, {}, (), ("once", 1))
Act = Callable[[Restarts], Awaitable[None]]
Play = Callable[[Act], list[float]]


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    """Act on a clock that jumps; return the seconds at which the service was started."""

    def played(act: Act) -> list[float]:
        started: list[float] = []

        async def scene() -> None:
            loop = asyncio.get_running_loop()
            began = loop.time()

            async def start(service: str) -> None:
                assert service in ("again", "twice")
                started.append(round(loop.time() - began, 3))
                raise HarnessError("it cannot be started just now")

            await act(Restarts(STACK, start))

        run(scene(), monkeypatch, restarts)
        return started

    return played


def test_a_service_is_started_again_when_its_policy_says_so(play: Play) -> None:
    async def act(policies: Restarts) -> None:
        assert [policies.restarts(name, 1) for name in SERVICES] == [False, True, True]
        assert [policies.restarts(name, 0) for name in SERVICES] == [False, True, False]
        policies.exited("once")
        policies.exited("again")
        await asyncio.sleep(1)

    assert play(act) == [0.1]


def test_one_that_ends_again_and_again_is_started_ever_later_and_one_that_had_stayed_up_at_once(play: Play) -> None:
    async def act(policies: Restarts) -> None:
        for pause in (3, 3, 3, 3, 3, 3, 20, 3):
            policies.exited("again")
            await asyncio.sleep(pause)

    assert play(act) == [0.1, 3.2, 6.4, 9.8, 13.6, 17.0, 20.0, 38.1]


def test_one_that_a_fault_holds_down_stays_down(play: Play) -> None:
    async def act(policies: Restarts) -> None:
        policies.held = lambda: {"again"}
        policies.exited("again")
        await asyncio.sleep(1)

    assert play(act) == []


def test_one_that_somebody_else_stops_meanwhile_stays_down(play: Play) -> None:
    async def act(policies: Restarts) -> None:
        policies.exited("again")
        policies.cancel(STACK.services)
        await asyncio.sleep(1)

    assert play(act) == []


def test_one_that_is_started_again_so_often_stays_down_then_until_somebody_starts_it(play: Play) -> None:
    async def act(policies: Restarts) -> None:
        comes_back = []
        for _ in range(3):
            policies.exited("twice")
            comes_back.append(policies.restarts("twice", 1))
            await asyncio.sleep(3)
        assert comes_back == [True, True, False], "the second restart is still to come when it is asked"
        policies.cancel(["twice"])
        assert policies.restarts("twice", 1)
        policies.exited("twice")
        await asyncio.sleep(3)

    assert play(act) == [0.1, 3.2, 9.4]


def test_a_service_that_cannot_be_started_is_nobody_elses_failure_and_an_agent_that_fails_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    errors: list[HarnessError] = [HarnessError("its program cannot be started"), AgentError("it cannot be confined")]

    async def start(service: str) -> None:
        raise errors.pop(0)

    async def scene() -> None:
        policies = Restarts(STACK, start)
        policies.exited("again")
        await asyncio.sleep(3)
        policies.verify()
        policies.exited("again")
        await asyncio.sleep(3)
        with pytest.raises(AgentError, match="it cannot be confined"):
            policies.verify()

    run(scene(), monkeypatch, restarts)


def told_of(monkeypatch: pytest.MonkeyPatch, *exits: tuple[str, int], killed: bool = False) -> list[str]:
    """What is said of services that end with these codes, one after the other."""
    said: list[str] = []

    async def act() -> None:
        async def start(service: str) -> None: ...

        policies = Restarts(STACK, start)
        ended = {name: Container(name, name) for name in SERVICES}
        ends = Ends(cast(Any, None), STACK, cast(Any, None), ended, policies)
        ends.say = said.append
        for name, code in exits:
            monkeypatch.setattr(containers, "state", lambda client, container, code=code: (False, code))
            ends.exited(name, killed=killed)
            await asyncio.gather(*ends._telling)
        policies.cancel(SERVICES)

    asyncio.run(act())
    return said


def test_who_ends_by_itself_is_told_of_and_whether_it_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told_of(monkeypatch, ("once", 3)) == [
        "once ended with code 3; its restart policy is no, so it stays down until somebody starts it"
    ]
    again = "again ended; it is started again, as its restart policy says"
    assert told_of(monkeypatch, ("again", 1), ("again", 1)) == [again], "its log has how often"
    assert told_of(monkeypatch, *[("twice", 1)] * 3) == [
        "twice ended; it is started again, as its restart policy says",
        "twice ended with code 1; its restarts are used up, so it stays down until somebody starts it",
    ]


def test_who_is_done_or_was_killed_by_a_fault_is_not_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told_of(monkeypatch, ("twice", 0)) == []
    assert told_of(monkeypatch, ("once", 137), killed=True) == []

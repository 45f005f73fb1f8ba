"""A running copy's services as they start, on an agent and an engine that only answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from chaos.agent.wire import Confine, Done, Watch
from chaos.errors import AgentError
from chaos.stack.agent.link import Agent
from chaos.stack.engine import containers
from chaos.stack.engine.containers import Container
from chaos.stack.engine.identity import Run
from chaos.stack.engine.network import Network
from chaos.stack.live.running import RunningStack
from chaos.stack.spec import Service, Stack


class ItEnded:
    """An agent for which a service's first process ends right before it is asked for something."""

    def __init__(self, before: type[Watch] | type[Confine]) -> None:
        self.before = before
        self.ended: list[str] = []

    async def call(self, request: Watch | Confine) -> Done:
        if isinstance(request, Confine):  # who has ended reaches nobody
            if self.before is Confine:
                self.ended.append(request.service)  # it is watched, so its end is told
        elif self.before is Watch:
            raise AgentError("the agent refused watch: no such process")
        return Done()


class CannotConfine(ItEnded):
    """An agent that cannot confine a service that runs."""

    async def call(self, request: Watch | Confine) -> Done:
        if isinstance(request, Confine):
            raise AgentError("the agent refused confine: nft did not end in time")
        return Done()


Act = Callable[[RunningStack], Awaitable[None]]


def play(monkeypatch: pytest.MonkeyPatch, agent: ItEnded, act: Act) -> None:
    """Act on a stack of one job that has a container."""
    job = Service("job", restart="on-failure", restarts_max=3)
    stack = Stack("unit", Path("compose.yaml"), {"job": job}, {}, (), ("job", 1), "http")
    monkeypatch.setattr(containers, "start", lambda client, container: container)

    async def scene() -> None:
        net = Network("", "", "198.18.0.0/24")
        running = RunningStack(cast(Any, None), stack, {"job": ""}, Run("run", ""), cast(Agent, agent), net)
        running.running["job"] = Container("id", "job", 1)
        monkeypatch.setattr(running.restarts, "exited", agent.ended.append)
        await act(running)

    asyncio.run(scene())


@pytest.mark.parametrize("before", [Watch, Confine])
def test_one_end_of_a_service_counts_once_whatever_the_agent_was_about_to_do(
    monkeypatch: pytest.MonkeyPatch, before: type[Watch] | type[Confine]
) -> None:
    agent = ItEnded(before)
    play(monkeypatch, agent, lambda running: running._start("job"))
    assert agent.ended == ["job"]


def test_a_service_that_runs_and_cannot_be_confined_is_the_harnesss_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = CannotConfine(Confine)
    with pytest.raises(AgentError, match="nft did not end in time"):
        play(monkeypatch, agent, lambda running: running._start("job"))
    assert agent.ended == []

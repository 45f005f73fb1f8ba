"""A running copy's services as they start, on an agent and an engine that only answer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from chaos.agent.wire import Confine, Watch
from chaos.errors import HarnessError
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

    async def call(self, request: Watch | Confine) -> None:
        if self.before is Watch:
            raise HarnessError("no such process")
        if isinstance(request, Confine):
            self.ended.append(request.service)  # it is watched, so its end is told
            raise HarnessError("no such process")


@pytest.mark.parametrize("before", [Watch, Confine])
def test_one_end_of_a_service_counts_once_whatever_the_agent_was_about_to_do(
    monkeypatch: pytest.MonkeyPatch, before: type[Watch] | type[Confine]
) -> None:
    job = Service("job", restart="on-failure", restarts_max=3)
    stack = Stack("unit", Path("compose.yaml"), {"job": job}, {}, (), ("job", 1), "http")
    agent = ItEnded(before)
    monkeypatch.setattr(containers, "start", lambda client, container: container)

    async def act() -> None:
        net = Network("", "", "198.18.0.0/24")
        running = RunningStack(cast(Any, None), stack, {"job": ""}, Run("run", ""), cast(Agent, agent), net)
        running.running["job"] = Container("id", "job", 1)
        monkeypatch.setattr(running.restarts, "exited", agent.ended.append)
        await running._start("job")

    asyncio.run(act())
    assert agent.ended == ["job"]

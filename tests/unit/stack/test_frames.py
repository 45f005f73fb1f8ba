"""Which network namespace the next container of a service has."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest

from chaos.agent.wire import Tidied, Tidy
from chaos.stack.agent.link import Agent
from chaos.stack.engine import containers
from chaos.stack.engine.containers import Container, ServicePlace
from chaos.stack.engine.identity import Run
from chaos.stack.engine.network import Network
from chaos.stack.live.frames import Frames
from chaos.stack.spec import Service

PLACE = ServicePlace(Run("run", ""), Network("", "", "198.18.0.0/24"), 0, "image", {}, {}, publishes=False)
DB = Service("db")


class Engine:
    """Makes frames and removes them; the agent of them, too."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.there: list[str] = []
        self.asked: list[int] = []
        self.left: tuple[str, ...] = ()
        monkeypatch.setattr(containers, "create_frame", self.create)
        monkeypatch.setattr(containers, "remove", lambda client, container: self.there.remove(container.id))
        self.frames = Frames(cast(Any, None), cast(Agent, self), "agent", {"db": PLACE})

    def create(self, client: object, service: Service, place: ServicePlace, attempt: int, *_: str) -> Container:
        assert (service.name, place) == ("db", PLACE)
        self.there.append(f"frame {attempt}")
        return Container(f"frame {attempt}", "db", attempt)

    async def call(self, request: Tidy) -> Tidied:
        self.asked.append(request.pid)
        return Tidied(self.left)

    def place(self, service: Service = DB, hostname: str = "one") -> ServicePlace:
        return asyncio.run(self.frames.place(service, hostname))


def test_a_frame_is_used_again_as_long_as_nothing_is_left_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(monkeypatch)
    assert engine.place() == replace(PLACE, frame="frame 1")
    assert engine.asked == [1], "what is there at first is known"
    assert engine.place() == replace(PLACE, frame="frame 1")
    assert engine.asked == [1, 1]
    engine.left = ("tcp 0100007F:1388 00000000:0000 0A",)
    assert engine.place() == replace(PLACE, frame="frame 2")
    assert engine.there == ["frame 2"]


def test_a_service_of_another_host_name_has_another_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(monkeypatch)
    engine.place()
    assert engine.place(hostname="two").frame == "frame 2"
    assert engine.there == ["frame 2"]


@pytest.mark.parametrize(
    "service", [Service("db", cap_add=("NET_ADMIN",)), Service("db", sysctls={"net.core.somaxconn": "1"})]
)
def test_a_service_that_may_change_its_network_has_one_of_its_own(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(monkeypatch)
    assert engine.place(service) == PLACE
    assert engine.there == []

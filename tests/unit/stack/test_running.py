"""A running copy's services as they start, on an agent and an engine that only answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from chaos.agent.request import Done
from chaos.agent.states import Crash
from chaos.agent.wire import Alive, Attach, Check, Checked, Confine, Device, FindAlive, Health, LunHealth, Watch
from chaos.errors import AgentError, EngineError
from chaos.stack.agent.link import Agent
from chaos.stack.engine import containers, volumes
from chaos.stack.engine.containers import Container, Unstartable
from chaos.stack.engine.identity import Run
from chaos.stack.engine.network import Network
from chaos.stack.live.disks import Unrecoverable
from chaos.stack.live.running import RunningStack
from chaos.stack.spec import Lun, Mount, Service, Stack
from tests.unit.stack.engines import refusal


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


class NotingAgent(ItEnded):
    """An agent that only keeps which services it knows."""

    def __init__(self) -> None:
        super().__init__(Watch)
        self.watched: set[str] = set()

    async def call(self, request: Watch | Confine) -> Done:
        if isinstance(request, Watch):
            self.watched.add(request.service)
        return Done()


Act = Callable[[RunningStack], Awaitable[None]]


def play(monkeypatch: pytest.MonkeyPatch, agent: ItEnded, act: Act) -> None:
    """Act on a stack of a job and two servers, which all have containers."""
    services = (Service("job", restart="on-failure", restarts_max=3), Service("db"), Service("files"))
    stack = Stack("unit", Path("compose.yaml"), {each.name: each for each in services}, {}, (), ("job", 1))
    monkeypatch.setattr(containers, "start", lambda client, container: container)

    async def scene() -> None:
        net, images = Network("", "", "198.18.0.0/24"), dict.fromkeys(stack.services, "")
        running = RunningStack(cast(Any, None), stack, images, Run("run", ""), cast(Agent, agent), net)
        running.running |= {name: Container("id", name, 1) for name in stack.services}
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


def test_a_service_that_the_engine_does_not_start_does_not_come_back_and_every_other_one_is_known_to_the_agent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failed, agent = threading.Event(), NotingAgent()

    def start(client: object, container: Container) -> Container:
        if container.service == "db":
            failed.set()
            raise Unstartable("db cannot be started: input/output error")
        failed.wait(5)
        return container

    async def act(running: RunningStack) -> None:
        monkeypatch.setattr(containers, "start", start)
        with pytest.raises(Unrecoverable, match="db cannot be started: input/output error"):
            await running.start(["db", "files"], 10.0)

    play(monkeypatch, agent, act)
    assert agent.watched == {"files"}


def test_a_port_that_is_in_use_says_nothing_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(client: object, container: Container) -> Container:
        raise EngineError("db cannot be started: address already in use")

    async def act(running: RunningStack) -> None:
        monkeypatch.setattr(containers, "start", start)
        with pytest.raises(EngineError, match="address already in use"):
            await running.start(["db"], 10.0)

    play(monkeypatch, NotingAgent(), act)


def test_a_container_that_the_engine_does_not_make_does_not_come_back_and_every_other_one_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failed = threading.Event()

    def create(client: object, service: Service, *_: object) -> Container:
        if service.name == "db":
            failed.set()
            raise Unstartable("the engine refuses to create db: input/output error")
        failed.wait(5)
        return Container("new", service.name)

    async def act(running: RunningStack) -> None:
        monkeypatch.setattr(containers, "create", create)
        running.running.clear()
        with pytest.raises(Unrecoverable, match="refuses to create db: input/output error"):
            await running.put_in_place(anew=["db", "files"])
        assert running.running == {"files": Container("new", "files")}

    play(monkeypatch, NotingAgent(), act)


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("driver failed: port is already allocated", EngineError),
        ("error while mounting volume: input/output error", Unstartable),
    ],
)
def test_what_the_engine_refuses_to_start_is_the_services_unless_there_is_a_remedy(
    reason: str, error: type[EngineError]
) -> None:
    class Api:
        def start(self, name: str) -> None:
            raise refusal(500, reason)

    class Client:
        api = Api()

    with pytest.raises(EngineError, match=reason) as caught:
        containers.start(cast(Any, Client()), Container("id", "db"))
    assert type(caught.value) is error


def test_a_service_of_which_only_the_agent_knows_that_it_was_killed_does_not_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The engine notices a moment later, and has the exit code."""

    class Knows(ItEnded):
        async def call(self, request: object) -> Alive:  # type: ignore[override]
            assert request == FindAlive(("job", "db", "files"))
            return Alive(("files",))

    noticed = {"db": iter([(True, 0), (True, 0), (False, 137)]), "job": iter([(False, 0)])}
    found: list[str] = []

    async def act(running: RunningStack) -> None:
        monkeypatch.setattr(containers, "state", lambda client, container: next(noticed[container.service]))
        found.extend(await running.not_running())

    play(monkeypatch, Knows(Watch), act)
    assert found == ["db"]


class Disk(ItEnded):
    """An agent of one LUN, whose port is closed or not; it keeps what it is asked."""

    def __init__(self, *, closed: bool, is_removed: threading.Event) -> None:
        super().__init__(Watch)
        self.closed = closed
        self.is_removed = is_removed
        self.is_checked = threading.Event()
        self.asked: list[tuple[str, bool]] = []
        """By kind, with whether the old container was gone then."""

    async def call(self, request: object) -> Any:
        self.asked.append((type(request).__name__, self.is_removed.is_set()))
        match request:
            case Health():
                return LunHealth(closed=self.closed, gave_up=True)
            case Attach():
                return Device("/dev/loop9")
            case Check():
                self.is_checked.set()
                return Checked("clean", ok=True)
        return Done()


@pytest.mark.parametrize("closed", [True, False])
def test_the_disk_of_a_machine_without_power_is_checked_while_the_old_container_goes_and_any_other_one_afterwards(
    monkeypatch: pytest.MonkeyPatch, closed: bool
) -> None:
    is_removed, is_made = threading.Event(), threading.Event()
    agent, did = Disk(closed=closed, is_removed=is_removed), list[str]()

    def create(client: object, service: Service, place: object, attempt: int, sources: object, *_: object) -> Container:
        assert sources == {"data": "holdfast-run-data-1"}
        is_made.set()
        return Container("new", service.name)

    def remove(client: object, container: Container) -> None:
        assert container.id == "old"
        if closed:
            assert is_made.wait(5), "it was waited for"
        is_removed.set()

    def remove_volume(client: object, run: Run, name: str) -> None:
        assert is_removed.is_set()
        did.append(name)

    async def scene() -> None:
        service = Service("db", mounts=(Mount("lun", "data", "/data"),))
        stack = Stack("unit", Path("x"), {"db": service}, {"data": Lun("data", "core", 4096)}, (), ("db", 1))
        net = Network("", "", "198.18.0.0/24")
        running = RunningStack(cast(Any, None), stack, {"db": ""}, Run("run", ""), cast(Agent, agent), net)
        running.running["db"] = Container("old", "db")
        running.disks.names["data"] = "the old volume"
        assert await running.put_in_place(anew=["db"], checked=["data"]) == ["data: clean"]
        assert running.running == {"db": Container("new", "db")}
        assert is_removed.is_set(), "the next one could be started while the old one has its address"

    monkeypatch.setattr(containers, "create", create)
    monkeypatch.setattr(containers, "remove", remove)
    monkeypatch.setattr(volumes, "create_on_lun", lambda *_: None)
    monkeypatch.setattr(volumes, "remove", remove_volume)
    asyncio.run(scene())
    assert did == ["the old volume"]
    assert [gone for kind, gone in agent.asked if kind in ("Attach", "Check")] == [not closed] * 2


def test_a_crash_state_is_made_while_the_one_before_it_goes_and_its_containers_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    is_removed, is_made, did = threading.Event(), threading.Event(), list[str]()
    agent = Disk(closed=False, is_removed=is_removed)

    def create(client: object, service: Service, *_: object) -> Container:
        is_made.set()
        return Container("new", service.name)

    def remove(client: object, container: Container) -> None:
        assert container.id == "old"
        assert agent.is_checked.wait(5), "it was waited for"
        assert not is_made.wait(0.1), "it would join the network of one that still runs"
        is_removed.set()

    async def up(deadline: float, error: object) -> None:
        did.append("up")

    async def scene() -> None:
        service = Service("db", mounts=(Mount("lun", "data", "/data"),))
        stack = Stack("unit", Path("x"), {"db": service}, {"data": Lun("data", "core", 4096)}, (), ("db", 1))
        net = Network("", "", "198.18.0.0/24")
        running = RunningStack(cast(Any, None), stack, {"db": ""}, Run("run", ""), cast(Agent, agent), net)
        running.running["db"] = Container("old", "db")
        running.disks.names["data"] = "the old volume"
        monkeypatch.setattr(running, "_up", up)
        await running.up_after_crash({"data": "/base"}, {"data": Crash("/log", 7, ())}, 10.0)
        assert running.running == {"db": Container("new", "db")}

    monkeypatch.setattr(containers, "create", create)
    monkeypatch.setattr(containers, "remove", remove)
    monkeypatch.setattr(volumes, "create_on_lun", lambda *_: None)
    monkeypatch.setattr(volumes, "remove", lambda client, run, name: did.append(name))
    asyncio.run(scene())
    assert did == ["the old volume", "up"]

"""The carrier's faults: which state each wants, and how the injector brings them about and takes them away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from chaos.agent.request import Request
from chaos.errors import CarrierError
from chaos.experiment.plan import Parameter, ScheduledFault, Target, Trigger
from chaos.faults import injector as module
from chaos.faults import make
from chaos.faults.carrier import live
from chaos.faults.carrier.medium import CarrierFault, CarrierState
from chaos.faults.injector import Injector
from chaos.faults.live import Surroundings
from chaos.history.events import FaultEvent
from chaos.history.recorder import Recorder
from chaos.stack.agent.link import Agent
from chaos.stack.carrier.carrier import Carrier
from chaos.stack.carrier.toxic import Toxic
from chaos.stack.live.roles import Roles
from tests.unit.faults import jumping
from tests.unit.faults.test_injector import stack

HANG = (Toxic("bandwidth", "upstream", {"rate": 0}), Toxic("bandwidth", "downstream", {"rate": 0}))


def late(latency: int, jitter: int = 0) -> Toxic:
    return Toxic("latency", "downstream", {"latency": latency, "jitter": jitter})


def scheduled(name: str, at: Trigger, for_seconds: float | None = None, **parameters: Parameter) -> ScheduledFault:
    return ScheduledFault(name, Target("carrier", True), at, for_seconds, parameters)


def wanted(name: str, **parameters: Parameter) -> CarrierState:
    fault = ScheduledFault(name, Target("carrier", True), Trigger(seconds=1), None, parameters)
    made = make(fault)
    assert isinstance(made, CarrierFault)
    return made.wanted(CarrierState())


def test_down_is_silence_that_keeps_connections_open_or_a_cut() -> None:
    assert wanted("carrier.down") == CarrierState(True, HANG)
    assert wanted("carrier.down", mode="cut") == CarrierState(False)


def test_latency_is_on_the_way_back_and_counts_whatever_its_jitter() -> None:
    assert wanted("carrier.latency", latency_ms=300, jitter_ms=100) == CarrierState(True, (late(300, 100),))
    assert wanted("carrier.latency", latency_ms=300, jitter_ms=100).delay_ms == 300
    assert wanted("carrier.latency", latency_ms=50, jitter_ms=100).delay_ms == 50
    assert wanted("carrier.down").delay_ms == 0


def test_lost_replies_are_cut_at_the_first_byte_beside_what_makes_the_end_a_reset() -> None:
    cut, reset = wanted("carrier.lose_replies", probability=0.25).toxics
    assert reset == Toxic("reset_peer", "downstream", {"timeout": 0}, 0.0)
    assert cut == Toxic("limit_data", "downstream", {"bytes": 0}, 0.25)


class NotingCarrier:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[bool, tuple[Toxic, ...]]] = []
        self.refuses = False
        self.takes_seconds = 0.0

    async def apply(self, listening: bool, toxics: Sequence[Toxic]) -> int:
        await asyncio.sleep(self.takes_seconds)
        if self.refuses:
            raise CarrierError("it is gone")
        self.told.append((listening, tuple(toxics)))
        return round(asyncio.get_running_loop().time() * 1e9)


class SilentAgent:
    """Has nothing to do."""

    async def call(self, request: Request[Any]) -> Any:
        raise AssertionError(f"asked to {request}")


class Scene:
    """An injector with a carrier."""

    def __init__(self, folder: Path, schedule: Sequence[ScheduledFault], carrier: NotingCarrier | None) -> None:
        self.carrier = carrier or NotingCarrier()
        self.events: list[FaultEvent] = []
        self.witnessed: list[tuple[bool, tuple[Toxic, ...]]] = []
        self.recorder = Recorder(folder / "history.jsonl")
        there, agent = stack(), cast(Agent, SilentAgent())
        its = cast(Carrier, carrier) if carrier else None
        at = Surroundings(there, agent, Roles(there, agent), its, self._witness)
        self.injector = Injector(schedule, at, self.recorder, self.events.append, self._mend)

    async def _mend(self) -> None:
        pass

    async def _witness(self) -> None:
        self.witnessed.append(self.carrier.told[-1])


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Plays a scene with these scheduled faults on a clock that jumps."""

    def run(*schedule: ScheduledFault, act: Callable[[Scene], Awaitable[None]], carrier: bool = True) -> None:
        async def scene() -> None:
            made = Scene(tmp_path, schedule, NotingCarrier() if carrier else None)
            try:
                await act(made)
            finally:
                made.recorder.abandon()

        jumping.run(scene(), monkeypatch, module, live)

    return run


def test_overlapping_faults_of_the_carrier_compose_and_go_one_by_one(play: Callable[..., None]) -> None:
    async def act(scene: Scene) -> None:
        scene.injector.begin_load()
        await asyncio.sleep(5)
        await scene.injector.end_load()
        assert scene.carrier.told == [
            (True, (late(100),)),
            (True, (late(100), late(200))),
            (False, (late(100), late(200))),
            (False, (late(200),)),
            (False, ()),
            (True, ()),
        ]
        assert [event.happened for event in scene.events] == ["injected"] * 3 + ["healed"] * 3
        assert [event.evidence for event in scene.events[3:]] == [
            {"carrier_changes": 1, "delay_ms": 100},
            {"carrier_changes": 1, "delay_ms": 200},
            {"carrier_changes": 1},
        ], "each shows what it asked for itself"
        assert all(event.bit for event in scene.events[3:])

    play(
        scheduled("carrier.latency", Trigger(seconds=1), 1.5, latency_ms=100),
        scheduled("carrier.latency", Trigger(seconds=1.5), 1.5, latency_ms=200),
        scheduled("carrier.down", Trigger(seconds=2), 1.5, mode="cut"),
        act=act,
    )


def test_a_witness_looks_while_replies_are_still_lost_and_for_no_other_fault(play: Callable[..., None]) -> None:
    async def act(scene: Scene) -> None:
        scene.injector.begin_load()
        await asyncio.sleep(3.5)
        await scene.injector.end_load()
        [(listening, toxics)] = scene.witnessed
        assert listening
        assert [toxic.type for toxic in toxics] == ["limit_data", "reset_peer"]
        assert scene.carrier.told[-1] == (True, ())

    play(
        scheduled("carrier.lose_replies", Trigger(seconds=1), 1.0),
        scheduled("carrier.latency", Trigger(seconds=2.5), 0.5),
        act=act,
    )


def test_a_fault_was_in_force_from_when_it_took_hold_until_healing_began(play: Callable[..., None]) -> None:
    async def act(scene: Scene) -> None:
        began = asyncio.get_running_loop().time()
        scene.carrier.takes_seconds = 0.25
        scene.injector.begin_load()
        await asyncio.sleep(3)
        await scene.injector.end_load()
        assert [round(event.t / 1e9 - began, 3) for event in scene.events] == [1.25, 2.25]

    play(scheduled("carrier.down", Trigger(seconds=1), 1.0), act=act)


def test_a_carrier_that_refuses_ends_the_load_with_its_error(play: Callable[..., None]) -> None:
    async def act(scene: Scene) -> None:
        scene.carrier.refuses = True
        scene.injector.begin_load()
        await asyncio.sleep(2)
        with pytest.raises(CarrierError, match="it is gone"):
            await scene.injector.end_load()

    play(scheduled("carrier.down", Trigger(seconds=1), 0.5), act=act)


def test_a_stack_without_a_carrier_says_how_to_get_one(play: Callable[..., None]) -> None:
    async def act(scene: Scene) -> None:
        with pytest.raises(CarrierError, match="say `carrier: toxiproxy` under x-chaos"):
            await scene.injector.enter_phase("converge")

    play(scheduled("carrier.down", Trigger(phase="converge")), act=act, carrier=False)

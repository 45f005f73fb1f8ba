"""The injector with an agent that only takes notes: triggers, ends, evidence, and faults laid over each other."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from chaos.agent.request import Done, Request
from chaos.agent.states import Fail, LinkState, LunState
from chaos.agent.wire import Answers, Ask, Event
from chaos.agent.wire_states import (
    ApplyLinks,
    ApplyLuns,
    ApplyServices,
    Arm,
    CountDrops,
    CountIos,
    Counts,
    Disarm,
    Disarmed,
    Drops,
    FellOn,
    Killed,
    Link,
    LinkRead,
    LinksApplied,
    LunCounts,
    LunsApplied,
    LunTraffic,
    ServiceRead,
    ServicesApplied,
)
from chaos.errors import AgentError
from chaos.experiment.drivers import DriverChoice
from chaos.experiment.plan import ScheduledFault, Target, Trigger
from chaos.faults import aim
from chaos.faults import injector as module
from chaos.faults.injector import Injector
from chaos.faults.live import Surroundings
from chaos.faults.lun.disk import IDLE
from chaos.history.events import Act, Back, FaultEvent, Send
from chaos.history.recorder import Recorder
from chaos.stack.agent.link import Agent
from chaos.stack.live.mending import Damage
from chaos.stack.live.roles import Roles
from chaos.stack.spec import Lun, Mount, RoleCheck, Service, Stack
from tests.unit.faults import jumping

ARRAY, ROLE = Target("array", "core"), Target("role", "database")
READS = Fail(frozenset({"read"}))
BASELINE = LunState()
OFF = BASELINE.powered_off()


def stack(*also: Service) -> Stack:
    """db on pgdata and wal (array core), files on photos (array media, with LUNs that nobody mounts)."""
    db = Service("db", mounts=(Mount("lun", "pgdata", "/data"), Mount("lun", "wal", "/wal")))
    files = Service("files", mounts=(Mount("lun", "photos", "/photos"),))
    places = {"pgdata": "core", "wal": "core", "photos": "media", "spare": "media", "repo": "backups"}
    luns = [Lun(name, array, 4096) for name, array in places.items()]
    luns += [Lun(m.source, "local", 4096) for each in also for m in each.mounts if m.source.startswith("local-")]
    return Stack(
        name="unit",
        source=Path("compose.yaml"),
        services={each.name: each for each in (db, files, Service("gateway"), *also)},
        luns={lun.name: lun for lun in luns},
        volumes=(),
        front_door=("gateway", 8080),
        driver=DriverChoice("http"),
        roles={"database": ("db",), "leader": ("db", "files"), "none": ()},
        role_checks={"leader": RoleCheck(8008, "/leader")},
    )


class NotingAgent:
    """Keeps what it was asked, and answers as the real one does."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self.now_ns = now_ns
        self.applied: list[dict[str, LunState]] = []
        self.killed: list[str] = []
        self.unplugged: list[str] = []
        self.within: list[str] = []
        self.dirty: dict[str, int] = {}
        self.alive = {"db", "files", "gateway"}
        self.received_bytes = 1000
        self.state: dict[str, LunState] = dict.fromkeys(stack().luns, BASELINE)
        self.written = dict.fromkeys(self.state, 0)
        self.unflushed: dict[str, int] = {}
        self.counts: dict[tuple[str, int], dict[str, int]] = {}
        self.refuses = False
        self.lapsed: tuple[str, ...] = ()
        self.leased: list[tuple[int, float]] = []
        self.paused: dict[str, bool] = {}
        self.closed: set[Link] = set()
        self.carried: dict[Link, int] = {}
        self.dropped: dict[Link, int] = {}
        self.leaders: set[str] = set()
        self.asked = 0
        self.reads_back_nothing = False
        self.on_struck: dict[int, Callable[[Event], None]] = {}
        self.armed: dict[int, Arm] = {}
        self.came = Disarmed()
        self.strikes_at_last: set[int] = set()

    async def call(self, request: Request[Any]) -> Any:
        await asyncio.sleep(0)
        if self.refuses:
            raise AgentError(f"the agent refused {type(request).__name__}")
        name = type(request).__name__
        return getattr(self, f"_{name}")(request)

    def _CountIos(self, asked: CountIos) -> Counts:  # noqa: N802 - called by the request's name
        return Counts({lun: LunCounts(LunTraffic(), self.counts.get((lun, asked.cause), {})) for lun in asked.luns})

    def _CountDrops(self, asked: CountDrops) -> Drops:  # noqa: N802
        return Drops(tuple(self.dropped.get(link, 0) for link in asked.links))

    def _Ask(self, asked: Ask) -> Answers:  # noqa: N802
        self.asked += 1
        assert all((each.port, each.path, each.says) == (8008, "/leader", "") for each in asked.questions)
        return Answers(tuple(each.service in self.leaders for each in asked.questions))

    def _ApplyLuns(self, asked: ApplyLuns) -> LunsApplied:  # noqa: N802
        self.leased.append((self.now_ns(), asked.lease_seconds))
        self.applied.append(asked.luns)
        dirty = {name: self.dirty.get(name, 0) for name in asked.dirty}
        killed = {name: self._kill(name) for name in asked.kill}
        before = {name: LunTraffic(last_write_ns=self.written[name]) for name in asked.luns}
        self.unplugged += asked.unplug
        self.within += asked.within
        for name in (*asked.unplug, *asked.within):
            self.state[name] = self.state.get(name, BASELINE).powered_off()
        closed = {}
        for name, wanted in asked.luns.items():
            was_open = self.state[name].power
            is_open = was_open and wanted.power and not wanted.lost
            if was_open and not is_open:
                closed[name] = self.unflushed.get(name, 0)
            others = [each for each in self.state[name].effects if each.cause != asked.cause]
            effects = sorted((*others, *wanted.effects), key=lambda each: each.cause)
            self.state[name] = LunState(is_open, self.state[name].lost or wanted.lost, tuple(effects))
        after = {name: self.state[name] for name in asked.luns}
        return LunsApplied(self.now_ns(), dirty, killed, before, closed, after, self.lapsed)

    def _Arm(self, asked: Arm) -> Done:  # noqa: N802
        self.armed[asked.request.cause] = asked
        return Done()

    def _Disarm(self, asked: Disarm) -> Disarmed:  # noqa: N802
        if asked.cause in self.strikes_at_last:
            self.strike(asked.cause)
        self.armed.pop(asked.cause, None)
        return self.came

    def strike(self, cause: int, *, error: str = "") -> None:
        """The I/O that an armed request waits for has come."""
        asked = self.armed.pop(cause)
        fell_on = FellOn(asked.lun, asked.operation, asked.number, asked.before, 8192, 4096, 31)
        applied = None if error else self._ApplyLuns(asked.request)
        self.on_struck.pop(cause)(Event("struck", cause=cause, fell_on=fell_on, applied=applied, error=error))

    def _ApplyServices(self, asked: ApplyServices) -> ServicesApplied:  # noqa: N802
        self.leased.append((self.now_ns(), asked.lease_seconds))
        killed = {name: self._kill(name) for name in asked.kill}
        paused = {name: self._pause(name, wanted.paused) for name, wanted in asked.services.items()}
        return ServicesApplied(self.now_ns(), killed, paused, self.lapsed)

    def _ApplyLinks(self, asked: ApplyLinks) -> LinksApplied:  # noqa: N802
        self.leased.append((self.now_ns(), asked.lease_seconds))
        links = tuple(self._link(link, wanted.open) for link, wanted in asked.links)
        return LinksApplied(self.now_ns(), links, self.lapsed)

    def _pause(self, service: str, wanted: bool) -> ServiceRead:
        alive, was_paused = service in self.alive, self.paused.get(service, False)
        self.paused[service] = wanted and alive
        return ServiceRead(alive, self.received_bytes, was_paused, wanted and alive)

    def _link(self, link: Link, is_open: bool) -> LinkRead:
        was_open = link not in self.closed
        if not self.reads_back_nothing:
            self.closed = self.closed - {link} if is_open else self.closed | {link}
        state = LinkState(open=link not in self.closed)
        return LinkRead(was_open, state, self.carried.get(link, 0), self.dropped.get(link, 0))

    def wrote(self, *luns: str, seconds_ago: float = 0.0) -> None:
        for lun in luns:
            self.written[lun] = self.now_ns() - round(seconds_ago * 1e9)

    def failed(self, lun: str, counter: str = "failed_reads", cause: int = 0) -> None:
        counts = self.counts.setdefault((lun, cause), {})
        counts[counter] = counts.get(counter, 0) + 1

    def _kill(self, service: str) -> Killed:
        self.killed.append(service)
        alive = service in self.alive
        self.alive.discard(service)
        return Killed(alive, self.received_bytes)


class Bench:
    """An injector at work."""

    def __init__(self, folder: Path, *schedule: ScheduledFault, also: Sequence[Service] = ()) -> None:
        self.loop = asyncio.get_running_loop()
        self.agent = NotingAgent(lambda: round(self.loop.time() * 1e9))
        self.agent.alive |= {each.name for each in also}
        self.recorder = Recorder(folder / "history.jsonl")
        self.told: list[FaultEvent] = []
        self.mended: list[float] = []
        self.recreated: list[tuple[float, Sequence[str]]] = []
        self.began = self.loop.time()
        self._operations = 0
        self.finished: Set[str] = frozenset()
        there, agent = stack(*also), cast(Agent, self.agent)
        self.at = Surroundings(there, agent, Roles(there, agent), recreate=self._recreate, finished=self._finished)
        self.injector = Injector(schedule, self.at, self.recorder, self.told.append, self._mend)

    async def _finished(self, names: Iterable[str]) -> Set[str]:
        return self.finished & set(names)

    async def _mend(self) -> None:
        self.mended.append(self.since())

    async def _recreate(self, services: Sequence[str]) -> Sequence[str]:
        assert self.injector.damage.held == set(services), "nobody starts what is just being stopped"
        self.recreated.append((self.since(), services))
        await asyncio.sleep(2)
        return services

    def since(self) -> float:
        return round(self.loop.time() - self.began, 3)

    def acknowledge(self, count: int) -> None:
        for _ in range(count):
            self._operations += 1
            op, t = self._operations, round(self.loop.time() * 1e9)
            self.recorder.append(Act(op, t, "d-1#1", "d-1", "u-1", "create", record=f"r-{op}", write=f"w-{op}"))
            self.recorder.append(Send(op, 1, t))
            self.recorder.append(Back(op, 1, t, "ok"))

    def happened(self) -> list[str]:
        return [event.happened for event in self.told]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Plays a scene with these scheduled faults on a clock that jumps."""

    def run(*schedule: ScheduledFault, act: Callable[[Bench], Awaitable[None]], also: Service | None = None) -> None:
        async def scene() -> None:
            bench = Bench(tmp_path, *schedule, also=() if also is None else (also,))
            try:
                await act(bench)
            finally:
                bench.recorder.abandon()

        jumping.run(scene(), monkeypatch, module, aim)

    return run


def io_error(at: Trigger, target: Target = ARRAY, **more: Any) -> ScheduledFault:
    return ScheduledFault("disk.io_error", target, at, parameters={"operations": ["read"]}, **more)


def test_a_fault_strikes_so_many_seconds_after_the_load_began(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(3.5)
        assert bench.told == []
        await asyncio.sleep(0.6)
        assert bench.happened() == ["injected"]
        assert bench.told[0].t == round((bench.began + 4) * 1e9)
        assert bench.agent.applied == [{"pgdata": BASELINE.with_effect(READS), "wal": BASELINE.with_effect(READS)}]
        await bench.injector.end_load()

    play(io_error(Trigger(seconds=4)), act=act)


def test_a_fault_of_luns_neither_strikes_nor_ends_while_operators_change_disks(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        async with bench.at.changing:
            await asyncio.sleep(5)
            assert (bench.told, bench.agent.applied) == ([], [])
            assert bench.injector.damage == Damage(), "who changes disks may go by what was in force before"
        await asyncio.sleep(1)
        assert bench.happened() == ["injected"]
        async with bench.at.changing:
            await asyncio.sleep(5)
            assert bench.injector.damage.lost == {"pgdata", "wal"}
            assert bench.injector.damage.replaceable == frozenset()
        await asyncio.sleep(1)
        assert bench.injector.damage.replaceable == {"pgdata", "wal"}
        await bench.injector.end_load()

    play(ScheduledFault("san.lose", ARRAY, Trigger(seconds=4), 3.0), act=act)


def test_a_fault_strikes_at_the_nth_acknowledgement(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(1)
        bench.acknowledge(9)
        await asyncio.sleep(1)
        assert bench.told == []
        bench.acknowledge(1)
        await asyncio.sleep(0.01)
        assert bench.happened() == ["injected"]
        await bench.injector.end_load()

    play(io_error(Trigger(acknowledged=10)), act=act)


def test_a_fault_strikes_at_the_begin_of_its_phase(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await bench.injector.end_load()
        await bench.injector.enter_phase("recover")
        assert bench.told == []
        await bench.injector.enter_phase("converge")
        assert bench.happened() == ["injected"]
        assert bench.told[0].phase == "converge"

    play(io_error(Trigger(phase="converge")), act=act)


def test_a_trigger_that_does_not_come_is_missed_and_named(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        bench.acknowledge(3)
        await asyncio.sleep(1)
        await bench.injector.end_load()
        assert bench.happened() == ["missed", "missed"]
        assert [event.why.partition(":")[0] for event in bench.told] == [
            "the load ended after 3 acknowledgements, the trigger asked for 4",
            "the load ended after 1.0 s, the trigger asked for 100 s",
        ]
        assert "give more operations, or a smaller rate_per_second" in bench.told[0].why
        assert not any(event.bit for event in bench.told)
        await bench.injector.heal_all()
        bench.injector.conclude()
        assert bench.happened() == ["missed", "missed"]
        assert bench.agent.applied == []

    play(io_error(Trigger(acknowledged=4)), io_error(Trigger(seconds=100)), act=act)


@pytest.mark.parametrize("turns", range(8))
def test_a_fault_that_is_just_being_injected_as_the_load_ends_is_not_called_missed(
    play: Callable[..., None], turns: int
) -> None:
    """Whatever turn of the event loop the end comes at: it is missed, or it strikes and is healed."""

    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        bench.acknowledge(3)
        for _ in range(turns):
            await asyncio.sleep(0)
        await bench.injector.end_load()
        await bench.injector.heal_all()
        assert bench.happened() in (["missed"], ["injected", "healed"])

    play(ScheduledFault("disk.power_cut", ARRAY, Trigger(acknowledged=3)), act=act)


def test_a_trigger_is_awaited_while_it_can_come(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        bench.acknowledge(3)
        assert [bench.injector.awaits(unsent) for unsent in (6, 7, 8)] == [False, True, True]
        bench.acknowledge(7)
        await asyncio.sleep(0.1)
        assert bench.told[-1].happened == "injected"
        assert not bench.injector.awaits(100), "it has come, and a phase after the load waits for no phone"
        await bench.injector.end_load()

    play(io_error(Trigger(acknowledged=10)), io_error(Trigger(phase="converge")), act=act)


def test_a_phase_that_was_not_reached_is_named(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await bench.injector.end_load()
        bench.injector.conclude()
        assert [(event.happened, event.why) for event in bench.told] == [
            ("missed", "the trial did not reach the phase converge")
        ]

    play(io_error(Trigger(phase="converge")), act=act)


def test_a_fault_with_a_length_heals_by_itself_and_what_it_took_down_is_brought_back(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(1.5)
        assert bench.injector.damage.held == {"db"}
        await asyncio.sleep(2)
        assert bench.happened() == ["injected", "healed"]
        assert bench.mended == [3.0]
        assert bench.injector.damage.held == set()
        await bench.injector.end_load()

    play(ScheduledFault("disk.power_cut", ARRAY, Trigger(seconds=1), for_seconds=2), act=act)


def test_a_fault_that_is_over_by_itself_is_healed_then_unless_it_is_said_when(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(20)
        await bench.injector.end_load()
        assert bench.happened() == ["injected", "injected", "healed", "healed", "injected", "healed"]
        assert bench.mended == [4.5, 5.0, 9.0]

    play(
        ScheduledFault("san.controller_failover", ARRAY, Trigger(seconds=1), parameters={"stall_seconds": 3.5}),
        ScheduledFault("san.controller_failover", ARRAY, Trigger(seconds=3), 2.0, {"stall_seconds": 60}),
        ScheduledFault(
            "san.path_flapping",
            ARRAY,
            Trigger(seconds=6),
            parameters={"times": 2, "away_seconds": 0.5, "back_seconds": 2},
        ),
        act=act,
    )


def test_a_fault_that_would_be_over_by_itself_ends_with_the_load_that_waits_for_it_as_long_as_it_waits_for_a_trigger(
    play: Callable[..., None],
) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        assert bench.injector.awaits(1)
        await asyncio.sleep(2)
        assert bench.injector.awaits(1), "its end"
        await bench.injector.end_load()
        assert (bench.since(), bench.happened()) == (2.0, ["injected", "missed"])
        await bench.injector.heal_all()
        assert bench.happened() == ["injected", "missed", "healed"]
        assert bench.mended == []

    stall = ScheduledFault("san.controller_failover", ARRAY, Trigger(seconds=1), parameters={"stall_seconds": 500})
    play(stall, after_previous(), act=act)


def test_the_evidence_of_several_luns_is_a_sum_but_for_what_happens_to_all_of_them_at_once(
    play: Callable[..., None],
) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(1.5)
        bench.agent.counts[("pgdata", 0)] = {"gaps": 1, "held_ios": 4, "longest_wait_ms": 70}
        bench.agent.counts[("wal", 0)] = {"gaps": 1, "held_ios": 5, "longest_wait_ms": 50}
        await bench.injector.end_load()
        await bench.injector.heal_all()
        assert bench.told[-1].evidence == {"luns": 2, "gaps": 1, "held_ios": 9, "longest_wait_ms": 70}
        assert "I/Os came in 1 of its gaps" in bench.told[-1].why, "two LUNs in one gap are no flapping"

    play(ScheduledFault("san.path_flapping", ARRAY, Trigger(seconds=1)), act=act)


def after_previous(fault: str = "disk.io_error", seconds: float = 0.0, **more: Any) -> ScheduledFault:
    return ScheduledFault(fault, ARRAY, Trigger(seconds_after_previous=seconds), **more)


def test_a_fault_after_another_one_waits_until_that_is_over_and_what_it_took_down_is_back(
    play: Callable[..., None],
) -> None:
    async def act(bench: Bench) -> None:
        async def mend() -> None:
            bench.mended.append(bench.since())
            await asyncio.sleep(10)

        bench.injector._on_healed = mend
        bench.injector.begin_load()
        assert bench.injector.awaits(1)
        await asyncio.sleep(100)
        await bench.injector.end_load()
        told = [(each.index, each.happened, round(each.t / 1e9 - bench.began, 3)) for each in bench.told]
        assert told == [
            *((0, "injected", 1.0), (0, "healed", 3.0)),
            *((1, "injected", 15.0), (1, "healed", 20.0)),
            *((2, "injected", 30.0), (3, "injected", 30.5)),
        ]
        await bench.injector.heal_all()
        assert bench.happened()[-2:] == ["healed", "healed"], "without an end they stay until the load is over"

    play(
        ScheduledFault("disk.power_cut", ARRAY, Trigger(seconds=1), 2.0),
        after_previous("san.controller_failover", 2.0, parameters={"stall_seconds": 5}),
        after_previous(),
        after_previous(seconds=0.5),
        act=act,
    )


def test_what_comes_after_a_fault_that_was_missed_is_missed_too(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(1)
        await bench.injector.end_load()
        assert [(each.happened, each.why.partition(",")[0]) for each in bench.told[:1]] == [
            ("missed", "the load ended after 0 acknowledgements")
        ]
        assert bench.happened() == ["missed"] * 3
        assert "the load ended after 1.0 s, before the fault before it had been over for 2 s" in bench.told[1].why

    play(io_error(Trigger(acknowledged=5)), after_previous(seconds=2.0), after_previous(), act=act)


def test_what_comes_after_a_fault_that_nobody_met_is_missed_at_once(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(60)
        assert bench.happened() == ["missed", "missed"]
        assert bench.told[1].why == "the fault before it, disk.io_error, did not strike"
        assert not bench.injector.awaits(1)
        await bench.injector.end_load()
        assert bench.happened() == ["missed", "missed"]

    play(io_error(Trigger(seconds=0), Target("role", "none")), after_previous(), act=act)


def test_the_end_of_the_load_waits_for_a_fault_that_is_in_force(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(1.5)
        await bench.injector.end_load()
        assert bench.happened() == ["injected", "healed"]
        assert bench.since() == 6.0

    play(io_error(Trigger(seconds=1), for_seconds=5), act=act)


LONG = 3600.0


@pytest.mark.parametrize(
    "scheduled",
    [
        io_error(Trigger(seconds=0), for_seconds=LONG),
        ScheduledFault("process.pause", ROLE, Trigger(seconds=0), LONG),
        ScheduledFault("network.partition", Target("isolate", ("db",)), Trigger(seconds=0), LONG),
    ],
)
def test_a_lease_is_renewed_long_before_it_ends_for_as_long_as_the_fault_is_wanted(
    play: Callable[..., None], scheduled: ScheduledFault
) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(LONG + 1)
        leased = list(bench.agent.leased)
        assert all(later - at <= seconds * 1e9 / 2 for (at, seconds), (later, _) in itertools.pairwise(leased))
        assert leased[-1][0] - leased[0][0] == LONG * 1e9
        await asyncio.sleep(LONG)
        assert bench.agent.leased == leased, "not once it is healed"
        await bench.injector.end_load()

    play(scheduled, act=act)


def test_what_is_renewed_counts_as_injected_once(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(LONG + 1)
        await bench.injector.end_load()
        assert (bench.happened(), bench.agent.killed) == (["injected", "healed"], ["db"])
        assert bench.told[-1].evidence["closed"] == 2

    play(ScheduledFault("disk.power_cut", ARRAY, Trigger(seconds=1), LONG), act=act)


def test_a_loss_for_good_has_no_lease(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(LONG)
        assert len(bench.agent.leased) == 1, "to apply it again would lose what operators have put in its place"
        await bench.injector.end_load()

    play(ScheduledFault("san.lose", ARRAY, Trigger(seconds=1)), act=act)


@pytest.mark.parametrize("for_seconds", [2, 500, 1000])
def test_a_fault_that_ended_by_itself_while_it_was_wanted_is_an_error_of_the_harness(
    play: Callable[..., None], for_seconds: float
) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(1)
        bench.agent.lapsed = ("pgdata",)
        with pytest.raises(AgentError, match=r"disk\.io_error: the fault on pgdata had ended by itself"):
            await bench.injector.end_load()
        assert bench.happened() == ["injected"], "never healed, so nobody takes it for a fault that was in force"

    play(io_error(Trigger(seconds=0.5), for_seconds=for_seconds), act=act)


def test_a_trial_that_breaks_off_renews_nothing(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(1)
        bench.injector.close()
        await asyncio.sleep(LONG)
        assert len(bench.agent.leased) == 1

    play(io_error(Trigger(seconds=0.5)), act=act)


def test_an_injection_that_the_agent_refuses_fails_the_trial(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.agent.refuses = True
        bench.injector.begin_load()
        await asyncio.sleep(2)
        with pytest.raises(AgentError):
            await bench.injector.end_load()

    play(io_error(Trigger(seconds=1)), act=act)


def test_a_power_cut_kills_the_services_on_the_array_and_only_them(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(0.5)
        bench.agent.wrote("wal", seconds_ago=0.25)
        bench.agent.wrote("pgdata", seconds_ago=0.4)
        bench.agent.unflushed = {"wal": 8192, "photos": 4096}
        await asyncio.sleep(0.5)
        await bench.injector.end_load()
        assert bench.agent.killed == ["db"]
        assert bench.agent.applied[0] == {"pgdata": OFF, "wal": OFF}
        await bench.injector.heal_all()
        assert bench.agent.applied[1] == {"pgdata": BASELINE, "wal": BASELINE}
        healed = bench.told[-1]
        assert (healed.happened, healed.bit, healed.why) == ("healed", True, "")
        assert healed.evidence == {
            "luns": 2,
            "closed": 2,
            "services": 1,
            "killed": 1,
            "received_bytes": 1000,
            "discarded_bytes": 8192,
            "seconds_since_write": 0.35,
        }

    play(ScheduledFault("disk.power_cut", ARRAY, Trigger(seconds=0.6)), act=act)


PGDATA = Target("lun", "pgdata")


def test_a_machine_that_loses_power_with_one_of_its_luns_has_no_page_cache_left_for_the_others(
    play: Callable[..., None],
) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(0.5)
        bench.agent.wrote("pgdata")
        bench.agent.unflushed = {"pgdata": 4096, "wal": 8192}
        await asyncio.sleep(0.5)
        assert (bench.agent.killed, bench.agent.unplugged) == (["db"], ["wal"])
        assert list(bench.agent.applied[0]) == ["pgdata"], "the array of the other LUN keeps its power"
        await asyncio.sleep(1)
        await bench.injector.end_load()
        assert (bench.agent.killed, bench.agent.unplugged) == (["db"], ["wal"]), "once"
        assert bench.told[-1].bit
        evidence = bench.told[-1].evidence
        assert (evidence["luns"], evidence["closed"], evidence["discarded_bytes"]) == (1, 1, 4096)

    play(ScheduledFault("disk.power_cut", PGDATA, Trigger(seconds=0.6), for_seconds=1), act=act)


def test_services_that_share_a_lun_are_one_machine_and_lose_power_together(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(1)
        assert (bench.agent.killed, bench.agent.unplugged) == (["db", "backup"], ["wal", "repo"])
        assert bench.injector.damage.held == {"db", "backup"}, "nobody starts the other one meanwhile"
        await bench.injector.end_load()
        await bench.injector.heal_all()
        assert bench.injector.damage.held == set()

    backup = Service("backup", mounts=(Mount("lun", "wal", "/wal"), Mount("lun", "repo", "/repo")))
    cut = ScheduledFault("disk.power_cut", PGDATA, Trigger(seconds=0.6))
    play(cut, act=act, also=backup)


def test_a_local_disk_loses_power_with_its_machine_and_a_san_goes_on(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(1)
        assert (bench.agent.unplugged, bench.agent.within) == (["wal"], ["local-log"])
        assert list(bench.agent.applied[0]) == ["pgdata"], "what it is aimed at is what its evidence is about"
        assert bench.injector.damage.held == {"db", "sidecar"}
        await bench.injector.end_load()

    sidecar = Service("sidecar", mounts=(Mount("lun", "wal", "/wal"), Mount("lun", "local-log", "/log")))
    play(ScheduledFault("disk.power_cut", PGDATA, Trigger(seconds=0.6)), act=act, also=sidecar)


@pytest.mark.parametrize(("finished", "killed"), [({"job"}, 1), (set(), 2)])
def test_who_had_ended_as_it_should_need_not_be_killed(
    play: Callable[..., None], finished: set[str], killed: int
) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        bench.finished = finished
        bench.agent.alive.discard("job")
        await asyncio.sleep(0.5)
        bench.agent.wrote("pgdata")
        await asyncio.sleep(0.5)
        await bench.injector.end_load()
        await bench.injector.heal_all()
        event = bench.told[-1]
        assert (event.evidence["services"], event.evidence["killed"], event.bit) == (killed, 1, killed == 1)

    job = Service("job", mounts=(Mount("lun", "wal", "/wal"),))
    play(ScheduledFault("disk.power_cut", PGDATA, Trigger(seconds=0.6)), act=act, also=job)


@pytest.mark.parametrize(
    ("fault", "target"), [("process.kill", ROLE), ("san.lose", ARRAY), ("disk.lose", PGDATA), ("disk.hang", PGDATA)]
)
def test_only_a_machine_without_power_is_unplugged(play: Callable[..., None], fault: str, target: Target) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(1)
        assert bench.happened() == ["injected"]
        assert bench.agent.unplugged == []
        await bench.injector.end_load()

    play(ScheduledFault(fault, target, Trigger(seconds=0.6)), act=act)


def test_a_write_before_the_load_is_no_write_of_the_load(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.agent.wrote("pgdata", "wal")
        await asyncio.sleep(0.1)
        bench.injector.begin_load()
        await asyncio.sleep(1)
        await bench.injector.end_load()
        await bench.injector.heal_all()
        assert not bench.told[-1].bit
        assert bench.told[-1].why == f"{IDLE}, so the cut could take only what its services keep in memory"

    play(ScheduledFault("disk.power_cut", ARRAY, Trigger(seconds=0.5)), act=act)


def test_only_failures_of_the_own_rule_and_of_the_own_target_count(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(1)
        bench.agent.failed("photos")
        bench.agent.failed("pgdata", cause=1)
        await bench.injector.end_load()
        await bench.injector.heal_all()
        assert (bench.told[-1].bit, bench.told[-1].why) == (False, "no I/O was failed")

    play(io_error(Trigger(seconds=0.5)), act=act)


def test_the_loss_of_an_array_lasts_and_its_evidence_is_taken_once(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(0.4)
        bench.agent.wrote("pgdata")
        await asyncio.sleep(0.2)
        bench.agent.failed("pgdata", "failed_writes")
        await bench.injector.end_load()
        await bench.injector.heal_all()
        await bench.injector.heal_all()
        assert bench.happened() == ["injected", "lasting"]
        assert bench.told[-1].bit
        assert bench.told[-1].evidence["failed_writes"] == 1
        assert bench.injector.damage.lost == {"pgdata", "wal"}
        assert bench.injector.damage.held == set(), "services on a lost array keep running"
        assert bench.agent.killed == []
        assert len(bench.agent.applied) == 1, "nothing takes it back"

    play(ScheduledFault("san.lose", ARRAY, Trigger(seconds=0.5)), act=act)


def test_an_array_lost_in_a_late_phase_is_counted_before_it_is_replaced_and_then_as_good_as_any(
    play: Callable[..., None],
) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        bench.agent.wrote("pgdata")
        await bench.injector.end_load()
        await bench.injector.enter_phase("recover")
        assert bench.injector.damage.lost == {"pgdata", "wal"}
        bench.agent.failed("pgdata", "failed_writes")
        await bench.injector.count_lasting()
        bench.injector.replacing(bench.injector.damage.replaceable)
        assert bench.happened() == ["injected", "lasting"]
        assert bench.injector.damage.lost == set(), "blank LUNs stand there now"
        await bench.injector.enter_phase("converge")
        assert not any(state.lost for state in bench.agent.applied[-1].values())

    play(
        ScheduledFault("san.lose", ARRAY, Trigger(phase="recover")),
        ScheduledFault("disk.power_cut", ARRAY, Trigger(phase="converge")),
        act=act,
    )


def test_the_length_of_a_fault_that_is_for_good_is_no_end_but_the_time_until_the_operators_come(
    play: Callable[..., None],
) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(1)
        assert bench.happened() == ["injected"]
        assert (bench.injector.damage.replaceable, bench.mended) == (set(), [])
        await asyncio.sleep(1)
        assert bench.happened() == ["injected", "lasting"]
        assert len(bench.mended) == 1
        assert bench.injector.damage.lost == bench.injector.damage.replaceable == {"pgdata", "wal"}
        assert bench.agent.state["pgdata"].lost
        await bench.injector.end_load()

    play(ScheduledFault("san.lose", ARRAY, Trigger(seconds=0.5), for_seconds=1), act=act)


def test_what_is_lost_for_good_while_other_luns_are_replaced_is_replaced_later(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(1)
        gone = bench.injector.damage.replaceable
        await asyncio.sleep(1)
        bench.injector.replacing(gone)
        assert (gone, bench.injector.damage.replaceable) == ({"pgdata", "wal"}, {"photos"})
        await bench.injector.end_load()

    play(
        ScheduledFault("san.lose", ARRAY, Trigger(seconds=0.2), for_seconds=0.2),
        ScheduledFault("disk.lose", Target("lun", "photos"), Trigger(seconds=1.2), for_seconds=0.2),
        act=act,
    )


def test_a_lun_that_two_faults_took_is_replaced_once_and_when_both_have_been_counted(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(1)
        assert bench.injector.damage.lost == {"pgdata", "wal"}
        assert bench.injector.damage.replaceable == {"wal"}
        assert bench.injector.can_heal, "the one without an end is in force"
        await bench.injector.end_load()
        await bench.injector.count_lasting()
        assert bench.injector.damage.replaceable == {"pgdata", "wal"}
        bench.injector.replacing({"wal"})
        assert bench.injector.damage.lost == {"pgdata"}
        bench.injector.replacing({"pgdata"})
        assert (bench.injector.damage.lost, bench.injector.can_heal) == (set(), False)

    play(
        ScheduledFault("san.lose", ARRAY, Trigger(seconds=0.2), for_seconds=0.2),
        ScheduledFault("disk.lose", Target("lun", "pgdata"), Trigger(seconds=0.3)),
        act=act,
    )


def test_counters_of_a_lun_that_was_replaced_meanwhile_prove_nothing(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(0.4)
        bench.agent.wrote("pgdata")
        await asyncio.sleep(0.2)
        bench.agent.failed("pgdata")
        bench.agent.counts.clear()
        await bench.injector.end_load()
        await bench.injector.heal_all()
        assert (bench.told[-1].bit, bench.told[-1].why) == (False, "no I/O failed afterwards")

    play(ScheduledFault("san.lose", ARRAY, Trigger(seconds=0.5)), act=act)


def test_a_kill_strikes_every_service_of_a_role_and_holds_them_down(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(1)
        assert bench.agent.killed == ["db"]
        assert bench.injector.damage.held == {"db"}
        await bench.injector.end_load()
        await bench.injector.heal_all()
        assert bench.injector.damage.held == set()
        assert bench.told[-1].bit
        assert bench.agent.applied == [], "no LUN is touched"

    play(ScheduledFault("process.kill", ROLE, Trigger(seconds=0.5)), act=act)


@pytest.mark.parametrize("fault", ["disk.power_cut", "san.lose"])
def test_what_a_service_had_not_flushed_was_under_way_though_the_lun_took_no_write(
    play: Callable[..., None], fault: str
) -> None:
    async def act(bench: Bench) -> None:
        bench.agent.wrote("pgdata", "wal")
        bench.agent.dirty = {"db": 8192, "files": 4096}
        bench.injector.begin_load()
        await asyncio.sleep(7)
        bench.agent.failed("pgdata")
        await bench.injector.end_load()
        await bench.injector.heal_all()
        assert (bench.told[-1].bit, bench.told[-1].evidence["dirty_bytes"]) == (True, 8192), "of its own LUNs' alone"

    play(ScheduledFault(fault, ARRAY, Trigger(seconds=6)), act=act)


@pytest.mark.parametrize(("fault", "bit"), [("disk.lose", False), ("disk.power_cut", True)])
def test_what_is_dirty_tells_nothing_of_a_lun_that_is_lost_where_its_service_has_another_one(
    play: Callable[..., None], fault: str, bit: bool
) -> None:
    """A power cut is another thing: with the machine goes all that its page cache holds."""

    async def act(bench: Bench) -> None:
        bench.agent.dirty = {"db": 8192}
        bench.injector.begin_load()
        await asyncio.sleep(1)
        bench.agent.failed("wal")
        await bench.injector.end_load()
        await bench.injector.heal_all()
        assert bench.told[-1].bit == bit, bench.told[-1]

    play(ScheduledFault(fault, Target("lun", "wal"), Trigger(seconds=0.5)), act=act)


def test_what_cannot_take_a_write_away_does_not_ask_what_is_dirty(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.agent.dirty = {"db": 8192}
        bench.injector.begin_load()
        await asyncio.sleep(1)
        await bench.injector.end_load()
        await bench.injector.heal_all()
        assert "dirty_bytes" not in bench.told[-1].evidence

    play(ScheduledFault("disk.io_error", ARRAY, Trigger(seconds=0.5)), act=act)


def test_a_service_that_is_made_anew_is_stopped_by_nobody_else_and_started_when_the_fault_ends(
    play: Callable[..., None],
) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(1)
        assert (bench.agent.killed, bench.recreated) == ([], [(0.5, ("db",))])
        assert bench.happened() == ["injected"], "it takes hold when the stop begins"
        await bench.injector.end_load()
        assert bench.injector.damage.held == set()
        assert bench.mended == [3.5], "2 s to stop, and 1 s that it is away"
        assert (bench.told[-1].bit, bench.told[-1].evidence["recreated"]) == (True, 1)

    play(ScheduledFault("process.recreate", ROLE, Trigger(seconds=0.5), 1.0), act=act)


def test_a_service_that_was_dead_already_was_not_made_anew(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.agent.alive = {"gateway"}
        bench.injector.begin_load()
        await asyncio.sleep(4)
        await bench.injector.end_load()
        await bench.injector.heal_all()
        assert bench.told[-1].why == "0 of 1 services were running and made anew"

    play(ScheduledFault("process.recreate", ROLE, Trigger(seconds=0.5)), act=act)


def test_a_kill_of_a_dead_or_silent_service_does_not_bite(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.agent.alive = {"gateway"}
        bench.agent.received_bytes = 0
        bench.injector.begin_load()
        await asyncio.sleep(1)
        await bench.injector.end_load()
        await bench.injector.heal_all()
        assert [event.why for event in bench.told if event.happened == "healed"] == [
            "0 of 1 services were running and killed",
            "it had received nothing in the second before",
        ]

    gateway = ScheduledFault("process.kill", Target("service", "gateway"), Trigger(seconds=0.5))
    play(ScheduledFault("process.kill", ROLE, Trigger(seconds=0.5)), gateway, act=act)


def test_overlapping_faults_compose_and_healing_one_keeps_the_other(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        both = BASELINE.with_effect(READS).powered_off()
        await asyncio.sleep(1.5)
        assert bench.agent.state["pgdata"] == BASELINE.with_effect(READS)
        await asyncio.sleep(1)
        assert bench.agent.state["pgdata"] == both
        await asyncio.sleep(1)
        assert bench.agent.state["pgdata"] == OFF, "the cut outlives the rule that came before it"
        assert bench.injector.damage.held == {"db"}
        await asyncio.sleep(1)
        assert bench.agent.state["pgdata"] == OFF, "power comes back through a new port, with the operators"
        assert bench.agent.applied[-1] == {"pgdata": BASELINE, "wal": BASELINE}
        await bench.injector.end_load()

    cut = ScheduledFault("disk.power_cut", ARRAY, Trigger(seconds=2), for_seconds=2)
    play(io_error(Trigger(seconds=1), Target("lun", "pgdata"), for_seconds=2), cut, act=act)


def test_a_fault_does_not_bite_by_what_another_fault_of_its_lun_failed(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(2.5)
        bench.agent.failed("pgdata", "failed_writes", cause=1)
        await asyncio.sleep(10)
        await bench.injector.end_load()
        assert [(event.fault, event.bit, event.why) for event in bench.told if event.happened == "healed"] == [
            ("san.unavailable", True, ""),
            ("disk.io_error", False, "no I/O was failed"),
        ]

    fails = ScheduledFault("san.unavailable", ARRAY, Trigger(seconds=2), 2, {"mode": "fail"})
    play(io_error(Trigger(seconds=1), Target("lun", "pgdata"), for_seconds=5), fails, act=act)


def test_a_power_cut_does_not_bite_where_another_fault_had_closed_the_lun(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(0.9)
        bench.agent.wrote("pgdata", "wal")
        await asyncio.sleep(10)
        await bench.injector.end_load()
        healed = bench.told[-1]
        assert (healed.happened, healed.bit, healed.why) == ("healed", False, "0 of 1 LUNs were closed")
        assert "closed" not in healed.evidence

    lost = ScheduledFault("san.lose", ARRAY, Trigger(seconds=1))
    play(lost, ScheduledFault("disk.power_cut", Target("lun", "pgdata"), Trigger(seconds=3), for_seconds=1), act=act)


def test_two_equal_faults_on_one_lun_are_two(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(2.5)
        other = replace(READS, cause=1)
        assert list(bench.agent.state["pgdata"].effects) == [READS, other]
        await asyncio.sleep(1)
        assert list(bench.agent.state["pgdata"].effects) == [other]
        await bench.injector.end_load()
        await bench.injector.heal_all()
        assert not bench.agent.state["pgdata"].effects

    lun = Target("lun", "pgdata")
    play(io_error(Trigger(seconds=1), lun, for_seconds=2), io_error(Trigger(seconds=2), lun), act=act)


def test_a_lun_stays_lost_whatever_else_heals(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(4)
        await bench.injector.end_load()
        assert bench.agent.state["pgdata"] == OFF.gone()

    play(
        ScheduledFault("san.lose", ARRAY, Trigger(seconds=1)),
        io_error(Trigger(seconds=2), Target("lun", "pgdata"), for_seconds=1),
        act=act,
    )


# --- at an I/O

AT_FLUSH = Trigger(flush=12, lun="pgdata", when="before")
FELL_ON = "before flush 12 of pgdata (31 writes before it, the last one 4096 bytes at 8192)"


def cut_at_flush(at: Trigger = AT_FLUSH, for_seconds: float | None = None) -> ScheduledFault:
    return ScheduledFault("disk.power_cut", ARRAY, at, for_seconds)


def test_a_fault_at_an_io_is_armed_whole_before_the_load_and_told_with_the_io_that_it_fell_on(
    play: Callable[..., None],
) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await bench.injector.arm()
        (armed,) = bench.agent.armed.values()
        assert (armed.lun, armed.operation, armed.number, armed.before) == ("pgdata", "flush", 12, True)
        assert (armed.request.luns, armed.request.kill) == ({"pgdata": OFF, "wal": OFF}, ("db",))
        await asyncio.sleep(3)
        assert (bench.told, bench.agent.applied, bench.injector.damage) == ([], [], Damage())
        bench.agent.wrote("pgdata")
        bench.agent.strike(0)
        assert bench.injector.damage.held == {"db"}, "at once: who mends or restarts must know"
        struck_at = bench.agent.now_ns()
        await asyncio.sleep(1)
        (event,) = bench.told
        assert (event.happened, event.t, event.evidence) == ("injected", struck_at, {"fell_on": FELL_ON})
        await asyncio.sleep(2)
        assert (bench.happened(), bench.told[-1].bit, bench.mended) == (["injected", "healed"], True, [5.0])
        await bench.injector.end_load()
        assert len(bench.agent.applied) == 2, "the strike and its end: nothing was asked for twice"

    play(cut_at_flush(for_seconds=2), act=act)


def test_a_trigger_at_an_io_that_does_not_come_is_missed_with_how_many_there_were(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await bench.injector.arm()
        assert [each.before for each in bench.agent.armed.values()] == [True, False]
        assert bench.injector.awaits(1)
        assert not bench.injector.awaits(0), "with no write left to send none comes"
        bench.agent.came = Disarmed(flushes=7, writes=41)
        await bench.injector.end_load()
        assert not bench.agent.armed
        assert not bench.agent.on_struck
        assert [event.why.partition(":")[0] for event in bench.told] == [
            "the load ended after 7 of 12 flushes of pgdata",
            "the load ended after 41 of 1,000 writes of wal",
        ]
        assert bench.happened() == ["missed", "missed"]

    play(cut_at_flush(), cut_at_flush(Trigger(write=1000, lun="wal", when="after")), act=act)


def test_a_trigger_on_disks_that_operators_took_apart_is_missed_and_says_so(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await bench.injector.arm()
        bench.agent.came = Disarmed(flushes=7, taken_apart=True)
        await bench.injector.end_load()
        assert bench.told[0].why.startswith("operators took its disks or those of the fault away after 7 of 12 flushes")

    play(cut_at_flush(), act=act)


def test_a_fault_that_strikes_as_the_load_ends_is_injected_and_not_missed(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await bench.injector.arm()
        bench.agent.strikes_at_last = {0}
        await bench.injector.end_load()
        assert bench.happened() == ["injected"]
        await bench.injector.heal_all()
        assert bench.happened() == ["injected", "healed"]

    play(cut_at_flush(), act=act)


def test_what_the_agent_could_not_carry_out_at_an_io_ends_the_trial(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await bench.injector.arm()
        bench.agent.strike(0, error="OSError: no")
        await asyncio.sleep(0.1)
        with pytest.raises(AgentError, match=r"disk.power_cut, before flush 12 .* could not do it: OSError: no"):
            await bench.injector.end_load()

    play(cut_at_flush(), act=act)


@pytest.mark.parametrize(
    ("before", "told"), [(FELL_ON, "yes"), ("before flush 12 of pgdata (9 writes)", "no, it was before flush 12 of")]
)
def test_a_plan_that_runs_again_tells_whether_the_fault_fell_on_the_same_io(
    play: Callable[..., None], before: str, told: str
) -> None:
    async def act(bench: Bench) -> None:
        there, told_events = bench.at, bench.told
        bench.injector = Injector([cut_at_flush()], there, bench.recorder, told_events.append, bench._mend, {0: before})
        bench.injector.begin_load()
        await bench.injector.arm()
        bench.agent.strike(0)
        await asyncio.sleep(0.1)
        assert str(bench.told[0].evidence["same_io_as_before"]).startswith(told)

    play(cut_at_flush(), act=act)


def test_an_effect_that_begins_at_an_io_is_renewed_and_composes_with_others(
    play: Callable[..., None],
) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await bench.injector.arm()
        await asyncio.sleep(1.5)
        bench.agent.strike(0)
        assert bench.agent.state["pgdata"].effects == (READS, replace(READS, cause=1))
        await asyncio.sleep(400)
        assert len(bench.agent.leased) == 4, "each was renewed once"
        await bench.injector.heal_all()
        assert bench.agent.state["pgdata"] == BASELINE

    at = Trigger(write=3, lun="pgdata", when="after")
    play(io_error(at, Target("lun", "pgdata")), io_error(Trigger(seconds=1), Target("lun", "pgdata")), act=act)


def test_every_event_is_in_the_history_as_it_was_told(play: Callable[..., None], tmp_path: Path) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(1)
        await bench.injector.end_load()
        await bench.injector.heal_all()
        assert (tmp_path / "history.jsonl").read_text().count('"event":"fault"') == len(bench.told) == 2

    play(io_error(Trigger(seconds=0.5)), act=act)


GATEWAY, DB, FILES = ("gateway",), ("db",), ("files",)


def partition(at: Trigger, *sets: tuple[str, ...], isolate: tuple[str, ...] = (), **more: Any) -> ScheduledFault:
    parameters = {"one_way": more.pop("one_way", False)}
    target = Target("isolate", isolate) if isolate else Target("between", sets)
    return ScheduledFault("network.partition", target, at, parameters=parameters, **more)


def test_a_pause_holds_its_service_and_lets_it_go_on(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(1)
        assert bench.agent.paused == {"db": True}
        assert bench.agent.killed == []
        assert bench.injector.damage.held == {"db"}
        await asyncio.sleep(1)
        assert bench.agent.paused == {"db": False}
        assert bench.injector.damage.held == set()
        await bench.injector.end_load()
        assert (bench.told[-1].bit, bench.told[-1].evidence) == (
            True,
            {"services": 1, "paused": 1, "received_bytes": 1000},
        )
        assert bench.told[-1].target == "database (database is db)"

    play(ScheduledFault("process.pause", ROLE, Trigger(seconds=0.5), for_seconds=1), act=act)


def test_a_pause_of_a_dead_or_silent_service_does_not_bite(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.agent.alive = {"gateway"}
        bench.agent.received_bytes = 0
        bench.injector.begin_load()
        await asyncio.sleep(1)
        await bench.injector.end_load()
        await bench.injector.heal_all()
        assert [event.why for event in bench.told if event.happened == "healed"] == [
            "0 of 1 services were running and paused",
            "it had received nothing in the second before",
        ]

    gateway = ScheduledFault("process.pause", Target("service", "gateway"), Trigger(seconds=0.5))
    play(ScheduledFault("process.pause", ROLE, Trigger(seconds=0.5)), gateway, act=act)


def test_a_pause_of_a_service_that_was_killed_does_not_bite(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(2)
        await bench.injector.end_load()
        await bench.injector.heal_all()
        assert bench.told[-1].why == "0 of 1 services were running and paused"

    kill, pause = (
        ScheduledFault(name, ROLE, Trigger(seconds=at)) for name, at in (("process.kill", 0.5), ("process.pause", 1))
    )
    play(kill, pause, act=act)


def test_two_pauses_of_one_service_end_with_the_later_and_only_the_first_has_paused_it(
    play: Callable[..., None],
) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(2.5)
        assert bench.agent.paused == {"db": True}
        await asyncio.sleep(1)
        assert bench.agent.paused == {"db": False}
        await bench.injector.end_load()
        assert [(event.index, event.why) for event in bench.told if event.happened == "healed"] == [
            (0, ""),
            (1, "0 of 1 services were running and paused"),
        ]

    pauses = [ScheduledFault("process.pause", ROLE, Trigger(seconds=at), for_seconds=2) for at in (0, 1)]
    play(*pauses, act=act)


@pytest.mark.parametrize(
    ("sets", "isolate", "one_way", "links"),
    [
        ((DB, FILES), (), False, {("db", "files"), ("files", "db")}),
        ((DB, FILES), (), True, {("db", "files")}),
        ((DB, FILES, GATEWAY), (), True, {("db", "files"), ("db", "gateway"), ("files", "gateway")}),
        ((("database",), ("gateway", "db")), (), True, {("db", "gateway")}),
        ((), ("db",), True, {("db", "files"), ("db", "gateway")}),
        ((), ("db", "files"), True, {("db", "files"), ("db", "gateway"), ("files", "gateway")}),
    ],
)
def test_a_partition_closes_the_links_between_its_sets(
    play: Callable[..., None],
    sets: tuple[tuple[str, ...], ...],
    isolate: tuple[str, ...],
    one_way: bool,
    links: set[tuple[str, str]],
) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(1)
        assert bench.agent.closed == links
        await bench.injector.end_load()
        await bench.injector.heal_all()
        assert bench.agent.closed == set()

    play(partition(Trigger(seconds=0.5), *sets, isolate=isolate, one_way=one_way), act=act)


def test_overlapping_partitions_compose(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        one = {("db", "files"), ("files", "db")}
        await asyncio.sleep(1.5)
        assert bench.agent.closed == {*one, ("gateway", "db"), ("db", "gateway")}
        assert bench.injector.damage.held == set(), "who is parted from others can be started and mended"
        await asyncio.sleep(1)
        assert bench.agent.closed == one, "the link that both had cut stays cut"
        await asyncio.sleep(1)
        assert bench.agent.closed == set()
        await bench.injector.end_load()

    later = partition(Trigger(seconds=1), DB, FILES, for_seconds=2)
    play(partition(Trigger(seconds=0), DB, (*GATEWAY, *FILES), for_seconds=2), later, act=act)


@pytest.mark.parametrize(
    ("carried", "dropped", "why"),
    [
        ({("db", "files"): 5}, {("db", "files"): 2}, ""),
        ({("db", "files"): 5}, {("files", "db"): 2}, "no packet was dropped on a link that had been in use"),
        ({}, {("db", "files"): 2}, "no link that was cut had carried traffic in the 5 s before"),
        ({("gateway", "db"): 5}, {("gateway", "db"): 5}, "no link that was cut had carried traffic in the 5 s before"),
    ],
)
def test_a_partition_bites_where_a_link_that_was_in_use_dropped_a_packet(
    play: Callable[..., None], carried: dict[tuple[str, str], int], dropped: dict[tuple[str, str], int], why: str
) -> None:
    async def act(bench: Bench) -> None:
        bench.agent.carried = carried
        bench.agent.dropped = dict.fromkeys((("db", "files"), ("files", "db")), 7)
        bench.injector.begin_load()
        await asyncio.sleep(1)
        bench.agent.dropped = {link: 7 + dropped.get(link, 0) for link in bench.agent.dropped}
        await bench.injector.end_load()
        await bench.injector.heal_all()
        assert (bench.told[-1].bit, bench.told[-1].why) == (not why, why)

    play(partition(Trigger(seconds=0.5), DB, FILES), act=act)


def test_a_partition_does_not_bite_on_links_that_another_had_closed(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.agent.carried = {("db", "files"): 5}
        bench.injector.begin_load()
        await asyncio.sleep(2.5)
        bench.agent.dropped = {("db", "files"): 2}
        await asyncio.sleep(3)
        await bench.injector.end_load()
        assert [(event.index, event.why) for event in bench.told if event.happened == "healed"] == [
            (0, ""),
            (1, "no link that was cut had carried traffic in the 5 s before"),
        ]

    play(*(partition(Trigger(seconds=at), DB, FILES, for_seconds=2) for at in (1, 2)), act=act)


def test_a_link_that_does_not_close_is_an_error_of_the_harness(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.agent.reads_back_nothing = True
        bench.injector.begin_load()
        await asyncio.sleep(1)
        with pytest.raises(AgentError, match="db to files, files to db is not in the state that was asked for"):
            await bench.injector.end_load()

    play(partition(Trigger(seconds=0.5), DB, FILES), act=act)


LEADER = Target("role", "leader")


def test_a_role_is_whose_it_is_when_the_fault_strikes(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.agent.leaders = {"db"}
        bench.injector.begin_load()
        await asyncio.sleep(0.4)
        bench.agent.leaders = {"files"}
        await asyncio.sleep(0.2)
        assert bench.agent.paused == {"files": True}
        assert bench.told[-1].target == "leader (leader is files)"
        await bench.injector.end_load()

    play(ScheduledFault("process.pause", LEADER, Trigger(seconds=0.5)), act=act)


def test_any_of_a_role_is_one_of_those_who_have_it(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.agent.leaders = {"db", "files"}
        bench.injector.begin_load()
        await asyncio.sleep(1)
        assert bench.agent.paused == {"db": True}
        await bench.injector.end_load()

    play(ScheduledFault("process.pause", Target("role", "any leader"), Trigger(seconds=0.5)), act=act)


def test_a_disk_fault_on_a_role_strikes_the_luns_that_its_service_mounts(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.agent.leaders = {"files"}
        bench.injector.begin_load()
        await asyncio.sleep(1)
        assert list(bench.agent.applied[-1]) == ["photos"]
        await bench.injector.end_load()

    play(io_error(Trigger(seconds=0.5), LEADER), act=act)


@pytest.mark.parametrize("fault", ["san.unavailable", "san.lose"])
def test_the_array_of_a_role_is_every_lun_beside_those_that_its_service_mounts(
    play: Callable[..., None], fault: str
) -> None:
    async def act(bench: Bench) -> None:
        bench.agent.leaders = {"files"}
        bench.injector.begin_load()
        await asyncio.sleep(1)
        assert list(bench.agent.applied[-1]) == ["photos", "spare"]
        assert [event.target for event in bench.told] == ["leader (leader is files; array media)"]
        await bench.injector.end_load()

    play(ScheduledFault(fault, LEADER, Trigger(seconds=0.5)), act=act)


def test_several_arrays_are_struck_at_one_instant(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(1)
        assert [list(luns) for luns in bench.agent.applied] == [["pgdata", "wal", "photos", "spare"]]
        assert bench.agent.killed == ["db", "files"]
        assert [event.target for event in bench.told] == ["media, core"]
        await bench.injector.end_load()

    play(ScheduledFault("disk.power_cut", Target("arrays", ("media", "core")), Trigger(seconds=0.5)), act=act)


def test_a_disk_fault_on_a_service_without_a_lun_is_missed(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(1)
        await bench.injector.end_load()
        assert [(event.happened, event.why) for event in bench.told] == [("missed", "gateway mounts no LUN")]

    play(io_error(Trigger(seconds=0.5), Target("service", "gateway")), act=act)


def test_a_fault_waits_for_somebody_to_have_its_role(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(5)
        assert bench.told == []
        bench.agent.leaders = {"db"}
        await asyncio.sleep(0.2)
        assert bench.agent.paused == {"db": True}
        await bench.injector.end_load()

    play(ScheduledFault("process.pause", LEADER, Trigger(seconds=0.5)), act=act)


@pytest.mark.parametrize(
    ("seconds", "why"),
    [
        (aim.ROLE_SECONDS_MAX + 1, "nobody had the role leader within 30 s"),
        (1, "nobody had the role that it was aimed at, leader, before the load was over"),
    ],
)
def test_a_role_that_nobody_has_is_a_fault_that_is_missed(play: Callable[..., None], seconds: float, why: str) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(seconds)
        await bench.injector.end_load()
        assert [(event.happened, event.why) for event in bench.told] == [("missed", why)]
        assert bench.agent.applied == [], "nothing is struck instead"

    play(ScheduledFault("process.pause", LEADER, Trigger(seconds=0.5)), act=act)


def test_sets_that_come_to_one_service_have_nothing_to_part(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        bench.injector.begin_load()
        await asyncio.sleep(1)
        await bench.injector.end_load()
        assert bench.told[-1].why == "no link goes from one of its sets to another, so there is nothing to close"

    play(partition(Trigger(seconds=0.5), ("database",), DB), act=act)


def test_a_role_is_asked_about_while_it_is_watched_and_told_when_it_moves(play: Callable[..., None]) -> None:
    async def act(bench: Bench) -> None:
        told: list[tuple[str, tuple[str, ...]]] = []
        watching = asyncio.create_task(
            Roles(stack(), cast(Agent, bench.agent)).watch(lambda *heard: told.append(heard))
        )
        for leaders in (set(), {"db"}, {"db"}, {"files", "db"}):
            bench.agent.leaders = leaders
            await asyncio.sleep(1)
        watching.cancel()
        assert told == [("leader", ()), ("leader", ("db",)), ("leader", ("db", "files"))]
        assert 4 <= bench.agent.asked <= 5, "about once a second"

    play(act=act)

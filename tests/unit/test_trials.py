"""How trials are shared out to stack copies, and what they need before there is an engine."""

from __future__ import annotations

import asyncio
import contextlib
import io
import types
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaos import trials
from chaos.errors import AgentError, HarnessError, UsageError
from chaos.experiment.drivers import DriverChoice
from chaos.experiment.plan import Checks, Limits, Plan, Verdict, Workload
from chaos.preflight.opening import Opened
from chaos.reporting.formats.github import Annotations
from chaos.reporting.formats.junit import JunitReport
from chaos.reporting.listener import Silent, Standing
from chaos.reporting.result import TrialResult
from chaos.stack.inputs.sources import Sources
from chaos.stack.spec import Port, Service, Stack
from chaos.trials import run_trials
from tests.unit.reporting.samples import STACK, plan, result

MINIMAL = Path(__file__).parents[2] / "fixtures/minimal/compose.yaml"


@pytest.mark.parametrize("place", ["file/runs", "/sys/runs"])
def test_a_run_folder_that_cannot_be_made_is_an_error_with_the_remedy(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("no folder")
    plan = Plan("x", "", (MINIMAL,), 1, Workload(), (), Checks(), Limits())
    with pytest.raises(
        HarnessError, match=r"the run folder .*runs.* cannot be made: .*; run from a folder that you may"
    ):
        run_trials([plan], runs=tmp_path / place)


class Engine(Silent):
    """Stands in for stacks and their trials; a trial lasts until it is let go, or until the engine has nothing to do.

    Attributes:
        verdicts: Of each seed; HELD if not said.
        copies: The stack of each copy that was made, in order.
        there: How many copies are there now, and were at most.
        heard: The numbers of trials that were told as finished.
    """

    def __init__(self) -> None:
        self.verdicts: dict[int, Verdict] = {}
        self.errors: dict[int, Exception] = {}
        self.endless: set[int] = set()
        self.slow: set[int] = set()
        self.copies: list[str] = []
        self.there, self.most = 0, 0
        self.ran: list[int] = []
        self.heard: list[int] = []
        self.left_out: list[int] = []
        self.failures: list[str] = []
        self.standings: list[Standing] = []
        self.lines: list[str] = []

    @contextlib.asynccontextmanager
    async def lab(self, stack: Stack, run: object, *rest: object, leave_seconds: float = 0.0) -> AsyncIterator[object]:
        self.copies.append(stack.name)
        self.there += 1
        self.most = max(self.most, self.there)
        await asyncio.sleep(0)
        try:
            yield types.SimpleNamespace(images={}, patient=lambda limits: limits, is_left=False)
        finally:
            await asyncio.sleep(0)
            self.there -= 1

    def open_plans(self, plans: Sequence[Plan], environment: Mapping[str, str]) -> Opened:
        return Opened(
            plans, replace(STACK, name=str(plans[0].stack[0]), services=self.services, unsafe=self.unsafe), Sources()
        )

    services: Mapping[str, Service] = STACK.services
    unsafe: tuple[str, ...] = ()

    def trial(self, plan: Plan, lab: Any, readers: object, folder: Path, told: object) -> object:
        async def run(*, keep: bool, leave: Callable[[TrialResult], bool] | None) -> TrialResult:
            self.ran.append(plan.seed)
            if plan.seed in self.endless:
                await asyncio.Event().wait()
            for _ in range(20 if plan.seed in self.slow else 1):
                await asyncio.sleep(0)
            if plan.seed in self.errors:
                raise self.errors[plan.seed]
            done = replace(result(self.verdicts.get(plan.seed, "HELD")), plan=plan, run_dir=folder)
            lab.is_left = leave is not None and leave(done)
            return done

        return types.SimpleNamespace(run=run)

    def finished(self, result: TrialResult) -> None:
        self.heard.append(result.plan.seed)

    def not_run(self, plan: Plan) -> None:
        self.left_out.append(plan.seed)

    def failed(self, error: BaseException) -> None:
        self.failures.append(str(error))

    def progress(self, at: Standing) -> None:
        self.standings.append(at)

    def log(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Engine:
    made = Engine()

    @contextlib.asynccontextmanager
    async def readers(*given: object) -> AsyncIterator[object]:
        yield None

    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(trials, "lab", made.lab)
    monkeypatch.setattr(trials, "Trial", made.trial)
    monkeypatch.setattr(trials, "open_plans", made.open_plans)
    monkeypatch.setattr(trials, "_keep_inputs", lambda opened, turns: None)
    monkeypatch.setattr("chaos.trials.Readers.open", readers)
    monkeypatch.chdir(tmp_path)
    return made


def drawn(*seeds: int, stack: str = "a", **changes: Any) -> list[Plan]:
    return [replace(plan(seed=seed), stack=(Path(stack),), file=Path(f"{stack}.yaml"), **changes) for seed in seeds]


def is_not(verdict: Verdict) -> Callable[[TrialResult], bool]:
    return lambda result: result.verdict != verdict


def test_trials_of_one_stack_share_a_copy(engine: Engine) -> None:
    results = run_trials(drawn(1, 2, 3), listeners=(engine,))
    assert [each.plan.seed for each in results] == engine.ran == engine.heard == [1, 2, 3]
    assert engine.copies == ["a"]
    assert [folder.name[-3:] for folder in sorted(Path("reports/runs").glob("2*"))] == ["-01", "-02", "-03"]


def test_the_stack_of_a_trial_that_is_not_as_expected_is_left_and_the_next_trial_has_another(engine: Engine) -> None:
    engine.verdicts = {2: "VIOLATED"}
    run_trials(drawn(1, 2, 3, 4), listeners=(engine,), leave_seconds=60)
    assert engine.ran == [1, 2, 3, 4]
    assert engine.copies == ["a", "a"]

    run_trials(drawn(2, 3), runs=Path("more"), listeners=(engine,))
    assert engine.copies == ["a", "a", "a"]


def test_a_setting_that_switches_durability_off_is_told_once_in_a_run(engine: Engine) -> None:
    engine.unsafe = ("compose.yaml:5: db has fsync=off",)
    run_trials(drawn(1, 2, 3), jobs=2, runs=Path("runs"), listeners=[engine])
    assert engine.lines.count("warning: compose.yaml:5: db has fsync=off") == 1


def test_experiments_of_one_stack_share_a_copy_and_others_have_their_own(engine: Engine) -> None:
    mixed = [
        *drawn(1),
        *drawn(2, experiment="other"),
        *drawn(3, stack="b"),
        *drawn(4, stack="b", driver=DriverChoice("x:X")),
    ]
    results = run_trials(mixed, listeners=(engine,))
    assert [each.plan.seed for each in results] == [1, 2, 3, 4]
    assert engine.copies == ["a", "b", "b"]
    assert engine.most == 1
    assert {(at.trial, at.times) for at in engine.standings} == {(1, 4), (2, 4), (3, 4), (4, 4)}


def test_jobs_bound_the_copies_of_all_stacks_together(engine: Engine) -> None:
    mixed = [*drawn(1, 2, 3, 4), *drawn(5, 6, stack="b"), *drawn(7, 8, 9, stack="c")]
    results = run_trials(mixed, jobs=2, listeners=(engine,))
    assert [each.plan.seed for each in results] == list(range(1, 10))
    assert sorted(engine.ran) == list(range(1, 10))
    assert engine.most == 2


def test_a_second_copy_of_a_stack_waits_until_the_first_is_there(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one makes images and golden LUNs."""
    happened: list[str] = []
    lab = engine.lab

    @contextlib.asynccontextmanager
    async def slow(*given: Any, **named: Any) -> AsyncIterator[object]:
        happened.append("begun")
        for _ in range(10):
            await asyncio.sleep(0)
        happened.append("made")
        async with lab(*given, **named) as made:
            yield made

    monkeypatch.setattr(trials, "lab", slow)
    run_trials(drawn(*range(40)), jobs=2, listeners=(engine,))
    assert happened == ["begun", "made"] * 2


def test_the_run_stops_after_the_trial_that_was_to_be_the_last(engine: Engine) -> None:
    engine.verdicts = {2: "VIOLATED"}
    results = run_trials([*drawn(1, 2, 3), *drawn(4, stack="b")], listeners=(engine,), stop_after=is_not("HELD"))
    assert [each.plan.seed for each in results] == engine.ran == [1, 2]
    assert engine.left_out == [3, 4]
    assert engine.failures == []
    assert len(list(Path("reports/runs").glob("2*"))) == 2, "a trial that never began leaves no folder"
    assert engine.there == 0


def test_trials_under_way_are_ended_in_order_and_said_as_not_run(engine: Engine) -> None:
    engine.verdicts, engine.endless = {2: "INCONCLUSIVE"}, {1, 3}
    plans = [*drawn(1), *drawn(2, stack="b"), *drawn(3, stack="c"), *drawn(4, stack="d")]
    told = io.StringIO()
    listeners = (engine, JunitReport(Path("junit.xml")), Annotations(told))
    results = run_trials(plans, jobs=3, listeners=listeners, stop_after=is_not("HELD"))
    assert [each.plan.seed for each in results] == engine.heard == [2]
    assert 'tests="4" failures="1" errors="0" skipped="3"' in Path("junit.xml").read_text(), "each trial once"
    assert told.getvalue().count("::error") == 1
    assert engine.left_out == [1, 3, 4]
    assert engine.failures == ["ended early: no trial was to follow trial 2, which is INCONCLUSIVE"] * 2
    assert len(list(Path("reports/runs").glob("2*"))) == 3
    assert engine.there == 0


def test_when_no_trial_may_begin_any_more_those_under_way_run_to_their_end(engine: Engine) -> None:
    """A trial that loses something may take longer than others: to end it would hide just that one."""
    engine.slow, engine.verdicts = {2}, {2: "VIOLATED"}
    plans = [*drawn(1), *drawn(2, stack="b"), *drawn(3, stack="c")]
    results = run_trials(plans, jobs=2, listeners=(engine,), may_begin=lambda: not engine.heard)
    assert [each.verdict for each in results] == ["HELD", "VIOLATED"]
    assert engine.left_out == [3]
    assert (engine.failures, engine.most) == ([], 2)


def test_one_trial_is_run_however_late_it_is(engine: Engine) -> None:
    assert len(run_trials(drawn(1, 2), listeners=(engine,), may_begin=lambda: False)) == 1
    assert engine.left_out == [2]


def test_who_waits_for_a_copy_that_is_being_made_is_let_go_when_the_run_stops(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = engine.lab

    @contextlib.asynccontextmanager
    async def never(stack: Stack, *given: Any, **named: Any) -> AsyncIterator[object]:
        if stack.name == "a":
            await asyncio.Event().wait()
        async with lab(stack, *given, **named) as made:
            yield made

    engine.verdicts = {3: "VIOLATED"}
    monkeypatch.setattr(trials, "lab", never)
    plans = [*drawn(1, 2), *drawn(3, stack="b")]
    assert len(run_trials(plans, jobs=3, listeners=(engine,), stop_after=is_not("HELD"))) == 1
    assert engine.left_out == [1, 2]


def test_an_error_names_the_file_whose_trial_it_broke(engine: Engine) -> None:
    engine.errors = {2: AgentError("the agent is gone")}
    with pytest.raises(AgentError) as caught:
        run_trials([*drawn(1), *drawn(2, 3, stack="b")], listeners=(engine,))
    assert caught.value.__notes__ == ["b.yaml"]
    assert engine.heard == [1]
    assert len(list(Path("reports/runs").glob("2*"))) == 2, "a trial that never began leaves no folder"


@pytest.mark.parametrize(
    ("plans", "jobs", "refused"),
    [
        (drawn(1, 2), 1, False),
        (drawn(1, 2), 2, True),
        (drawn(1), 2, False),
        ([*drawn(1), *drawn(2, stack="b")], 2, True),
        ([*drawn(1), *drawn(2, stack="b")], 1, False),
    ],
)
def test_no_two_copies_publish_one_port_at_once(engine: Engine, plans: list[Plan], jobs: int, refused: bool) -> None:
    engine.services = {"db": Service("db", image="x", ports=(Port(5432, 15432),))}
    if refused:
        with pytest.raises(UsageError, match=r"the same port of this host \(15432\)"):
            run_trials(plans, jobs=jobs)
        assert engine.copies == []
    else:
        assert len(run_trials(plans, jobs=jobs)) == len(plans)

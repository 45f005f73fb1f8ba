"""Trials of plans made in Python: several on one stack, faults over each other, and all that a run folder holds."""

from __future__ import annotations

import os
import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from chaos.experiment.loader import load_plan
from chaos.experiment.plan import Plan, Trigger
from chaos.faults import catalogue
from chaos.history.events import FaultEvent
from chaos.reporting.listener import Collector, Silent
from chaos.reporting.page.file import HtmlReport
from chaos.reporting.recall import recall
from chaos.reporting.result import TrialResult, to_document
from chaos.stack.engine.client import connect
from chaos.stack.engine.identity import OWNER_LABEL, owner_of
from chaos.trials import run_trials
from tests.integration.plans import CORE, GATEWAY, SMALL, plan_of, reasons, run_one, strike

pytestmark = pytest.mark.engine
RUN_BYTES_MAX = 50 << 20
PHASES = [
    "reset", "canaries", "load", "heal", "recover", "converge",
    "fresh devices", "caches", "cold restart", "reset devices",
]  # fmt: skip
OVERLAPPING = plan_of(
    strike("process.kill", GATEWAY, Trigger(acknowledged=60), for_seconds=0.5),
    strike("disk.power_cut", CORE, Trigger(acknowledged=60), for_seconds=0.3),
    strike("disk.io_error", CORE, Trigger(phase="recover"), parameters={"operations": ["write"], "times": 3}),
    name="overlapping",
    seed=7,
)


class Heard(Silent):
    """Remembers what happened, and breaks when it is told of progress."""

    def __init__(self) -> None:
        self.faults: list[FaultEvent] = []
        self.phases: list[str] = []

    def fault(self, event: FaultEvent) -> None:
        self.faults.append(event)

    def phase(self, name: str, seconds: float | None, detail: str = "") -> None:
        if seconds is not None:
            self.phases.append(name)


class Broken(Silent):
    """A reporter with a defect."""

    def phase(self, name: str, seconds: float | None, detail: str = "") -> None:
        raise ValueError("a reporter's own problem")


@pytest.fixture(scope="module")
def heard() -> Heard:
    return Heard()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def trials(heard: Heard, runs: Path) -> list[TrialResult]:
    """Two trials on one stack."""
    return run_trials([replace(OVERLAPPING, seed=seed) for seed in (7, 8)], runs=runs, listeners=(Broken(), heard))


def test_faults_that_overlap_lose_nothing_of_a_correct_stack(trials: list[TrialResult]) -> None:
    for result in trials:
        assert result.judgement is not None
        assert not result.judgement.anomalies, reasons(result)


def test_every_trial_begins_with_the_same_clean_disks(trials: list[TrialResult]) -> None:
    """What the first trial wrote would be phantoms, or records of the same names, in the second."""
    assert [result.plan.seed for result in trials] == [7, 8]
    for result in trials:
        assert result.judgement is not None
        assert result.judgement.coverable > 50
        assert result.judgement.covered == result.judgement.coverable
        assert result.judgement.canaries_reported == result.judgement.canaries_planted == 2


def test_every_fault_is_told_with_its_evidence(trials: list[TrialResult], heard: Heard) -> None:
    for result in trials:
        kill, cut, _ = result.faults
        assert kill.bit, kill
        assert kill.evidence["killed"] == 1
        assert cut.bit, cut
        assert cut.evidence["closed"] == 1
    assert {event.happened for event in heard.faults} >= {"injected", "healed"}


def test_the_phases_come_in_their_order_though_a_listener_breaks(trials: list[TrialResult], heard: Heard) -> None:
    assert heard.phases == PHASES * len(trials)
    for result in trials:
        assert list(result.phases) == PHASES


def test_trials_on_several_copies_at_once_are_told_one_after_the_other(tmp_path: Path) -> None:
    heard = Heard()
    results = run_trials(
        [replace(OVERLAPPING, seed=seed) for seed in (7, 8, 9)], jobs=2, runs=tmp_path, listeners=(heard,)
    )
    assert [result.plan.seed for result in results] == [7, 8, 9]
    assert heard.phases == PHASES * 3
    for result in results:
        assert result.judgement is not None
        assert not result.judgement.anomalies, reasons(result)
        assert result.judgement.covered == result.judgement.coverable > 50
    by_end = sorted(results, key=lambda result: (result.run_dir / "result.json").stat().st_mtime)
    assert (tmp_path / "latest").resolve() == by_end[-1].run_dir.resolve()


def test_trials_beside_the_last_one_are_ended_in_order_and_leave_nothing(tmp_path: Path) -> None:
    short = plan_of(name="short", workload=replace(SMALL, operations=60))
    long = plan_of(name="long", seed=2, workload=replace(SMALL, operations=20_000))
    collector = Collector()
    results = run_trials(
        [short, long, replace(long, seed=3)],
        jobs=2,
        runs=tmp_path,
        listeners=(collector, HtmlReport()),
        stop_after=lambda result: True,
    )
    assert [result.plan.experiment for result in results] == ["short"]
    assert [plan.seed for plan in collector.left_out] == [2, 3]
    _, cut_short = sorted(path for path in tmp_path.iterdir() if path.is_dir() and not path.is_symlink())
    assert "no trial was to follow trial 1" in (cut_short / "error.json").read_text()
    assert "long" in (cut_short / "report.html").read_text()
    assert not (cut_short / "result.json").exists()
    mine = {"label": [f"{OWNER_LABEL}={owner_of(os.getpid())}"]}
    with closing(connect()) as engine:
        assert engine.api.containers(all=True, filters=mine) == engine.api.networks(filters=mine) == []


def test_a_run_folder_holds_everything_and_stays_small(trials: list[TrialResult], runs: Path) -> None:
    for result in trials:
        folder = result.run_dir
        names = {str(path.relative_to(folder)) for path in folder.rglob("*")}
        assert names >= {"plan.yaml", "history.jsonl", "result.json", "agent.jsonl", "engine.jsonl"}
        assert names >= {"logs/db.log", "logs/gateway.log"}
        assert "luns" not in names
        assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < RUN_BYTES_MAX
        assert all(digest.startswith("sha256:") for digest in result.images.values())
        for name in ("agent.jsonl", "engine.jsonl"):
            assert [orjson.loads(line) for line in (folder / name).read_bytes().splitlines()]
    assert (runs / "latest").resolve() == trials[-1].run_dir.resolve()


def test_a_run_is_judged_again_from_its_folder_alone(trials: list[TrialResult]) -> None:
    for result in trials:
        assert to_document(recall(result.run_dir, catalogue())) == to_document(result)


def test_the_plan_in_the_run_folder_is_the_plan_that_ran(trials: list[TrialResult]) -> None:
    for result in trials:
        kept: Plan = load_plan(result.run_dir / "plan.yaml", catalogue())
        assert (kept.workload, kept.schedule, kept.seed) == (
            result.plan.workload,
            result.plan.schedule,
            result.plan.seed,
        )


def test_the_disks_are_kept_when_asked_for(tmp_path: Path) -> None:
    [result] = run_trials([plan_of(strike("disk.power_cut", CORE))], keep=True, runs=tmp_path)
    kept = {path.name: path.stat().st_size for path in (result.run_dir / "luns").iterdir()}
    assert {Path(name).stem for name in kept} == {"pgdata", "photos"}
    assert all(kept.values())


def test_a_trigger_that_can_still_come_strikes_when_a_slow_service_answers_again(tmp_path: Path) -> None:
    """It stands still for longer than phones usually have patience with once everything was asked for."""
    still = strike("process.pause", GATEWAY, Trigger(acknowledged=60), for_seconds=2.0)
    late = strike("process.kill", GATEWAY, Trigger(acknowledged=120), for_seconds=0.2)
    plan = plan_of(still, late, workload=replace(SMALL, rate_per_second=1000.0))
    result = run_one(plan, tmp_path)
    assert result.verdict == "HELD", reasons(result)
    assert [fault.bit for fault in result.faults] == [True, True]


def test_a_trigger_that_never_comes_is_inconclusive(tmp_path: Path) -> None:
    result = run_one(plan_of(strike("process.kill", GATEWAY, Trigger(seconds=600))), tmp_path)
    assert result.verdict == "INCONCLUSIVE"
    assert re.search(r"the load ended after [\d.]+ s, the trigger asked for 600 s: ask for fewer", reasons(result))

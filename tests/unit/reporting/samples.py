"""Plans and results that the tests of reports share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from chaos.checks.conditions.mix import Mix
from chaos.checks.finding import Finding
from chaos.checks.story import AnomalousRecord, StoryLine
from chaos.checks.verdict import Judgement
from chaos.experiment.drivers import DriverChoice
from chaos.experiment.plan import (
    Checks,
    Limits,
    Plan,
    ScheduledFault,
    Target,
    Trigger,
    Verdict,
    Workload,
)
from chaos.reporting.result import FaultOutcome, TrialResult
from chaos.stack.spec import Lun, Mount, Service, Stack

STACK = Stack(
    name="sidekick",
    source=Path("compose.yaml"),
    services={"db": Service("db", image="postgres:15", mounts=(Mount("lun", "pgdata", "/data"),))},
    luns={"pgdata": Lun("pgdata", "core", 512 << 20)},
    volumes=(),
    front_door=("db", 5432),
    driver=DriverChoice("http"),
)
"""The stack that `plan` strikes."""


def plan(expect: Verdict = "HELD", seed: int = 4711) -> Plan:
    """A plan with one fault."""
    return Plan(
        experiment="sidekick_2009",
        why="The phones' data must outlive the array.",
        stack=(Path("compose.yaml"),),
        seed=seed,
        workload=Workload(users=40, operations=2000),
        schedule=(ScheduledFault("san.lose", Target("array", "core"), Trigger(acknowledged=1200)),),
        checks=Checks(),
        limits=Limits(),
        expect=expect,
        variables={"PASSWORD": "planted-secret"},
    )


def result(verdict: Verdict = "HELD", *, expect: Verdict = "HELD", seed: int = 4711) -> TrialResult:
    """A result that the check had no part in."""
    reasons = {
        "HELD": "every acknowledged record is there",
        "VIOLATED": "811 of 811 records acknowledged before san.lose are lost",
        "INCONCLUSIVE": "san.lose did not bite",
    }
    return TrialResult(
        plan=plan(expect, seed),
        run_dir=Path(f"reports/runs/20261122-191512-{seed}"),
        judgement=None,
        verdict=verdict,
        reason=reasons[verdict],
        phases={"stack ready": 6.1, "load": 5.0, "runbook": 9.84},
        faults=(
            FaultOutcome("san.lose", "core", 15.0, None, True, {"failed_writes": 214, "seconds_since_write": 0.12}),
        ),
        not_covered=("gateway:/var/cache/app (not on a LUN)",),
        images={"db": "sha256:abc"},
    )


def unbitten() -> TrialResult:
    """A trial whose fault did nothing."""
    fault = FaultOutcome("san.lose", "core", 15.0, 16.5, False, {"failed_writes": 0}, "no I/O failed")
    return replace(result("INCONCLUSIVE"), faults=(fault,), not_covered=())


def judgement() -> Judgement:
    """What the check says of the loss of an array."""
    story = (
        StoryLine(12.103, "d-05 created it", "acknowledged by gateway-1"),
        StoryLine(12.25, "d-06 saw it last", "version w-17"),
        StoryLine(15.0, "san.lose core", "failed_writes 214", "struck"),
        StoryLine(31.42, "runbook", "no usable backup; initialised empty"),
        StoryLine(33.902, "a fresh device read everything", "not there", "wrong"),
    )
    finding = Finding(
        "lost", "w-17", "create", "d-05", 12.103, "acknowledged", 12.2, "gateway-1", "fresh", 33.902, "missing"
    )
    return Judgement(
        verdict="VIOLATED",
        reason="811 of 811 records acknowledged before san.lose are lost",
        reasons=(
            "811 of 811 records acknowledged before san.lose are lost",
            "no device was reset with a full outbox, at least one wanted",
        ),
        operations={"ok": 1688, "fail": 260, "info": 52, "degraded": 0},
        anomalies={"lost": 811},
        reported={"stale": 2},
        canaries_planted=2,
        canaries_reported=2,
        covered=1140,
        coverable=1140,
        mix=Mix(2000, 0.38, 0.08, 0.12, 0.07, 0),
        records=(AnomalousRecord("ada-17", "u-03", "contact", ("lost",), story, finding),),
        records_total=811,
        owners_total=40,
    )


def judged(expect: Verdict = "VIOLATED") -> TrialResult:
    """A violated trial with everything that the check found."""
    return replace(result("VIOLATED", expect=expect), judgement=judgement())

"""Plans on `fixtures/minimal`, made in Python and small: a test that needs the real stack needs seconds of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from chaos.experiment.drivers import DriverChoice
from chaos.experiment.plan import (
    Checks,
    Limits,
    Parameter,
    Plan,
    ScheduledFault,
    Target,
    Trigger,
    Workload,
)
from chaos.reporting.result import TrialResult
from chaos.trials import run_trials

ROOT = Path(__file__).parents[2]
MINIMAL = ROOT / "fixtures" / "minimal" / "compose.yaml"

CORE = Target("array", "core")
MEDIA = Target("array", "media")
GATEWAY = Target("service", "gateway")
SMALL = Workload(
    users=6,
    devices_per_user=2,
    operations=240,
    rate_per_second=240.0,
    photos=0.06,
    photo_bytes_max=100_000,
    resets=1,
    request_seconds_max=1.0,
)
MIDDLE = Trigger(acknowledged=100)


def strike(
    fault: str,
    target: Target,
    at: Trigger = MIDDLE,
    for_seconds: float | None = None,
    parameters: Mapping[str, Parameter] | None = None,
) -> ScheduledFault:
    """One fault, in the middle of SMALL unless told otherwise."""
    return ScheduledFault(fault, target, at, for_seconds, parameters or {})


def plan_of(
    *schedule: ScheduledFault,
    name: str = "made_in_python",
    seed: int = 1,
    stack: tuple[Path, ...] = (MINIMAL,),
    workload: Workload = SMALL,
    variables: Mapping[str, str] | None = None,
    profiles: tuple[str, ...] = (),
    driver: str = "",
    driver_folder: Path | None = None,
) -> Plan:
    """A plan whose mix is not judged, and that wants little acknowledged."""
    return Plan(
        experiment=name,
        why="A test.",
        stack=stack,
        seed=seed,
        workload=workload,
        schedule=schedule,
        checks=Checks(minimum_acknowledged=50, require_mix=False),
        limits=Limits(ready_seconds_max=60, recover_seconds_max=30, converge_seconds_max=15, door_seconds_max=20),
        driver=DriverChoice(driver) if driver else None,
        driver_folder=driver_folder,
        profiles=profiles,
        variables=variables or {},
    )


def run_one(plan: Plan, runs: Path) -> TrialResult:
    """One trial."""
    [result] = run_trials([plan], runs=runs)
    return result


def reasons(result: TrialResult) -> str:
    """Everything that the verdict rests on, for a test to look into and for pytest to show."""
    assert result.judgement is not None
    return "\n".join((result.verdict, *result.judgement.reasons))

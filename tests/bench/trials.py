"""How many counted trials a minute: an experiment as it stands, again and again; how long a failover takes.

A trial counts when it is HELD with at least 300 acknowledged operations, its fault bit, and the cold restart and
the final reads were all done. The set-up of the lab (guard, images, network, agent, golden LUNs) comes once before
the first trial, whatever their number, and is left out: the clock runs from the end of the first trial to the end
of the last that ended while every copy of the stack was still at work.
"""

from __future__ import annotations

import tempfile
import time
from itertools import pairwise
from pathlib import Path

from chaos.errors import HarnessError
from chaos.experiment.loader import load_trials
from chaos.faults import catalogue
from chaos.reporting.listener import Silent
from chaos.reporting.result import TrialResult
from chaos.stack.compose import load_stack
from chaos.trials import run_trials
from tests.bench.bed import ROOT
from tests.bench.figures import Bound, Figure, median

_EXPERIMENTS = ROOT / "experiments"
_MINIMAL = _EXPERIMENTS / "power_cut.yaml"
_SYNCSTACK = _EXPERIMENTS / "syncstack" / "kill_gateway_mid_request.yaml"
_FAILOVERS = {
    "lost_disk": _EXPERIMENTS / "syncstack" / "primary_disk_loss.yaml",
    "killed_process": _EXPERIMENTS / "syncstack" / "kill_primary.yaml",
    "partition": _EXPERIMENTS / "syncstack" / "partition_primary.yaml",
}
_SEED = 1
_JOBS = 3
_JOBS_SYNCSTACK = 2
_ACKNOWLEDGED_MIN = 300
_PHASES = frozenset(
    {"reset", "load", "heal", "recover", "converge", "fresh devices", "caches", "cold restart", "reset devices"}
)
_BOUND = Bound("at least", 24.0)
_REST = "check and removal"


class _Clock(Silent):
    """When each trial ended."""

    def __init__(self) -> None:
        self.ended: list[tuple[float, TrialResult]] = []

    def finished(self, result: TrialResult) -> None:
        self.ended.append((time.monotonic(), result))


def per_minute(times: int) -> list[Figure]:
    """Trials on several copies of the stack at once, then one after the other, with where a trial's time goes."""
    many, _, _ = _rate("trials_per_minute.minimal", _MINIMAL, times * _JOBS // 2, _JOBS, _BOUND)
    single, results, seconds = _rate("trials_per_minute.minimal_one_at_a_time", _MINIMAL, times, 1, None)
    rests = [whole - sum(each.phases.values()) for whole, each in zip(seconds, results, strict=True)]
    return [many, single, *_breakdown("trial", results), median(f"trial.{_REST.replace(' ', '_')}_seconds", rests, "s")]


def syncstack(times: int) -> list[Figure]:
    """The full stack, its gateways killed: nothing fails over."""
    rate, results, _ = _rate("trials_per_minute.syncstack", _SYNCSTACK, times, _JOBS_SYNCSTACK, Bound("at least", 3.0))
    return [rate, *_breakdown("trial.syncstack", results)]


def failover(times: int) -> list[Figure]:
    """The full stack, its primary lost in three ways: how many trials, and how long no write was acknowledged."""
    figures: list[Figure] = []
    for way, experiment in _FAILOVERS.items():
        name = f"trials_per_minute.syncstack_failover{'' if not figures else f'.{way}'}"
        bound = None if figures else Bound("at least", 1.0)
        rate, results, _ = _rate(name, experiment, times, _JOBS_SYNCSTACK, bound)
        plan = results[0].plan
        ttl = load_stack(plan.stack, plan.variables, plan.profiles, {}).services["pg1"].environment["PATRONI_TTL"]
        away = [
            (each.outage.known_until - each.outage.begun) / 1e9 for each in results if each.outage and each.outage.ended
        ]
        note = f"{len(away)} of {len(results)} were back within the load; Patroni's ttl {ttl} s"
        if away:
            figures += [rate, median(f"failover_seconds.{way}", away, "s", note=note)]
        else:
            figures += [rate, Figure(f"failover_seconds.{way}", None, "s", samples=0, note=note)]
    return figures


def _breakdown(name: str, results: list[TrialResult]) -> list[Figure]:
    """Where a trial's time goes, by phase."""
    return [
        median(f"{name}.{phase.replace(' ', '_')}_seconds", [each.phases.get(phase, 0.0) for each in results], "s")
        for phase in results[0].phases
    ]


def _rate(
    name: str, experiment: Path, times: int, jobs: int, bound: Bound | None
) -> tuple[Figure, list[TrialResult], list[float]]:
    """The rate, the trials after the first, and the seconds from one end to the next."""
    clock = _Clock()
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        plans = load_trials(experiment, _SEED, times, catalogue())
        run_trials(plans, jobs=jobs, runs=Path(folder), listeners=(clock,))
    ended = clock.ended[: times - jobs + 1]
    later = [result for _, result in ended[1:]]
    counted = [each for each in later if not _why_not_counted(each)]
    if not counted:
        raise HarnessError(f"no trial counted: {_why_not_counted(later[0])}")
    seconds = [after - before for (before, _), (after, _) in pairwise(ended)]
    rate = len(counted) * 60 / (ended[-1][0] - ended[0][0])
    note = f"{len(counted)} of {len(later)} counted, {jobs} at once; without the lab's set-up"
    return Figure(name, rate, "1/min", bound, samples=len(later), note=note), later, seconds


def _why_not_counted(result: TrialResult) -> str:
    if result.verdict != "HELD":
        return f"{result.verdict}: {result.reason}"
    acknowledged = result.judgement.operations["ok"] if result.judgement else 0
    if acknowledged < _ACKNOWLEDGED_MIN:
        return f"{acknowledged} operations were acknowledged"
    if not all(fault.bit for fault in result.faults):
        return "the fault did not bite"
    missing = _PHASES - result.phases.keys()
    return f"without {', '.join(sorted(missing))}" if missing else ""

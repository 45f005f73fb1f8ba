"""How many counted trials a minute: `power_cut` as it stands, again and again.

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
from chaos.experiment.loader import load
from chaos.faults import catalogue
from chaos.reporting.listener import Silent
from chaos.reporting.result import TrialResult
from chaos.trials import run_trials
from tests.bench.bed import ROOT
from tests.bench.figures import Bound, Figure, median

_EXPERIMENT = ROOT / "experiments" / "power_cut.yaml"
_SEED = 1
_JOBS = 3
_ACKNOWLEDGED_MIN = 300
_PHASES = frozenset({"reset", "load", "heal", "recover", "converge", "door 1", "door 2", "cold restart", "door 4"})
_BOUND = Bound("at least", 12.0)
_REST = "check and removal"


class _Clock(Silent):
    """When each trial ended."""

    def __init__(self) -> None:
        self.ended: list[tuple[float, TrialResult]] = []

    def finished(self, result: TrialResult) -> None:
        self.ended.append((time.monotonic(), result))


def per_minute(times: int) -> list[Figure]:
    """Trials on several copies of the stack at once, then one after the other, with where a trial's time goes."""
    many, _, _ = _rate("trials_per_minute.minimal", times * _JOBS // 2, _JOBS, _BOUND)
    single, results, seconds = _rate("trials_per_minute.minimal_one_at_a_time", times, 1, None)
    rests = [whole - sum(each.phases.values()) for whole, each in zip(seconds, results, strict=True)]
    phases = [
        median(f"trial.{name.replace(' ', '_')}_seconds", [each.phases.get(name, 0.0) for each in results], "s")
        for name in results[0].phases
    ]
    return [many, single, *phases, median(f"trial.{_REST.replace(' ', '_')}_seconds", rests, "s")]


def _rate(name: str, times: int, jobs: int, bound: Bound | None) -> tuple[Figure, list[TrialResult], list[float]]:
    """The rate, the trials after the first, and the seconds from one end to the next."""
    clock = _Clock()
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        plan = load(_EXPERIMENT, _SEED, catalogue())
        run_trials(plan, times=times, jobs=jobs, runs=Path(folder), listeners=(clock,))
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

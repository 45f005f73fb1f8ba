"""How many counted trials a minute: `power_cut` as it stands, again and again on one lab.

A trial counts when it is HELD with at least 300 acknowledged operations, its fault bit, and the cold restart and
the final reads were all done. The set-up of the lab (guard, images, network, agent, golden LUNs) comes once before
the first trial, whatever their number, and is left out: the clock runs from the end of the first trial to the end
of the last.
"""

from __future__ import annotations

import tempfile
import time
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
_ACKNOWLEDGED_MIN = 300
_PHASES = frozenset({"reset", "load", "heal", "recover", "converge", "door 1", "door 2", "cold restart", "door 4"})
_BOUND = Bound("at least", 12.0)
_REST = "check and removal"


class _Clock(Silent):
    """When each trial ended."""

    def __init__(self) -> None:
        self.ended: list[float] = []

    def finished(self, result: TrialResult) -> None:
        self.ended.append(time.monotonic())


def per_minute(times: int) -> list[Figure]:
    """Run trials one after the other; the first is not in the rate."""
    clock = _Clock()
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        plan = load(_EXPERIMENT, _SEED, catalogue())
        results = run_trials(plan, times=times, runs=Path(folder), listeners=(clock,))
    later = results[1:]
    counted = [each for each in later if not _why_not_counted(each)]
    if not counted:
        raise HarnessError(f"no trial counted: {_why_not_counted(later[0])}")
    seconds = [after - before for before, after in zip(clock.ended, clock.ended[1:], strict=False)]
    rate = len(counted) * 60 / (clock.ended[-1] - clock.ended[0])
    spread = sorted(60 / each for each in seconds)
    note = f"{len(counted)} of {len(later)} counted; without the lab's set-up; spread: slowest to fastest trial"
    first = Figure("trials_per_minute.minimal", rate, "1/min", _BOUND, spread[0], spread[-1], len(later), note)
    rests = [whole - sum(each.phases.values()) for whole, each in zip(seconds, later, strict=True)]
    phases = [
        median(f"trial.{name.replace(' ', '_')}_seconds", [each.phases.get(name, 0.0) for each in later], "s")
        for name in later[0].phases
    ]
    return [first, *phases, median(f"trial.{_REST.replace(' ', '_')}_seconds", rests, "s")]


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

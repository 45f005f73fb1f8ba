"""How long a trial will take, by what earlier ones of its experiment took here; `holdfast validate` tells it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from chaos.experiment.plan import Plan
from chaos.reporting.result import RESULT_FILE
from chaos.reporting.words import counted, duration

_LAST: Final = 5
_LOOKED_AT_MAX: Final = 500
"""Run folders, the newest first."""


@dataclass(frozen=True)
class Estimate:
    """What one trial takes.

    Attributes:
        seconds: The median of earlier trials; without any what its load takes at its rate, which is the least.
        trials: How many earlier ones that is from.
    """

    seconds: float
    trials: int

    def told(self, times: int) -> str:
        """One line, for so many trials one after the other."""
        if not self.trials:
            return f"time: more than {duration(self.seconds)} a trial, which its load takes; none was run here yet"
        together = f", {counted(times, 'trial')} {duration(times * self.seconds)}" if times > 1 else ""
        return f"time: about {duration(self.seconds)} a trial, by {counted(self.trials, 'earlier one')} here{together}"


def estimate(plan: Plan, runs: Path = Path("reports/runs")) -> Estimate:
    """Look at what trials of this experiment took whose folders are in `runs`; starting the stack is not counted."""
    folders = sorted((each.parent for each in runs.glob(f"*/{RESULT_FILE}")), key=lambda each: each.name, reverse=True)
    took: list[float] = []
    for folder in folders[:_LOOKED_AT_MAX]:
        if len(took) == _LAST or folder.is_symlink():  # `latest` is there by its own name
            continue
        try:
            document = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))
            if document["experiment"] == plan.experiment:
                took.append(sum(map(float, document["phases"].values())))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # no result of this version
    return Estimate(median(took) if took else plan.workload.operations / plan.workload.rate_per_second, len(took))

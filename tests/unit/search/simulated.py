"""Stack copies that are none: a trial's verdict is what a function of its plan says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from chaos.errors import HarnessError
from chaos.experiment.plan import Plan, Search, Verdict
from chaos.preflight.opening import Opened, open_experiment
from chaos.reporting.result import TrialResult, write_result
from chaos.stack.inputs.keeping import Kept, keep
from chaos.workload.actions import actions_of
from chaos.workload.generator import Action
from tests.unit.reporting.samples import judged, result

Said = tuple[Verdict, tuple[int, ...], Sequence[str]]
"""A verdict, the faults that did not bite, and further reasons."""


def minimal(**search: object) -> Opened:
    """The minimal stack and its workload, with no schedule."""
    opened = open_experiment(Path("experiments/power_cut.yaml"), 5)
    plan = replace(opened.plans[0], schedule=(), search=Search(**search))  # type: ignore[arg-type]
    return replace(opened, plans=[plan])


def kept(opened: Opened, folder: Path) -> Kept:
    """What its trials read."""
    folder.mkdir()
    return keep(opened.plans[0], opened.stack, opened.sources, (), folder)


class Simulated:
    """Counts the trials; `says` is the verdict on a plan and what its users do, or None: the trial crashes."""

    at_once = 2

    def __init__(self, says: Callable[[Plan, Sequence[Action]], Said | None]) -> None:
        """No trial yet."""
        self.says = says
        self.plans: list[Plan] = []

    async def trial(self, plan: Plan, folder: Path) -> TrialResult:
        """Run none."""
        await asyncio.sleep(0)
        self.plans.append(plan)
        said = self.says(plan, actions_of(plan))
        if said is None:
            raise HarnessError("no engine answers")
        verdict, toothless, reasons = said
        base = judged() if verdict == "VIOLATED" else result(verdict)
        judgement = replace(
            judged().judgement,  # type: ignore[type-var]
            verdict=verdict,
            anomalies={"lost": 3} if verdict == "VIOLATED" else {},
            toothless=toothless,
            reasons=tuple(reasons),
        )
        found = replace(base, plan=plan, run_dir=folder, verdict=verdict, judgement=judgement, reason=reasons[0])
        write_result(found)
        (folder / "history.jsonl").write_text("")
        return found

"""Trials that are none: their verdicts are what a function of the plan says. Nothing is started."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from chaos.checks.story import AnomalousRecord
from chaos.errors import HarnessError
from chaos.experiment.plan import Plan, Verdict
from chaos.history.events import PLANTED, End, Event, Header, Note
from chaos.history.recorder import encode
from chaos.reporting.listener import FanOut, Listener
from chaos.reporting.result import HISTORY_FILE, TrialResult
from tests.unit.reporting.samples import judged, result

RECORD = "u-00/ada-1"

Said = Verdict | None
"""A verdict; of a plan that plants a loss, whether only that is lost, or HELD: it was not seen. None: it crashes."""


class Simulated:
    """Stands in for `run_trials`.

    Attributes:
        plans: Every plan that was begun, in order.
        also_lost: Records that trials with a planted loss lose besides.
        phases: How long the phases of each trial took.
        between: Called before each trial.
        before: Run folders that another session has made.
        keeps: Whether a trial that crashes has planted its loss.
    """

    def __init__(self, says: Callable[[Plan], Said] = lambda plan: "VIOLATED" if plan.plants_loss else "HELD") -> None:
        """No trial yet."""
        self.says = says
        self.plans: list[Plan] = []
        self.calls: list[int] = []
        self.also_lost: tuple[str, ...] = ()
        self.phases: Mapping[str, float] = {"recover": 2.0}
        self.between: Callable[[], None] = lambda: None
        self.before = 0
        self.keeps = False

    def __call__(
        self,
        plans: Sequence[Plan],
        *,
        jobs: int,
        runs: Path,
        listeners: Sequence[Listener],
        stop_after: Callable[[TrialResult], bool],
        may_begin: Callable[[], bool],
    ) -> object:
        """Tell the listeners of each trial, as it happens."""
        self.calls.append(len(plans))
        fan = FanOut(listeners)
        for number, plan in enumerate(plans, start=1):
            self.between()
            self.plans.append(plan)
            folder = runs / f"{self.before + len(self.plans):04d}"
            folder.mkdir(parents=True)
            fan.started(plan, plan.seed, number, len(plans), folder)
            try:
                said = self.says(plan)
                if said is None:
                    if self.keeps:
                        (folder / HISTORY_FILE).write_bytes(encode(Note(PLANTED, 1, RECORD)))
                    raise HarnessError("no engine answers")
            except BaseException as error:
                fan.failed(error)
                raise
            found = self._result(plan, said, folder)
            fan.finished(found)
            if stop_after(found) or not may_begin():
                return None
        return None

    def _result(self, plan: Plan, said: Verdict, folder: Path) -> TrialResult:
        notes = [Note(PLANTED, 1, RECORD)] if plan.plants_loss else []
        lines: list[Event] = [Header("x", plan.seed, "reject", "keyed"), *notes]
        text = b"".join(encode(each) for each in (*lines, End(t=2, events=len(lines))))
        (folder / HISTORY_FILE).write_bytes(text)
        return self.judged(plan, said, folder)

    def judged(self, plan: Plan, said: Verdict, folder: Path) -> TrialResult:
        """What its trial comes to."""
        base = judged() if said == "VIOLATED" else result(said)
        lost = [RECORD, *self.also_lost] if said == "VIOLATED" else []
        judgement = replace(judged().judgement, verdict=said, records=tuple(map(_lost, lost)))  # type: ignore[type-var]
        return replace(
            base,
            plan=plan,
            run_dir=folder,
            verdict=said,
            judgement=judgement,
            reason=f"it is {said}",
            phases=self.phases,
        )


def _lost(name: str) -> AnomalousRecord:
    owner, record = name.split("/")
    (base,) = judged().judgement.records  # type: ignore[union-attr]
    return replace(base, owner=owner, record=record, classes=("lost",))

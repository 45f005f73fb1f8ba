"""A search: plans are drawn and tried, several side by side, and what came of them is kept.

What was found is written down trial by trial, so a search that was stopped goes on where it was. Every violation is a
finding, whether it ever comes again; only what comes again is made smaller.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from chaos.errors import HarnessError
from chaos.experiment.loader import write_plan
from chaos.experiment.plan import ACTIONS_FILE, Plan
from chaos.preflight.opening import Opened
from chaos.reporting.page.file import write_report
from chaos.reporting.recall import proven_loss
from chaos.reporting.result import PLAN_FILE, RESULT_FILE, TrialResult
from chaos.search.executors.executor import Executor
from chaos.search.results import Results
from chaos.search.strategies import PRIORS, UNIFORM, Drawn, drawn_plans, examples
from chaos.search.tried import Tried, pairs_of, tried
from chaos.stack.inputs.keeping import Kept
from chaos.workload.actions import write_actions

TRIALS_FOLDER: Final = "trials"
_BATCH: Final = 64
"""Plans that are drawn at once."""
_LOOKED_AT: Final = 48
"""Draws of which the one that covers most is tried next."""
_DRAWN_AGAIN: Final = 3
"""Times, until that many are there: a small space has not so many."""
_CRASHES_MAX: Final = 3
"""Trials that crash one after the other before the search does."""
_KEPT: Final = (PLAN_FILE, ACTIONS_FILE, RESULT_FILE)
"""Of a trial that found nothing."""


@dataclass(frozen=True)
class Budget:
    """How much a search may take, the trials of earlier sessions included.

    Attributes:
        trials: At most.
        seconds: Of this session; None: as long as it takes.
        fail_fast: Nothing new is tried after the first violation.
    """

    trials: int
    seconds: float | None = None
    fail_fast: bool = False


class Search:
    """The trials of one search."""

    def __init__(
        self,
        opened: Opened,
        folder: Path,
        kept: Kept,
        budget: Budget,
        first: Sequence[Drawn] = (),
        *,
        uniform: bool = False,
    ) -> None:
        """Read what earlier sessions have tried.

        Args:
            opened: The experiment.
            folder: That of the search.
            kept: What its trials read.
            budget: How much it may take.
            first: Plans to try before any that are drawn.
            uniform: Draw everything with the same chance, and try it in the order of the draws.

        Raises:
            UsageError: No fault that may be drawn can strike the stack.
        """
        self._opened = opened
        self._plan: Plan = opened.plans[0]
        self._folder = folder
        self._kept = kept
        self._budget = budget
        self._strategy = drawn_plans(self._plan, opened.stack, UNIFORM if uniform else PRIORS)
        self._looked_at = 1 if uniform else _LOOKED_AT
        self._batches = 0
        self._results = Results(folder)
        self._known = {each.schedule for each in self.tried}
        self._expected = [each for each in first if each.schedule not in self._known]
        self._ahead: list[Drawn] = []
        self._last = self._results.last
        self._left = budget.trials - self.done
        self._crashes = 0
        self._drawing = asyncio.Lock()
        self._begun = time.monotonic()
        self.seconds = 0.0
        self.here = 0

    @property
    def seconds_left(self) -> float | None:
        """At the pace of this session; None: nothing has been tried in it."""
        if not self.here:
            return None
        took = time.monotonic() - self._begun
        left = took / self.here * (self.total - self.done)
        return left if self._budget.seconds is None else min(left, self._budget.seconds - took)

    @property
    def tried(self) -> Sequence[Tried]:
        """Every trial that is over, those of earlier sessions first."""
        return self._results.tried

    @property
    def done(self) -> int:
        """Trials that are over."""
        return len(self.tried)

    @property
    def total(self) -> int:
        """How many trials there are to be."""
        return self._budget.trials

    @property
    def violated(self) -> int:
        """Findings."""
        return sum(each.outcome == "VIOLATED" for each in self.tried)

    @property
    def covered(self) -> int:
        """Pairs of fault, phase and place that conclusive trials had together."""
        return len(self._results.covered)

    async def run(self, executor: Executor, jobs: int, tell: Callable[[Tried], None]) -> None:
        """Try plans until the budget is used up.

        Raises:
            HarnessError: Several trials in a row crashed; what was found until then is kept.
        """
        self._begun = time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(jobs):
                    group.create_task(self._some(executor, tell))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            self.seconds = time.monotonic() - self._begun

    def folder_of(self, number: int) -> Path:
        """The run folder of a trial."""
        return self._folder / TRIALS_FOLDER / f"{number:04d}"

    @property
    def _is_over(self) -> bool:
        gone = self._budget.seconds is not None and time.monotonic() - self._begun >= self._budget.seconds
        return gone or (self._budget.fail_fast and self.violated > 0) or self._left <= 0

    async def _some(self, executor: Executor, tell: Callable[[Tried], None]) -> None:
        while not self._is_over:
            async with self._drawing:
                drawn = await self._next()
            if drawn is None or self._is_over:
                return
            self._last += 1
            self._left -= 1
            found = await self._try(executor, self._last, drawn)
            if self._results.take(found):
                self.here += 1
                tell(found)

    async def _try(self, executor: Executor, number: int, drawn: Drawn) -> Tried:
        folder, begun = self.folder_of(number), time.monotonic()
        plan = placed(self._kept, drawn, folder)
        try:
            result = await executor.trial(plan, folder)
        except HarnessError as error:
            if (proven := await asyncio.to_thread(proven_loss, folder)) is not None:
                return await self._found(number, proven, begun)
            self._crashes += 1
            if self._crashes == _CRASHES_MAX:
                raise
            return Tried(number, drawn.schedule, "crashed", str(error), seconds=round(time.monotonic() - begun, 3))
        return await self._found(number, result, begun)

    async def _found(self, number: int, result: TrialResult, begun: float) -> Tried:
        self._crashes = 0
        found = tried(number, result, self._opened.stack, time.monotonic() - begun)
        await asyncio.to_thread(_keep, result)
        return found

    async def _next(self) -> Drawn | None:
        """The draw that covers most of what no conclusive trial has covered; None: nothing new can be drawn."""
        if self._expected:
            return self._expected.pop(0)
        for _ in range(_DRAWN_AGAIN):
            if len(self._ahead) < self._looked_at:
                await asyncio.to_thread(self._draw_more)
        if not self._ahead:
            return None
        best = max(self._ahead[: self._looked_at], key=self._gain)  # of several the first
        self._ahead.remove(best)
        return best

    def _gain(self, drawn: Drawn) -> int:
        plan = drawn.plan
        return len(pairs_of(plan.schedule, plan, self._opened.stack) - self._results.covered)

    def _draw_more(self) -> None:
        for each in examples(self._strategy, _BATCH, self._plan.seed * 1000 + self._batches):
            if each.schedule not in self._known:
                self._known.add(each.schedule)
                self._ahead.append(each)
        self._batches += 1


def placed(kept: Kept, drawn: Drawn, folder: Path) -> Plan:
    """Make the run folder of a drawn plan, with everything that runs it from there; the plan that runs there."""
    shutil.rmtree(folder, ignore_errors=True)  # of a session that was stopped meanwhile
    folder.mkdir(parents=True)
    write_actions(drawn.actions, folder / ACTIONS_FILE)
    plan = replace(drawn.plan, actions=folder.resolve() / ACTIONS_FILE)
    write_plan(kept.into(folder, plan), folder / PLAN_FILE)
    return plan


def _keep(result: TrialResult) -> None:
    """Of a violation everything, with its page; of all else what makes it again."""
    if result.verdict == "VIOLATED":
        write_report(result)
        return
    for path in result.run_dir.iterdir():
        if path.name not in _KEPT:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def findings(trials: Sequence[Tried]) -> list[Tried]:
    """Of violations with the same classes the one with fewest faults, the first of them."""
    found: dict[frozenset[str], Tried] = {}
    for each in sorted(trials, key=lambda each: (len(each.schedule), each.number)):
        if each.outcome == "VIOLATED":
            found.setdefault(each.classes, each)
    return sorted(found.values(), key=lambda each: each.number)

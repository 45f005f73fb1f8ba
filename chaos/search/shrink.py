"""A finding made smaller by trials: confirmed, reduced step by step, and written down as a counterexample."""

from __future__ import annotations

import asyncio
import math
import re
import shutil
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import orjson
from pydantic import TypeAdapter

from chaos.errors import HarnessError
from chaos.experiment.loader import load_plan
from chaos.experiment.plan import ScheduledFault, Target
from chaos.faults import catalogue
from chaos.preflight.opening import Opened
from chaos.reporting.page.file import write_report
from chaos.reporting.recall import recall
from chaos.reporting.result import HISTORY_FILE, PLAN_FILE, RESULT_FILE, TrialResult
from chaos.search.campaign import placed
from chaos.search.executors.executor import Executor
from chaos.search.reduce import Case, OutOfBudget, Reducer
from chaos.search.space import narrower
from chaos.search.strategies import Drawn, told
from chaos.search.tried import Tried, violating
from chaos.stack.inputs.keeping import Kept
from chaos.workload.actions import actions_of

FOLDER: Final = "counterexamples"
COUNTEREXAMPLE_FILE: Final = "counterexample.json"
CONFIRMED_BY: Final = 3
"""Executions that a finding is tried again with before it is made smaller."""
MEASURED_BY: Final = 5
"""Executions that say how often the smallest one comes again."""
_TRIES_MAX: Final = 4
_MISSED: Final = 0.1
"""The chance of calling a case harmless that is none, at the rate at which the finding came again."""


@dataclass(frozen=True)
class Counterexample:
    """A finding, as small as it was made.

    Attributes:
        trial: The trial that found it.
        classes: What is violated.
        schedule: The faults that are left, in words.
        operations, users: Of the workload that is left.
        confirmed: How often the finding itself came again, of `CONFIRMED_BY`.
        came_again: How often what is left came again, of `measured`; 0 of 0 where the finding never came again.
        executions: Trials that it took to make it smaller.
        seconds: All of it.
        folder: Where it is kept: a plan, what its users do, a test.
    """

    trial: int
    classes: tuple[str, ...]
    schedule: tuple[str, ...]
    operations: int
    users: int
    confirmed: int
    came_again: int
    measured: int
    executions: int
    seconds: float
    folder: str


class Shrinking:
    """One finding on its way to a counterexample."""

    def __init__(self, opened: Opened, kept: Kept, executor: Executor, finding: Tried, folder: Path, most: int) -> None:
        """Nothing is run yet; `folder` is that of the trial that found it, `most` how many executions it may take."""
        self._opened = opened
        self._kept = kept
        self._executor = executor
        self._finding = finding
        self._plan = load_plan(folder / PLAN_FILE, catalogue())
        self._most = most
        self._begun = time.monotonic()
        self._tries = 1
        self._runs = 0
        self._executions = 0
        self._into = folder.parents[1] / FOLDER / name_of(finding)
        self._scratch = self._into.with_name(f".{self._into.name}")
        self._witness = folder

    async def shrink(self, tell: Callable[[str], None]) -> Counterexample:
        """Confirm, reduce, measure, and write it down; `tell` hears of each step.

        Raises:
            HarnessError: An execution crashed twice; the finding stays as it was found.
        """
        best = Case(self._plan.schedule, actions_of(self._plan))
        confirmed, came_again, measured = await self._count(best, CONFIRMED_BY), 0, 0
        tell(f"it came again {confirmed} of {CONFIRMED_BY} times")
        if confirmed:
            self._tries = _tries(confirmed / CONFIRMED_BY)
            per_user = self._plan.workload.devices_per_user
            best = await Reducer(best, self._shows(tell), self._narrower, per_user).reduce()
            came_again, measured = await self._count(best, MEASURED_BY), MEASURED_BY
            tell(f"what is left came again {came_again} of {MEASURED_BY} times")
        found = Counterexample(
            trial=self._finding.number,
            classes=tuple(sorted(self._finding.classes)),
            schedule=tuple(map(told, best.schedule)),
            operations=best.writes,
            users=len({device // self._plan.workload.devices_per_user for device in best.devices}),
            confirmed=confirmed,
            came_again=came_again,
            measured=measured,
            executions=self._executions,
            seconds=round(time.monotonic() - self._begun, 1),
            folder=str(self._into),
        )
        await asyncio.to_thread(self._write, best, found)
        return found

    def _narrower(self, fault: ScheduledFault) -> Iterator[Target]:
        return narrower(fault, self._opened.stack)

    def _shows(self, tell: Callable[[str], None]) -> Callable[[Case], Coroutine[None, None, bool]]:
        async def shows(case: Case) -> bool:
            for _ in range(self._tries):
                if self._executions == self._most:
                    raise OutOfBudget
                self._executions += 1
                if await self._violates(case):
                    events = "; ".join(map(told, case.schedule))
                    tell(f"{self._executions} executions: {case.writes:,} operations, {events}")
                    return True
            return False

        return shows

    async def _count(self, case: Case, times: int) -> int:
        return sum(await asyncio.gather(*(self._violates(case) for _ in range(times))))

    async def _violates(self, case: Case) -> bool:
        """Run it once; one that crashes is run again. What shows it is kept until something smaller does."""
        drawn = Drawn(replace(self._plan, schedule=case.schedule, inputs=None), actions=case.actions)
        try:
            result = await self._run(drawn)
        except HarnessError:
            result = await self._run(drawn)
        folder = result.run_dir
        if result.verdict != "VIOLATED" or not self._finding.classes & violating(result).keys():
            shutil.rmtree(folder, ignore_errors=True)
            return False
        before, self._witness = self._witness, folder
        if before.parent == self._scratch:
            shutil.rmtree(before, ignore_errors=True)
        return True

    async def _run(self, drawn: Drawn) -> TrialResult:
        self._runs += 1
        folder = self._scratch / f"{self._runs:03d}"
        return await self._executor.trial(placed(self._kept, drawn, folder), folder)

    def _write(self, best: Case, found: Counterexample) -> None:
        """A run folder with what the last execution showed, and the test."""
        why = f"Found by holdfast search: {self._finding.why}"
        plan = replace(self._plan, schedule=best.schedule, inputs=None, expect="HELD", why=why)
        placed(self._kept, Drawn(plan, actions=best.actions), self._into)
        for name in (RESULT_FILE, HISTORY_FILE):
            shutil.copyfile(self._witness / name, self._into / name)
        write_report(recall(self._into, catalogue()))
        (self._into / COUNTEREXAMPLE_FILE).write_bytes(orjson.dumps(asdict(found), option=orjson.OPT_INDENT_2))
        (self._into / f"test_{self._into.name.replace('-', '_')}.py").write_text(_TEST.format(**_words(found)))
        shutil.rmtree(self._scratch, ignore_errors=True)


def name_of(finding: Tried) -> str:
    """The name of a counterexample's folder."""
    return f"{'-'.join(sorted(finding.classes)).replace('_', '-')}-{finding.number:04d}"


def kept_before(folder: Path, finding: Tried) -> Counterexample | None:
    """What an earlier session has made of a finding."""
    file = folder / FOLDER / name_of(finding) / COUNTEREXAMPLE_FILE
    return TypeAdapter(Counterexample).validate_json(file.read_bytes()) if file.is_file() else None


def _tries(rate: float) -> int:
    """Executions after which a case that comes again at this rate would have come again."""
    return 1 if rate >= 1 else min(_TRIES_MAX, math.ceil(math.log(_MISSED) / math.log(1 - rate)))


def _words(found: Counterexample) -> dict[str, str]:
    name = re.sub(r"\W+", "_", "_".join(found.classes))
    events = "\n    ".join(found.schedule)
    return {"name": name, "events": events, "rate": f"{found.came_again} of {found.measured}"}


_TEST: Final = '''"""Found by `holdfast search`, which saw it again {rate} times."""

from pathlib import Path

from chaos import plans


def test_nothing_is_{name}() -> None:
    """What happens:

    {events}
    """
    result = plans.run(Path(__file__).with_name("plan.yaml"))
    assert result.verdict == "HELD", result.reason
'''

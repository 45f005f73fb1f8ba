"""An exploration: a run is recorded once, then its crash states are checked on several stack copies side by side.

What was found is written down state by state, so an exploration that was stopped goes on where it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from chaos.agent.recording import Recording
from chaos.checks.file import judge_file
from chaos.experiment.loader import write_plan
from chaos.experiment.plan import Plan
from chaos.explore.patterns import Patterns, beside
from chaos.explore.points import Block, Boundary, State, boundaries, possible, states
from chaos.explore.recorded import CutHistory, Recorded, have, read_places
from chaos.explore.state import Found, StateCheck, cut_of, key_of
from chaos.history.events import CANARY_OWNER
from chaos.history.model import INFINITY
from chaos.history.reader import read_history
from chaos.preflight.opening import Opened
from chaos.reporting.page.file import write_report
from chaos.reporting.progress.kept import KeptLines
from chaos.reporting.recall import result_of
from chaos.reporting.result import HISTORY_FILE, PLAN_FILE, write_result
from chaos.stack.agent.diary import Diary
from chaos.stack.cache import cache_folder, in_agent, scratch_of, unfinished
from chaos.stack.engine.identity import Run
from chaos.stack.live.lifecycle import lab
from chaos.trial import RECORDING_FOLDER, unless_the_agent_dies
from chaos.workload.reads.doors import Readers

STATES_FILE: Final = "states.jsonl"
VIOLATION_FOLDER: Final = "violation"
"""A run folder of the earliest state in which something is wrong, for `holdfast check`."""


@dataclass
class Progress:
    """How far an exploration is; `checked` has what was found, that of an earlier session too."""

    total: int
    checked: list[Found] = field(default_factory=list)
    here: int = 0
    begun: float = field(default_factory=time.monotonic)

    @property
    def done(self) -> int:
        """States that are checked."""
        return len(self.checked)

    @property
    def violated(self) -> int:
        """States in which something is wrong."""
        return sum(each.outcome == "violated" for each in self.checked)

    @property
    def seconds_left(self) -> float | None:
        """At the pace of this session; None: nothing has been checked in it."""
        if not self.here:
            return None
        return (time.monotonic() - self.begun) / self.here * (self.total - len(self.checked))


@dataclass(frozen=True)
class Explored:
    """What an exploration has come to.

    Attributes:
        boundaries: Instants at which a cut may leave something else.
        possible: Crash states at them: at each every subset of what was not flushed.
        wanted: How many were to be checked.
        patterns: How many patterns of states there are; None: nobody asked.
        acknowledged: Creates, updates and deletes in the recording.
        found: What was checked, in the order of the recording.
        seconds: Of checking, in this session.
    """

    folder: Path
    boundaries: int
    possible: int
    wanted: int
    patterns: int | None
    acknowledged: int
    found: Sequence[Found]
    checked_here: int
    seconds: float

    @property
    def violated(self) -> Sequence[Found]:
        """Those in which something is wrong."""
        return [each for each in self.found if each.outcome == "violated"]

    @property
    def undecided(self) -> Sequence[Found]:
        """Those in which not everything could be read."""
        return [each for each in self.found if each.outcome == "undecided"]

    @property
    def earliest(self) -> Found | None:
        """The first violation of the recording."""
        return min(self.violated, key=lambda each: each.order, default=None)

    @property
    def smallest(self) -> Found | None:
        """The violation for which fewest blocks had to be taken."""
        return min(self.violated, key=lambda each: (each.taken, each.instant), default=None)


class Exploration:
    """The states of one recording."""

    def __init__(self, opened: Opened, folder: Path, most: int, subsets: int, *, representative: bool = False) -> None:
        """Read the recording, and what an earlier session has found.

        Of the states that there are with so many subsets at each boundary, at most so many are checked; with
        `representative` a few of each pattern.

        Raises:
            UsageError, HarnessError: They cannot be read.
        """
        self._opened = opened
        self._plan: Plan = replace(opened.plans[0], schedule=())
        self._folder = folder
        self._recorded = Recorded.read(folder)
        recordings = self._recorded.recordings(folder)
        self._boundaries: list[Boundary] = boundaries(recordings, self._recorded.begin_ns, self._recorded.end_ns)
        self._history = CutHistory(folder / HISTORY_FILE)
        history = read_history(folder / HISTORY_FILE)
        self._owners = sorted({owner for owner, _ in history.records} - {CANARY_OWNER})
        answers = sorted(
            each.acknowledged_at
            for (owner, _), of_record in history.records.items()
            for each in of_record
            if owner != CANARY_OWNER and each.acknowledged_at != INFINITY
        )
        self._acknowledged = len(answers)
        every = most if not representative else (1 + subsets) * len(self._boundaries)
        self.states = list(states(self._boundaries, every, subsets, self._recorded.seed))
        self.patterns = Patterns(self._boundaries, _places(folder, recordings), answers) if representative else None
        rankings = self.patterns.representatives(self.states) if self.patterns else [[each] for each in self.states]
        self._next = {key_of(first): rest for first, *rest in rankings} if representative else {}
        self._kept = KeptLines(folder / STATES_FILE, Found)
        self._known = {found.key: found for found in self._kept.read()}
        self._wanted = set[tuple[int, tuple[Block, ...]]]()
        self._left = deque[State]()
        self._most = most
        self.progress = Progress(0)
        for first, *_ in sorted(rankings, key=lambda each: (bool(each[0].survivors), each[0].boundary.instant)):
            self._want(first)
        self._stopped = False

    def _want(self, state: State) -> None:
        """Have a state checked, if there may be more; what is known of it already counts as checked here."""
        key = key_of(state)
        if key not in self._wanted and len(self._wanted) < self._most:
            self._wanted.add(key)
            self.progress.total += 1
            if key in self._known:
                self.progress.checked.append(self._known[key])
            else:
                self._left.append(state)
        if key in self._wanted and key in self._known:
            self._follow(state, self._known[key])

    def _follow(self, state: State, found: Found) -> None:
        """Of a representative what is checked after it: with something wrong those beside it, else the next one."""
        rest = self._next.pop(key_of(state), None)
        if rest is None:
            return
        if found.outcome == "violated":
            for each in beside(state, self.states):
                self._want(each)
        elif rest:
            self._next[key_of(rest[0])] = rest[1:]
            self._want(rest[0])

    async def check(self, jobs: int, *, fail_fast: bool, tell: Callable[[Found], None]) -> Explored:
        """Check the states that have not been checked yet.

        Args:
            jobs: Stack copies at once.
            fail_fast: Stop after the first state in which something is wrong.
            tell: Takes what was found, state by state.

        Raises:
            HarnessError: Anything but the service failed; what was found until then is kept.
        """
        self._stopped = fail_fast and self.progress.violated > 0
        self.progress.begun = time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(jobs, len(self._left))):
                    group.create_task(self._on_a_copy(tell, fail_fast))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        if self.progress.violated:
            await asyncio.to_thread(self._keep_violation)
        return self.result(time.monotonic() - self.progress.begun)

    def result(self, seconds: float) -> Explored:
        """What has come of it until now, after so many seconds of this session."""
        return Explored(
            folder=self._folder,
            boundaries=len(self._boundaries),
            possible=possible(self._boundaries),
            wanted=self.progress.total,
            patterns=None if self.patterns is None else len({self.patterns.of(each) for each in self.states}),
            acknowledged=self._acknowledged,
            found=sorted(self.progress.checked, key=lambda each: (each.instant, each.number)),
            checked_here=self.progress.here,
            seconds=seconds,
        )

    async def _on_a_copy(self, tell: Callable[[Found], None], fail_fast: bool) -> None:
        plan, stack = self._plan, self._opened.stack
        run = Run.begin(plan.seed)
        scratch = unfinished(cache_folder() / "scratch" / "readers")
        with contextlib.closing(Diary()) as diary:
            diary.open(self._folder)
            async with (
                Readers.open(plan.driver or stack.driver, plan.driver_folder, scratch) as readers,
                lab(stack, run, plan.limits, diary.agent, _nowhere, repeats=True) as made,
            ):
                self._recorded.require_golden(made.golden.name, self._folder)
                logs = scratch_of(run.id) / RECORDING_FOLDER
                await asyncio.to_thread(_linked, self._folder / RECORDING_FOLDER, logs)
                paths = {lun: f"{in_agent(logs)}/{name}" for lun, name in self._recorded.luns.items()}
                checks = StateCheck(made, readers, plan.limits, self._recorded, paths, self._history, self._owners)
                file = scratch_of(run.id) / HISTORY_FILE
                while self._left and not self._stopped:
                    state = self._left.popleft()
                    found = await unless_the_agent_dies(made.running, checks.check(state, file), self._folder)
                    self._take(found, file)
                    self._follow(state, found)
                    self._stopped = self._stopped or (fail_fast and found.outcome == "violated")
                    tell(found)

    def _take(self, found: Found, file: Path) -> None:
        self._kept.add(found)
        earliest = min((each.order for each in self.progress.checked if each.outcome == "violated"), default=None)
        if found.outcome == "violated" and (earliest is None or found.order < earliest):
            folder = self._folder / VIOLATION_FOLDER
            folder.mkdir(exist_ok=True)
            shutil.copyfile(file, folder / HISTORY_FILE)
        self.progress.checked.append(found)
        self.progress.here += 1
        self._known[found.key] = found

    def _keep_violation(self) -> None:
        """Make the earliest violation a run folder of its own, with its page."""
        folder = self._folder / VIOLATION_FOLDER
        found = self.result(0.0).earliest
        assert found is not None
        schedule = (cut_of(found, self._opened.stack),)
        plan = replace(self._plan, schedule=schedule, expect="VIOLATED")
        write_plan(plan, folder / PLAN_FILE)
        result = result_of(plan, folder, *judge_file(folder / HISTORY_FILE), (), {})
        write_result(result)
        write_report(result)


def _places(folder: Path, recordings: Mapping[str, Recording]) -> dict[Block, str]:
    """What each block of each log is, by its place in the log."""
    by_block = read_places(folder)
    return {(lun, at): by_block[lun][block] for lun, each in recordings.items() for at, block in enumerate(each.blocks)}


def _nowhere(line: str) -> None:
    """What there is to say of the stack was said when it was recorded."""


def _linked(folder: Path, to: Path) -> None:
    """Have the files of a folder in another one."""
    to.mkdir(parents=True)
    for path in folder.iterdir():
        have(path, to / path.name)

"""An exploration: a run is recorded once, then its crash states are checked on several stack copies side by side.

What was found is written down state by state, so an exploration that was stopped goes on where it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

import orjson

from chaos.experiment.loader import write_plan
from chaos.experiment.plan import Plan
from chaos.explore.points import Boundary, boundaries, possible, states
from chaos.explore.recorded import CutHistory, Recorded, identity
from chaos.explore.state import Found, StateCheck, key_of
from chaos.history.events import CANARY_OWNER
from chaos.history.reader import read_history
from chaos.preflight.opening import Opened
from chaos.reporting.listener import FanOut, Listener, Teller
from chaos.reporting.result import HISTORY_FILE, PLAN_FILE
from chaos.stack.agent.diary import Diary
from chaos.stack.cache import CACHE_IN_AGENT, cache_folder, scratch_of
from chaos.stack.engine.identity import Run
from chaos.stack.inputs.keeping import keep
from chaos.stack.live.lifecycle import Lab, lab
from chaos.trial import LOGS_FOLDER, RECORDING_FOLDER, Trial, unless_the_agent_dies
from chaos.workload.drivers.files import driver_files
from chaos.workload.reads.doors import Readers

STATES_FILE: Final = "states.jsonl"
STATE_HISTORIES: Final = "violated"
"""The folder of the histories of the first states in which something is wrong."""
_HISTORIES_MAX: Final = 100


@dataclass
class Progress:
    """How far an exploration is; `checked` has what was found, that of an earlier session too."""

    total: int
    checked: list[Found] = field(default_factory=list)
    here: int = 0
    begun: float = field(default_factory=time.monotonic)

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
        acknowledged: Creates, updates and deletes in the recording.
        found: What was checked, in the order of the recording.
        seconds: Of checking, in this session.
    """

    folder: Path
    boundaries: int
    possible: int
    wanted: int
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
        return min(self.violated, key=lambda each: (each.instant, each.taken), default=None)

    @property
    def smallest(self) -> Found | None:
        """The violation for which fewest writes had to be taken."""
        return min(self.violated, key=lambda each: (each.taken, each.instant), default=None)


async def record(opened: Opened, folder: Path, listeners: Sequence[Listener]) -> None:
    """Run the load once, without any fault, and keep its history and the write logs of all LUNs in a folder.

    Raises:
        HarnessError: Anything but the service failed.
    """
    plan = replace(opened.plans[0], schedule=())
    stack = opened.stack
    fan = FanOut(listeners)
    files = driver_files((plan.driver or stack.driver).name, plan.driver_folder)
    kept = keep(plan, stack, opened.sources, files, folder).into(folder, plan)
    write_plan(kept, folder / PLAN_FILE)
    run = Run.begin(plan.seed)
    scratch = cache_folder() / "scratch"
    scratch.mkdir(exist_ok=True)
    told = Teller(fan, hold=False)
    with contextlib.closing(told), contextlib.closing(Diary()) as diary:
        diary.open(folder)
        told.started(plan, plan.seed, 1, 1, folder)
        async with (
            Readers.open(plan.driver or stack.driver, plan.driver_folder, scratch) as readers,
            lab(stack, run, plan.limits, diary.agent, told.log, folder / LOGS_FOLDER, told.doing) as made,
        ):
            plan = replace(plan, limits=made.patient(plan.limits))
            write_plan(replace(kept, limits=plan.limits), folder / PLAN_FILE)
            await Trial(plan, made, readers, folder, told).record()
            history = await asyncio.to_thread(read_history, folder / HISTORY_FILE)
            begin, end = ([p.t for p in history.phases if (p.name, p.happened) == ("load", what)]
                          for what in ("begun", "ended"))  # fmt: skip
            luns = made.running.stack.luns.values()
            Recorded(
                begin_ns=begin[0],
                end_ns=end[0],
                luns={lun.name: lun.file_name for lun in luns},
                bases={lun: identity(path) for lun, path in _bases(made).items()},
                seed=plan.seed,
            ).write(folder)


class Exploration:
    """The states of one recording."""

    def __init__(self, opened: Opened, folder: Path, most: int) -> None:
        """Read the recording, and what an earlier session has found.

        Raises:
            UsageError, HarnessError: They cannot be read.
        """
        self._opened = opened
        self._plan: Plan = opened.plans[0]
        self._folder = folder
        self._recorded = Recorded.read(folder)
        recordings = self._recorded.recordings(folder)
        self._boundaries: list[Boundary] = boundaries(recordings, self._recorded.begin_ns, self._recorded.end_ns)
        self._states = list(states(self._boundaries, most, self._recorded.seed))
        self._history = CutHistory(folder / HISTORY_FILE)
        history = read_history(folder / HISTORY_FILE)
        self._owners = sorted({owner for owner, _ in history.records} - {CANARY_OWNER})
        self._acknowledged = sum(each.acknowledged_at < 1 << 62 for of in history.records.values() for each in of)
        known = {found.key: found for found in _found_before(folder / STATES_FILE)}
        self.progress = Progress(
            len(self._states), [known[key_of(each)] for each in self._states if key_of(each) in known]
        )
        self._left = deque(each for each in self._states if key_of(each) not in known)
        self._stopped = False

    async def check(
        self, jobs: int, *, fail_fast: bool, say: Callable[[str], None], tell: Callable[[Found], None]
    ) -> Explored:
        """Check the states that have not been checked yet.

        Args:
            jobs: Stack copies at once.
            fail_fast: Stop after the first state in which something is wrong.
            say: Takes lines worth telling.
            tell: Takes what was found, state by state.

        Raises:
            HarnessError: Anything but the service failed; what was found until then is kept.
        """
        self._stopped = fail_fast and self.progress.violated > 0
        self.progress.begun = time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(min(jobs, len(self._left))):
                    group.create_task(self._on_a_copy(say if number == 0 else _nowhere, tell, fail_fast))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return Explored(
            folder=self._folder,
            boundaries=len(self._boundaries),
            possible=possible(self._boundaries),
            wanted=len(self._states),
            acknowledged=self._acknowledged,
            found=sorted(self.progress.checked, key=lambda each: (each.instant, each.number)),
            checked_here=self.progress.here,
            seconds=time.monotonic() - self.progress.begun,
        )

    async def _on_a_copy(self, say: Callable[[str], None], tell: Callable[[Found], None], fail_fast: bool) -> None:
        plan, stack = self._plan, self._opened.stack
        run = Run.begin(plan.seed)
        with contextlib.closing(Diary()) as diary:
            diary.open(self._folder)
            async with (
                Readers.open(plan.driver or stack.driver, plan.driver_folder, cache_folder() / "scratch") as readers,
                lab(stack, run, plan.limits, diary.agent, say) as made,
            ):
                self._recorded.require_bases(_bases(made), self._folder)
                logs = scratch_of(run.id) / RECORDING_FOLDER
                await asyncio.to_thread(_linked, self._folder / RECORDING_FOLDER, logs)
                in_agent = {lun: f"{_in_agent(logs)}/{name}" for lun, name in self._recorded.luns.items()}
                checks = StateCheck(made, readers, plan.limits, in_agent, self._history, self._owners)
                file = scratch_of(run.id) / HISTORY_FILE
                while self._left and not self._stopped:
                    state = self._left.popleft()
                    found, _ = await unless_the_agent_dies(made.running, checks.check(state, file), self._folder)
                    self._take(found, file)
                    self._stopped = self._stopped or (fail_fast and found.outcome == "violated")
                    tell(found)

    def _take(self, found: Found, file: Path) -> None:
        with (self._folder / STATES_FILE).open("ab") as kept:
            kept.write(orjson.dumps(asdict(found)) + b"\n")
        if found.outcome == "violated" and self.progress.violated < _HISTORIES_MAX:
            folder = self._folder / STATE_HISTORIES
            folder.mkdir(exist_ok=True)
            shutil.copyfile(file, folder / f"{found.number}.jsonl")
        self.progress.checked.append(found)
        self.progress.here += 1


def _nowhere(line: str) -> None:
    """The first copy tells what all of them do."""


def _found_before(file: Path) -> Iterator[Found]:
    """What an earlier session has written down; a line that it did not get to its end is left out."""
    if not file.exists():
        return
    for line in file.read_bytes().splitlines():
        with contextlib.suppress(orjson.JSONDecodeError):
            kept = orjson.loads(line)
            yield Found(**{**kept, "survivors": tuple(kept["survivors"]), "lost": tuple(kept["lost"])})


def _bases(made: Lab) -> dict[str, Path]:
    """The golden files on the host, by LUN."""
    return {lun: cache_folder() / path.removeprefix(f"{CACHE_IN_AGENT}/") for lun, path in made.golden.bases().items()}


def _in_agent(path: Path) -> str:
    return f"{CACHE_IN_AGENT}/{path.relative_to(cache_folder())}"


def _linked(folder: Path, to: Path) -> None:
    """Have the files of a folder in another one, by links where the two are on one disk."""
    to.mkdir(parents=True)
    for path in folder.iterdir():
        try:
            os.link(path, to / path.name)
        except OSError:
            shutil.copyfile(path, to / path.name)

"""The trials of one run, on one stack copy or on several at once.

Trials of the same stack and driver that follow each other are a *series*: they share stack copies. What the trials of a
copy share is started before the first and removed after the last. A copy that has no trial left makes room for one of
the next series.

Whatever happens, by Ctrl-C or SIGTERM too, the stack is removed; what a kill -9 leaves is the guard's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import signal
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Final, TypeVar

from chaos.errors import EndedEarly, HarnessError, HoldfastError, Terminated, UsageError
from chaos.experiment.loader import write_plan
from chaos.experiment.plan import Limits, Plan
from chaos.preflight.opening import Opened, open_plans
from chaos.reporting.listener import FanOut, Listener, Teller
from chaos.reporting.recall import kept_images
from chaos.reporting.result import LOGS_FOLDER, PLAN_FILE, TrialResult
from chaos.stack.agent.diary import Diary
from chaos.stack.cache import cache_folder, unfinished
from chaos.stack.engine.identity import Run
from chaos.stack.inputs.comparing import compare_images
from chaos.stack.inputs.keeping import keep
from chaos.stack.live.lifecycle import lab
from chaos.trial import Trial
from chaos.workload.drivers.files import driver_files
from chaos.workload.reads.doors import Readers

T = TypeVar("T")

_TICK_SECONDS: Final = 1.0
"""So often listeners hear how far the trials are, also where nothing happens."""


def run_trials(
    plans: Sequence[Plan],
    *,
    jobs: int = 1,
    keep: bool = False,
    runs: Path = Path("reports/runs"),
    listeners: Sequence[Listener] = (),
    stop_after: Callable[[TrialResult], bool] = lambda result: False,
    may_begin: Callable[[], bool] = lambda: True,
    leave_seconds: float = 0.0,
) -> list[TrialResult]:
    """Run a trial of each plan.

    Args:
        plans: Of one experiment or of several, as `open_experiment` draws them.
        jobs: How many stack copies there are at once; a trial's events are then told when it is over.
        keep: Keep the LUNs' data in each run folder.
        runs: Where the run folders are made.
        listeners: Hear the events; a listener that fails is left out, and the trial goes on.
        stop_after: After a trial for which this holds no other one begins, and those under way are ended in order.
            Listeners hear which were not run, or not to their end.
        may_begin: Asked before each trial but the first. Where it says no, those under way run to their end, and
            listeners hear which were not run.
        leave_seconds: The stack of a trial whose verdict is not the expected one runs on for so long, for somebody to
            look at; listeners are told how, by `log`. The next trial has another copy.

    Returns:
        The results of the trials that were run to their end, in the order of the plans.

    Raises:
        UsageError: A plan does not fit its stack.
        HarnessError: Anything but the service failed; everything is cleaned up.
        KeyboardInterrupt, Terminated: After the clean-up.
    """
    fan = FanOut(listeners)
    try:
        with asyncio.Runner() as runner:
            return runner.run(
                with_sigterm(_run_trials(plans, jobs, keep, runs, fan, stop_after, may_begin, leave_seconds))
            )
    except BaseException as error:
        fan.failed(error)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            where = error.filename or runs
            raise HarnessError(f"no space is left on the disk of {where} ({error.strerror}); free some") from error
        raise


async def with_sigterm(work: Coroutine[None, None, T]) -> T:
    """Let SIGTERM cancel what is done in order, as the runner does for SIGINT."""
    task = asyncio.ensure_future(work)
    terminated = False

    def terminate() -> None:
        nonlocal terminated
        terminated = True
        task.cancel()

    before = signal.getsignal(signal.SIGTERM)
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ValueError, RuntimeError):  # not in the main thread: no signals arrive here
        loop.add_signal_handler(signal.SIGTERM, terminate)
    try:
        return await task
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait([task])
        if terminated:
            raise Terminated from None
        raise
    finally:
        with contextlib.suppress(ValueError, RuntimeError):
            loop.remove_signal_handler(signal.SIGTERM)
            signal.signal(signal.SIGTERM, before)


@dataclass(frozen=True)
class _Turn:
    """One trial that is to be run."""

    number: int
    plan: Plan
    folder: Path


@dataclass
class _Series:
    """Trials that can share stack copies.

    Attributes:
        turns: Those that no copy has taken yet.
        begun: Whether a copy has taken the first.
        made: Set when the first copy is there; images and golden LUNs are there then.
        kept: The plan in each run folder, which runs the trial from there.
    """

    opened: Opened
    turns: deque[_Turn]
    begun: bool = False
    made: asyncio.Event = field(default_factory=asyncio.Event)
    kept: dict[Path, Plan] = field(default_factory=dict)


class _Copy:
    """What belongs to one stack copy: the trial that it runs, and who is told of it."""

    turn: _Turn

    def __init__(self, series: _Series, told: Teller, diary: Diary) -> None:
        self.series = series
        self.told = told
        self.diary = diary
        self.is_cut_short = False


async def _run_trials(
    plans: Sequence[Plan],
    jobs: int,
    keep_luns: bool,
    runs: Path,
    fan: FanOut,
    stop_after: Callable[[TrialResult], bool],
    may_begin: Callable[[], bool],
    leave_seconds: float,
) -> list[TrialResult]:
    opened = [await asyncio.to_thread(open_plans, each, os.environ) for each in _series_of(plans)]
    jobs = min(jobs, len(plans))
    if jobs > 1:
        _require_free_ports(opened)
    run = Run.begin(plans[0].seed)
    numbered = enumerate((plan for each in opened for plan in each.plans), start=1)
    turns = [_Turn(number, plan, _new_folder(runs, run, number, len(plans))) for number, plan in numbered]
    for turn in turns:
        _make(turn.folder)
    _link_latest(runs, turns[0].folder)  # a trial that breaks off is found there, too
    rest = iter(turns)
    series = [_Series(each, deque(islice(rest, len(each.plans)))) for each in opened]
    for one in series:
        one.kept = await asyncio.to_thread(_keep_inputs, one.opened, tuple(one.turns))
    (cache_folder() / "scratch").mkdir(exist_ok=True)
    crew = _Crew(series, len(turns), jobs, keep_luns, runs, fan, stop_after, may_begin, leave_seconds)
    await crew.work(run)
    for turn in crew.not_run:
        fan.not_run(turn.plan)
    return [crew.results[number] for number in sorted(crew.results)]


class _Crew:
    """Workers that make a stack copy each, and run trials on it while there are any left for it."""

    def __init__(
        self,
        series: Sequence[_Series],
        times: int,
        jobs: int,
        keep_luns: bool,
        runs: Path,
        fan: FanOut,
        stop_after: Callable[[TrialResult], bool],
        may_begin: Callable[[], bool],
        leave_seconds: float,
    ) -> None:
        self.results: dict[int, TrialResult] = {}
        self._series = series
        self._times = times
        self._jobs = jobs
        self._keep_luns = keep_luns
        self._runs = runs
        self._fan = fan
        self._stop_after = stop_after
        self._may_begin = may_begin
        self._leave_seconds = leave_seconds
        self._why_stopped = ""
        self._cut_short: list[_Turn] = []
        self._under_way: dict[_Copy, asyncio.Task[object] | None] = {}

    @property
    def not_run(self) -> Sequence[_Turn]:
        """Trials that were not run, or not to their end, in their order."""
        never = [turn for each in self._series for turn in each.turns]
        return sorted([*never, *self._cut_short], key=lambda turn: turn.number)

    @property
    def _is_over(self) -> bool:
        """Whether no trial begins any more."""
        return bool(self._why_stopped) or (any(each.begun for each in self._series) and not self._may_begin())

    async def work(self, first: Run) -> None:
        """Run all trials; the first copy is that of the run `first`. Folders of trials that never began are removed."""
        ticking = asyncio.create_task(self._tick())
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._take_series(first))
                for _ in range(self._jobs - 1):
                    group.create_task(self._take_series())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            ticking.cancel()
            for turn in self.not_run:
                if turn not in self._cut_short:
                    shutil.rmtree(turn.folder, ignore_errors=True)

    async def _take_series(self, run: Run | None = None) -> None:
        """Make copies one after the other, each for the series that comes first and can have one."""
        while not self._is_over and (waiting := [each for each in self._series if each.turns]):
            one = next((each for each in waiting if each.made.is_set() or not each.begun), None)
            if one is None:
                await waiting[0].made.wait()
            else:
                await self._on_a_copy(one, run or Run.begin(one.turns[0].plan.seed))
                run = None

    async def _on_a_copy(self, series: _Series, run: Run) -> None:
        """Make a stack copy, and run trials of a series on it while there are any left."""
        copy = _Copy(series, Teller(self._fan, hold=self._jobs > 1), Diary())
        with contextlib.closing(copy.told), contextlib.closing(copy.diary):
            try:
                await self._take_turns(copy, run)
            except asyncio.CancelledError:
                if copy.is_cut_short:
                    self._cut_short.append(copy.turn)
                    copy.told.log(self._why_stopped)
                    copy.told.failed(EndedEarly(self._why_stopped))
                raise
            except HoldfastError as error:
                error.add_note(str(copy.turn.plan.file or copy.turn.plan.experiment))
                raise
            finally:
                self._under_way.pop(copy, None)

    async def _take_turns(self, copy: _Copy, run: Run) -> None:
        series, told = copy.series, copy.told
        is_first, series.begun = not series.begun, True
        self._begin(copy)
        plan, stack, logs = copy.turn.plan, series.opened.stack, copy.turn.folder / LOGS_FOLDER / "initialising"
        images = kept_images(plan.inputs.parent) if is_first and plan.inputs is not None else {}
        for line in series.opened.told_at_begin if is_first else ():
            told.log(f"warning: {line}")
        say = self._fan.log if is_first else told.log  # what takes long is told at once, and not by every copy
        scratch = unfinished(cache_folder() / "scratch" / "readers")
        seconds = self._leave_seconds
        leave = (lambda result: not result.as_expected) if seconds else None
        async with (
            Readers.open(plan.driver or stack.driver, plan.driver_folder, scratch) as readers,
            lab(stack, run, plan.limits, copy.diary.agent, say, logs, told.doing, leave_seconds=seconds) as made,
        ):
            series.made.set()
            for line in compare_images(images, made.images):
                told.log(f"warning: {line}")
            while True:
                copy.turn = _patient(copy.turn, made.patient(copy.turn.plan.limits), series.kept)
                trial = Trial(copy.turn.plan, made, readers, copy.turn.folder, told)
                self._end(copy, await trial.run(keep=self._keep_luns, leave=leave))
                if self._is_over or not series.turns or made.is_left:
                    return
                self._begin(copy)

    def _begin(self, copy: _Copy) -> None:
        """Take the next turn."""
        copy.turn = turn = copy.series.turns.popleft()
        self._under_way[copy] = asyncio.current_task()
        if self._jobs == 1:
            _link_latest(self._runs, turn.folder)
        copy.diary.open(turn.folder)
        copy.told.started(turn.plan, turn.plan.seed, turn.number, self._times, turn.folder)

    def _end(self, copy: _Copy, result: TrialResult) -> None:
        """Keep a result and tell it; where it is to be the last one, end the trials that are under way."""
        del self._under_way[copy]
        self.results[copy.turn.number] = result
        _link_latest(self._runs, copy.turn.folder)
        copy.told.finished(result)
        copy.told.close()
        if not self._why_stopped and self._stop_after(result):
            self._why_stopped = (
                f"ended early: no trial was to follow trial {copy.turn.number}, which is {result.verdict}"
            )
            for other, task in self._under_way.items():  # and no copy that is just being removed
                other.is_cut_short = task is not None and task.cancel()
            for series in self._series:
                series.made.set()  # nobody need wait for it any more

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            for copy in self._under_way:
                copy.told.tick()


def _keep_inputs(opened: Opened, turns: Sequence[_Turn]) -> dict[Path, Plan]:
    """Have each run folder hold what its trial is run from, and the plan that runs it from there, which is returned."""
    plan, stack = turns[0].plan, opened.stack
    files = driver_files((plan.driver or stack.driver).name, plan.driver_folder)
    kept = keep(plan, stack, opened.sources, files, turns[0].folder)
    plans = {turn.folder: kept.into(turn.folder, turn.plan) for turn in turns}
    for folder, each in plans.items():
        write_plan(each, folder / PLAN_FILE)
    return plans


def _patient(turn: _Turn, limits: Limits, kept: Mapping[Path, Plan]) -> _Turn:
    """A turn with the limits that hold now that the images are there, in the plan of its run folder as well."""
    if turn.plan.limits == limits:
        return turn
    write_plan(replace(kept[turn.folder], limits=limits), turn.folder / PLAN_FILE)
    return replace(turn, plan=replace(turn.plan, limits=limits))


def _series_of(plans: Sequence[Plan]) -> list[list[Plan]]:
    """Plans that follow each other and ask for the same stack and driver."""

    def same(plan: Plan) -> object:
        ready = plan.limits.ready_seconds_max
        return (
            plan.stack,
            plan.images,
            plan.profiles,
            plan.variables,
            plan.inputs,
            plan.driver,
            plan.driver_folder,
            ready,
        )

    return [list(each) for _, each in groupby(plans, same)]


def _require_free_ports(opened: Sequence[Opened]) -> None:
    """No two stack copies that may be there at once publish the same port."""
    copies = Counter(
        port.host_port
        for each in opened
        for service in each.stack.services.values()
        for port in service.ports * min(2, len(each.plans))
        if port.host_port
    )
    if twice := [str(port) for port, count in copies.items() if count > 1]:
        raise UsageError(
            f"several stack copies cannot publish the same port of this host ({', '.join(twice)}); "
            "leave the host's port out and one is chosen, or run one job"
        )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise HarnessError(
            f"the run folder {folder} cannot be made: {error.filename}: {error.strerror}; "
            "run from a folder that you may write to (pytest: name one with --holdfast-runs)"
        ) from error


def _new_folder(runs: Path, run: Run, number: int, times: int) -> Path:
    folder = runs / (f"{run.id}-{number:02d}" if times > 1 else run.id)
    if folder.exists():
        raise UsageError(f"{folder} exists; move it away")
    return folder


def _link_latest(runs: Path, folder: Path) -> None:
    """Point `latest` at the newest run, in one step."""
    part = runs / f".latest-{folder.name}"
    part.symlink_to(folder.name)
    part.replace(runs / "latest")

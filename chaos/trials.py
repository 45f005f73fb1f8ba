"""The trials of one run, on one stack copy or on several at once.

What the trials of a copy share is started before the first and removed after the last.

Whatever happens, by Ctrl-C or SIGTERM too, the stack is removed; what a kill -9 leaves is the guard's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from chaos.errors import HarnessError, Terminated, UsageError
from chaos.experiment.loader import write_plan
from chaos.experiment.plan import Limits, Plan
from chaos.preflight.opening import Opened, open_plans
from chaos.reporting.listener import FanOut, Held, Listener
from chaos.reporting.recall import kept_images
from chaos.reporting.result import PLAN_FILE, TrialResult
from chaos.stack.agent.diary import Diary
from chaos.stack.cache import cache_folder
from chaos.stack.engine.identity import Run
from chaos.stack.inputs.comparing import compare_images
from chaos.stack.inputs.keeping import keep
from chaos.stack.live.lifecycle import lab
from chaos.stack.spec import Stack
from chaos.trial import LOGS_FOLDER, Trial
from chaos.workload.drivers.files import driver_files
from chaos.workload.reads.doors import Readers

T = TypeVar("T")


def run_trials(
    plans: Sequence[Plan],
    *,
    jobs: int = 1,
    keep: bool = False,
    runs: Path = Path("reports/runs"),
    listeners: Sequence[Listener] = (),
) -> list[TrialResult]:
    """Run a trial of each plan.

    Args:
        plans: Of one experiment: they differ only in what was drawn. `open_experiment` draws them.
        jobs: How many copies of the stack they are shared out to; a trial's events are then told when it is over.
        keep: Keep the LUNs' data in each run folder.
        runs: Where the run folders are made.
        listeners: Hear the events; a listener that fails is left out, and the trial goes on.

    Raises:
        UsageError: The plan does not fit the stack.
        HarnessError: Anything but the service failed; everything is cleaned up.
        KeyboardInterrupt, Terminated: After the clean-up.
    """
    fan = FanOut(listeners)
    try:
        with asyncio.Runner() as runner:
            return runner.run(with_sigterm(_run_trials(plans, jobs, keep, runs, fan)))
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


async def _run_trials(plans: Sequence[Plan], jobs: int, keep_luns: bool, runs: Path, fan: FanOut) -> list[TrialResult]:
    opened = await asyncio.to_thread(open_plans, plans, os.environ)
    plans = opened.plans
    plan, stack, times = plans[0], opened.stack, len(plans)
    jobs = min(jobs, times)
    if jobs > 1:
        _require_free_ports(stack)
    run = Run.begin(plan.seed)
    turns = deque(
        _Turn(number, each, _new_folder(runs, run, number if times > 1 else 0))
        for number, each in enumerate(plans, start=1)
    )
    for turn in turns:
        _make(turn.folder)
    _link_latest(runs, turns[0].folder)  # a trial that breaks off is found there, too
    kept = await asyncio.to_thread(_keep_inputs, opened, tuple(turns))
    images = kept_images(plan.inputs.parent) if plan.inputs is not None else {}
    results: dict[int, TrialResult] = {}
    made = asyncio.Event()

    async def work(run: Run) -> None:
        """Make a stack copy, and run trials on it while there are any left."""
        diary = Diary()
        turn = turns.popleft()
        told = fan if jobs == 1 else Held(fan)
        with contextlib.closing(diary), contextlib.closing(told):
            diary.open(turn.folder)
            told.started(turn.plan, turn.plan.seed, turn.number, times, turn.folder)
            for line in opened.differing if turn.number == 1 else ():
                told.log(f"warning: {line}")
            logs = turn.folder / LOGS_FOLDER / "initialising"
            async with lab(stack, run, plan.limits, diary.agent, told.log, logs) as copy:
                made.set()
                for line in compare_images(images, copy.images) if turn.number == 1 else ():
                    told.log(f"warning: {line}")
                while True:
                    turn = _patient(turn, copy.limits, kept[turn.folder])
                    trial = Trial(turn.plan, copy, readers, turn.folder, told)
                    results[turn.number] = await trial.run(keep=keep_luns)
                    _link_latest(runs, turn.folder)
                    told.finished(results[turn.number])
                    told.close()
                    if not turns:
                        return
                    turn = turns.popleft()
                    if jobs == 1:
                        _link_latest(runs, turn.folder)
                    diary.open(turn.folder)
                    told.started(turn.plan, turn.plan.seed, turn.number, times, turn.folder)

    async def work_later() -> None:
        await made.wait()  # images and golden LUNs are there then
        if turns:
            await work(Run.begin(plan.seed))

    scratch = cache_folder() / "scratch"  # the one place where a killed run may leave something
    scratch.mkdir(exist_ok=True)
    async with Readers.open(plan.driver or stack.driver, plan.driver_folder, scratch) as readers:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(work(run))
                for _ in range(jobs - 1):
                    group.create_task(work_later())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
    return [results[number] for number in sorted(results)]


def _keep_inputs(opened: Opened, turns: Sequence[_Turn]) -> dict[Path, Plan]:
    """Have each run folder hold what its trial is run from, and the plan that runs it from there, which is returned."""
    plan, stack = turns[0].plan, opened.stack
    files = driver_files(plan.driver or stack.driver, plan.driver_folder)
    kept = keep(plan, stack, opened.sources, files, turns[0].folder)
    plans = {turn.folder: kept.into(turn.folder, turn.plan) for turn in turns}
    for folder, each in plans.items():
        write_plan(each, folder / PLAN_FILE)
    return plans


def _patient(turn: _Turn, limits: Limits, kept: Plan) -> _Turn:
    """A turn with the limits that hold now that the images are there, in the plan of its run folder as well."""
    if turn.plan.limits == limits:
        return turn
    write_plan(replace(kept, limits=limits), turn.folder / PLAN_FILE)
    return replace(turn, plan=replace(turn.plan, limits=limits))


def _require_free_ports(stack: Stack) -> None:
    fixed = [
        f"{name}:{port.host_port}" for name, each in stack.services.items() for port in each.ports if port.host_port
    ]
    if fixed:
        raise UsageError(
            f"several stack copies cannot publish the same port of this host ({', '.join(fixed)}); "
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


def _new_folder(runs: Path, run: Run, number: int) -> Path:
    folder = runs / (f"{run.id}-{number:02d}" if number else run.id)
    if folder.exists():
        raise UsageError(f"{folder} exists; move it away")
    return folder


def _link_latest(runs: Path, folder: Path) -> None:
    """Point `latest` at the newest run, in one step."""
    part = runs / f".latest-{folder.name}"
    part.symlink_to(folder.name)
    part.replace(runs / "latest")

"""Several trials of one plan, on one copy of its stack or on several at once.

What the trials of a copy share is started before the first and removed after the last.

Whatever happens, by Ctrl-C or SIGTERM too, the stack is removed; what a kill -9 leaves is the guard's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import os
import signal
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos.errors import HarnessError, Terminated, UsageError
from chaos.experiment.plan import Plan
from chaos.reporting.listener import FanOut, Held, Listener
from chaos.reporting.result import TrialResult
from chaos.stack.compose import load_stack
from chaos.stack.diary import Diary
from chaos.stack.identity import Run
from chaos.stack.lifecycle import lab
from chaos.stack.spec import Stack
from chaos.trial import Trial
from chaos.workload.doors import Readers


def run_trials(
    plan: Plan,
    *,
    times: int = 1,
    jobs: int = 1,
    keep: bool = False,
    runs: Path = Path("reports/runs"),
    listeners: Sequence[Listener] = (),
) -> list[TrialResult]:
    """Run `times` trials of a plan, the i-th with seed + i.

    Args:
        plan: Everything drawn.
        times: How many trials.
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
            return runner.run(_with_sigterm(_run_trials(plan, times, jobs, keep, runs, fan)))
    except BaseException as error:
        fan.failed(error)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            where = error.filename or runs
            raise HarnessError(f"no space is left on the disk of {where} ({error.strerror}); free some") from error
        raise


async def _with_sigterm(trials: Coroutine[None, None, list[TrialResult]]) -> list[TrialResult]:
    """Let SIGTERM cancel the trials in order, as the runner does for SIGINT."""
    task = asyncio.ensure_future(trials)
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


async def _run_trials(plan: Plan, times: int, jobs: int, keep: bool, runs: Path, fan: FanOut) -> list[TrialResult]:
    stack = load_stack(plan.stack, plan.variables, plan.profiles, os.environ)
    jobs = min(jobs, times)
    if jobs > 1:
        _require_free_ports(stack)
    run = Run.begin(plan.seed)
    turns = deque(
        _Turn(
            number,
            dataclasses.replace(plan, seed=plan.seed + number - 1),
            _new_folder(runs, run, number if times > 1 else 0),
        )
        for number in range(1, times + 1)
    )
    for turn in turns:
        turn.folder.mkdir(parents=True)
    results: dict[int, TrialResult] = {}
    made = asyncio.Event()

    async def work(run: Run) -> None:
        """Make a copy of the stack, and run trials on it while there are any."""
        diary = Diary()
        turn = turns.popleft()
        told = fan if jobs == 1 else Held(fan)
        with contextlib.closing(diary), contextlib.closing(told):
            diary.open(turn.folder)
            told.started(turn.plan, turn.plan.seed, turn.number, times, turn.folder)
            async with lab(stack, run, plan.limits.ready_seconds_max, diary.agent, told.log) as copy:
                made.set()
                while True:
                    trial = Trial(turn.plan, copy, readers, turn.folder, told)
                    results[turn.number] = await trial.run(keep=keep)
                    _link_latest(runs, turn.folder)
                    told.finished(results[turn.number])
                    told.close()
                    if not turns:
                        return
                    turn = turns.popleft()
                    diary.open(turn.folder)
                    told.started(turn.plan, turn.plan.seed, turn.number, times, turn.folder)

    async def work_later() -> None:
        await made.wait()  # images and golden LUNs are there then
        if turns:
            await work(Run.begin(plan.seed))

    async with Readers.open(plan.driver or stack.driver, plan.driver_folder) as readers:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(work(run))
                for _ in range(jobs - 1):
                    group.create_task(work_later())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
    return [results[number] for number in sorted(results)]


def _require_free_ports(stack: Stack) -> None:
    fixed = [
        f"{name}:{port.host_port}" for name, each in stack.services.items() for port in each.ports if port.host_port
    ]
    if fixed:
        raise UsageError(
            f"several copies cannot publish the same port of this host ({', '.join(fixed)}); "
            "leave the host's port out and one is chosen, or run one job"
        )


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

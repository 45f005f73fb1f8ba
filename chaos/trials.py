"""Several trials on one stack: everything that they share is started before the first and removed after the last.

Whatever happens, by Ctrl-C or SIGTERM too, the stack is removed; what a kill -9 leaves is the guard's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import os
import signal
from collections.abc import Coroutine, Sequence
from pathlib import Path

from chaos.errors import HarnessError, Terminated, UsageError
from chaos.experiment.plan import Plan
from chaos.reporting.listener import FanOut, Listener
from chaos.reporting.result import TrialResult
from chaos.stack.agent import Event
from chaos.stack.compose import load_stack
from chaos.stack.diary import Diary
from chaos.stack.identity import Run
from chaos.stack.lifecycle import lab
from chaos.trial import Trial
from chaos.workload.doors import Readers


def run_trials(
    plan: Plan,
    *,
    times: int = 1,
    keep: bool = False,
    runs: Path = Path("reports/runs"),
    listeners: Sequence[Listener] = (),
) -> list[TrialResult]:
    """Run `times` trials of a plan, the i-th with seed + i, on one stack.

    Args:
        plan: Everything drawn.
        times: How many trials.
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
            return runner.run(_with_sigterm(_run_trials(plan, times, keep, runs, fan)))
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


async def _run_trials(plan: Plan, times: int, keep: bool, runs: Path, fan: FanOut) -> list[TrialResult]:
    stack = load_stack(plan.stack, plan.variables, plan.profiles, os.environ)
    run = Run.begin(plan.seed)
    diary = Diary()
    results: list[TrialResult] = []
    plans = [dataclasses.replace(plan, seed=plan.seed + number) for number in range(times)]
    folders = [_new_folder(runs, run, number if times > 1 else 0) for number in range(1, times + 1)]
    for folder in folders:
        folder.mkdir(parents=True)
    diary.open(folders[0])
    fan.started(plans[0], plans[0].seed, 1, times, folders[0])
    trial: Trial | None = None

    def heard(event: Event) -> None:
        diary.agent(event)
        if trial is not None and event["event"] == "exited":
            trial.exited(event["service"])

    driver = plan.driver or stack.driver
    with contextlib.closing(diary):
        async with (
            Readers.open(driver, plan.driver_folder) as readers,
            lab(stack, run, plan.limits.ready_seconds_max, heard, fan.log) as made,
        ):
            for number, (each, folder) in enumerate(zip(plans, folders, strict=True), 1):
                diary.open(folder)
                if number > 1:
                    fan.started(each, each.seed, number, times, folder)
                trial = Trial(each, stack, made, readers, folder, fan)
                results.append(await trial.run(keep=keep))
                _link_latest(runs, folder)
                fan.finished(results[-1])
    return results


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

"""Copies of one stack on this machine, on which trials are run as they come."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from chaos.experiment.plan import Plan
from chaos.preflight.opening import Opened
from chaos.reporting.listener import FanOut, Teller
from chaos.reporting.result import LOGS_FOLDER, TrialResult
from chaos.stack.agent.diary import Diary
from chaos.stack.cache import cache_folder, unfinished
from chaos.stack.engine.identity import Run
from chaos.stack.live.lifecycle import lab
from chaos.trial import Trial
from chaos.workload.reads.doors import Readers


@dataclass(frozen=True)
class _Turn:
    plan: Plan
    folder: Path
    result: asyncio.Future[TrialResult]


class Copies:
    """Runs trials of plans of one stack, at most so many at once as there are copies."""

    def __init__(self, opened: Opened, at_once: int) -> None:
        """No copy is made yet."""
        self.at_once = at_once
        self._opened = opened
        self._turns: asyncio.Queue[_Turn] = asyncio.Queue()

    @classmethod
    @asynccontextmanager
    async def open(cls, opened: Opened, jobs: int, say: Callable[[str], None]) -> AsyncIterator[Copies]:
        """Have so many copies, each made when there is a trial for it, and removed at the end."""
        copies = cls(opened, jobs)
        says = [say, *[lambda line: None] * (jobs - 1)]  # what takes long is told once, and not by every copy
        workers = [asyncio.create_task(copies._work(each)) for each in says]
        try:
            yield copies
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def trial(self, plan: Plan, folder: Path) -> TrialResult:
        """Run a trial in a run folder that has its inputs, as soon as a copy is free.

        Raises:
            HarnessError: Anything but the service failed; the copy on which that was is made anew for the next trial.
        """
        turn = _Turn(plan, folder, asyncio.get_running_loop().create_future())
        self._turns.put_nowait(turn)
        return await turn.result

    async def _work(self, say: Callable[[str], None]) -> None:
        while True:
            turn = await self._turns.get()
            try:
                await self._on_a_copy(turn, say)
            except Exception as error:  # noqa: BLE001 - whoever waits for the trial has been told
                say(f"a stack copy is made anew for the next trial: {error}")

    async def _on_a_copy(self, turn: _Turn, say: Callable[[str], None]) -> None:
        """Make a copy and run trials on it; the trial that fails ends it."""
        plan, stack = turn.plan, self._opened.stack
        with contextlib.closing(Diary()) as diary, _told(lambda: turn.result):
            diary.open(turn.folder)
            scratch = unfinished(cache_folder() / "scratch" / "readers")
            scratch.parent.mkdir(exist_ok=True)
            logs = turn.folder / LOGS_FOLDER / "initialising"
            is_made = False

            def say_until_made(line: str) -> None:
                if not is_made:
                    say(line)

            async with (
                Readers.open(plan.driver or stack.driver, plan.driver_folder, scratch) as readers,
                lab(stack, Run.begin(plan.seed), plan.limits, diary.agent, say_until_made, logs) as made,
            ):
                is_made = True
                while True:
                    if not turn.result.cancelled():
                        patient = replace(turn.plan, limits=made.patient(turn.plan.limits))
                        with contextlib.closing(Teller(FanOut([]), hold=True)) as told:
                            result = await Trial(patient, made, readers, turn.folder, told).run(keep=False)
                        turn.result.set_result(result)
                    turn = await self._turns.get()
                    diary.open(turn.folder)


@contextlib.contextmanager
def _told(result: Callable[[], asyncio.Future[TrialResult]]) -> Iterator[None]:
    """Whatever ends a copy ends the wait for the trial that it has."""
    try:
        yield
    except BaseException as error:
        if not result().done():
            if isinstance(error, asyncio.CancelledError):
                result().cancel()
            else:
                result().set_exception(error)
        raise

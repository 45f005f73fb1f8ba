"""The worker's end of `scheduled.py`: trials on this host's engine, on one stack copy that is kept between them.

All of it runs on the event loop of the worker's process. So that process owns the stack copy, and when it is killed,
its guard removes the copy as after any kill.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Final

from chaos.errors import HoldfastError, UsageError
from chaos.experiment.loader import load_plan
from chaos.experiment.plan import ACTIONS_FILE
from chaos.faults import catalogue
from chaos.preflight.opening import Opened, open_experiment
from chaos.reporting.result import PLAN_FILE
from chaos.search.executors.copies import Copies
from chaos.search.executors.parcel import packed, unpacked
from chaos.stack.cache import cache_folder, unfinished
from chaos.stack.cleanup.sweep import sweep
from chaos.stack.inputs.manifest import FOLDER, MANIFEST_FILE

KEPT_SECONDS: Final = 120.0
"""A stack copy is removed when no trial has come for so long: whoever searched may have been killed."""
_GIVEN: Final = (PLAN_FILE, ACTIONS_FILE, MANIFEST_FILE, FOLDER)
"""Of a run folder: what it had before its trial."""
_log = logging.getLogger("distributed.holdfast")
"""Shown beside what the worker itself says."""


@dataclass(frozen=True)
class Ran:
    """What came of a trial on a worker.

    Attributes:
        host: Of the worker.
        made: What the trial has written into its run folder, as `unpacked` takes it; empty: it never began.
        error: Why it broke off; "": it did not.
        is_usage: Whether that is for whoever searches to set right, such as a secret that this host does not have.
        warnings: What is not on this host as it was where the search began, one line each.
    """

    host: str
    made: bytes
    error: str = ""
    is_usage: bool = False
    warnings: tuple[str, ...] = ()


async def run_trial(search: str, holdfast: str, parcel: bytes) -> Ran:
    """Run a trial of the search of this name; `parcel` is its run folder, `holdfast` the version that packed it."""
    return await _host.trial(search, holdfast, parcel)


async def let_go(search: str) -> None:
    """Remove the stack copy of a search, where there is one; its trial ends."""
    await _host.let_go(search)


class Host:
    """This process as a place for trials: one at a time, and of one search until another one's come."""

    def __init__(self) -> None:
        """Nothing is there yet."""
        self._turn = asyncio.Lock()
        self._search = ""
        self._stay: _Stay | None = None
        self._waiting: asyncio.TimerHandle | None = None
        self._leaving: asyncio.Task[None] | None = None

    async def trial(self, search: str, holdfast: str, parcel: bytes) -> Ran:
        """Run a trial on the stack copy of its search."""
        if holdfast != (here := version("holdfast")):
            wrong = f"Holdfast is {here} on this worker, and {holdfast} where the search runs; install the same"
            return Ran(socket.gethostname(), b"", wrong, is_usage=True)
        async with self._turn:
            if self._waiting is not None:
                self._waiting.cancel()
            if search != self._search or self._stay is None:
                await self.let_go(self._search)
                self._search, self._stay = search, _Stay()
            try:
                return await self._stay.trial(parcel)
            except asyncio.CancelledError:  # the worker is closed
                await self.let_go(search)
                raise
            finally:
                self._waiting = asyncio.get_running_loop().call_later(KEPT_SECONDS, self._leave)

    async def let_go(self, search: str) -> None:
        """Remove the stack copy of a search, where there is one; its trial ends."""
        if search == self._search and self._stay is not None:
            stay, self._stay = self._stay, None
            await stay.close()

    def _leave(self) -> None:
        self._leaving = asyncio.get_running_loop().create_task(self.let_go(self._search))


class _Stay:
    """What is here of one search: the files of its stack, and a copy of the stack."""

    def __init__(self) -> None:
        """Nothing is opened yet."""
        self._folder = unfinished(cache_folder() / "scratch" / "search")
        self._using = AsyncExitStack()
        self._using.callback(shutil.rmtree, self._folder, ignore_errors=True)
        self._trials = 0
        self._opened: Opened | None = None
        self._copies: Copies | None = None
        self._opened_in: Path | None = None
        self._doing: asyncio.Future[None] | None = None

    async def trial(self, parcel: bytes) -> Ran:
        """Run one; the folder of the first stays, since the stack is made of its files."""
        self._trials += 1
        folder = self._folder / f"{self._trials:04d}"
        host = socket.gethostname()
        self._doing = asyncio.ensure_future(self._run(parcel, folder))
        await asyncio.wait([self._doing])
        if self._doing.cancelled():
            return Ran(host, b"", "nobody waits for it any more")
        error = self._doing.exception()
        if error is not None and not isinstance(error, HoldfastError | OSError):
            raise error
        made = await asyncio.to_thread(packed, folder, _GIVEN)
        if folder != self._opened_in:
            await asyncio.to_thread(shutil.rmtree, folder)
        warnings = () if self._opened is None else tuple(self._opened.differing)
        return Ran(host, made, "" if error is None else str(error), isinstance(error, UsageError), warnings)

    async def _run(self, parcel: bytes, folder: Path) -> None:
        await asyncio.to_thread(unpacked, parcel, folder)
        if self._opened is None or self._copies is None:
            await asyncio.to_thread(sweep)
            self._opened, self._opened_in = await asyncio.to_thread(open_experiment, folder / PLAN_FILE), folder
            self._copies = await self._using.enter_async_context(Copies.open(self._opened, 1, _log.info))
        plan = await asyncio.to_thread(load_plan, folder / PLAN_FILE, catalogue())
        plan = replace(plan, driver_folder=self._opened.plans[0].driver_folder)  # its modules are imported once
        await self._copies.trial(plan, folder)

    async def close(self) -> None:
        """End the trial that is under way, and remove everything."""
        if self._doing is not None:
            self._doing.cancel()
        await self._using.aclose()


_host: Final = Host()

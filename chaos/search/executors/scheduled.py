"""Trials as tasks of a Dask scheduler, run on the stack copies of its workers, which may be other machines.

A task is handed a run folder as bytes and gives back what the trial wrote, so no disk is shared. The history is judged
here. Dask runs a task again whose worker was lost, even if it was finished; that costs time and changes nothing, since
a trial writes nowhere but on its worker until its result has been taken here, once.

Without the extra `scheduler` importing this raises `MissingExtra`.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from chaos.errors import HarnessError, MissingExtra, UsageError
from chaos.experiment.plan import ACTIONS_FILE, Plan
from chaos.faults import catalogue
from chaos.reporting.recall import recall
from chaos.reporting.result import PLAN_FILE, TrialResult
from chaos.reporting.words import counted
from chaos.search.executors.parcel import packed, unpacked
from chaos.search.executors.worker import Ran, let_go, run_trial

try:
    from distributed import CancelledError, Client, KilledWorker
    from distributed.client import ClosedClientError
except ImportError as error:
    raise MissingExtra("a search on the workers of a scheduler", "scheduler", error) from None

RESOURCE: Final = "holdfast"
"""What a worker offers one of, and a trial takes."""
_START: Final = f"start some with: dask worker ADDRESS --resources {RESOURCE}=1 --nthreads 1"
_HERE: Final = version("holdfast")
_CONNECT_SECONDS_MAX: Final = 10.0
_LOOK_SECONDS: Final = 5.0
_WITHOUT_WORKERS_SECONDS_MAX: Final = 60.0
_LET_GO_SECONDS_MAX: Final = 60.0
_SHORT: Final = 16


class Scheduled:
    """Runs trials of one search on the workers of a scheduler."""

    def __init__(self, client: Client, folder: Path, at_once: int, say: Callable[[str], None]) -> None:
        """`folder` is that of the search."""
        self.at_once = at_once
        self._client = client
        self._search = folder.resolve()
        self._say = say
        self._said: set[str] = set()
        self._worker_seen = time.monotonic()

    @classmethod
    @asynccontextmanager
    async def open(cls, address: str, folder: Path, say: Callable[[str], None]) -> AsyncIterator[Scheduled]:
        """Use the workers that offer the resource; their stack copies are removed at the end.

        Raises:
            HarnessError: No scheduler answers, or it has no such worker.
            UsageError: Another version of Holdfast is on one of them.
        """
        client = Client(address, asynchronous=True, set_as_default=False, timeout=_CONNECT_SECONDS_MAX)
        try:
            await _connected(client, address)
            workers = await _workers(client)
            if not workers:
                raise HarnessError(f"the scheduler at {address} has no worker with the resource {RESOURCE!r}; {_START}")
            await _require_one_version(client, workers)
            say(f"{counted(len(workers), 'worker')} on {', '.join(sorted(set(workers.values())))}")
            scheduled = cls(client, folder, len(workers), say)
            try:
                yield scheduled
            finally:
                await scheduled.close()
        finally:
            await client.close()

    async def trial(self, plan: Plan, folder: Path) -> TrialResult:
        """Run the trial whose run folder this is, as soon as a worker is free; the folder has its plan and its inputs.

        Raises:
            HarnessError: Anything but the service failed, or worker after worker was lost; the trial says nothing.
            UsageError: A worker lacks something, such as a secret or the same version of Holdfast.
        """
        name = trial_id(self._search, folder)
        parcel = await asyncio.to_thread(packed, folder)
        try:
            ran = await self._ran(name, parcel)
        except KilledWorker as error:
            raise HarnessError(f"{error}; the workers' own logs may tell why") from None
        except (CancelledError, ClosedClientError) as error:
            raise HarnessError(f"the scheduler was lost while it had {name}: {error}") from None
        for line in ran.warnings:
            self._say_once(f"warning: on {ran.host}: {line}")
        if ran.made:
            await asyncio.to_thread(unpacked, ran.made, folder)
        if ran.error:
            raise (UsageError if ran.is_usage else HarnessError)(f"on {ran.host}: {ran.error}")
        return await asyncio.to_thread(recall, folder, catalogue())

    async def close(self) -> None:
        """Have the workers remove their stack copies; where one cannot be told, it does so when no trial comes."""
        if self._client.status != "running":
            return
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_LET_GO_SECONDS_MAX):
                await self._client.run(let_go, self._search.name, on_error="ignore")

    async def _ran(self, name: str, parcel: bytes) -> Ran:
        """Have a worker run a trial; a scheduler without workers would let it wait for ever."""
        future = self._client.submit(
            run_trial,
            self._search.name,
            _HERE,
            parcel,
            key=name,
            resources={RESOURCE: 1},
            pure=False,
        )
        result = asyncio.ensure_future(future.result())
        try:
            while not (await asyncio.wait([result], timeout=_LOOK_SECONDS))[0]:
                await self._require_workers()
            ran: Ran = await result
            return ran
        finally:
            result.cancel()
            future.release()

    async def _require_workers(self) -> None:
        with suppress(OSError):  # the scheduler is gone: the result says so
            if await _workers(self._client):
                self._worker_seen = time.monotonic()
        if time.monotonic() - self._worker_seen > _WITHOUT_WORKERS_SECONDS_MAX:
            raise HarnessError(f"for {_WITHOUT_WORKERS_SECONDS_MAX:.0f} s no worker has been there; {_START}")

    def _say_once(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self._say(line)


def trial_id(search: Path, folder: Path) -> str:
    """The same for the same trial, whoever asks for it how often: its search, its place there, its plan's digest."""
    plan = hashlib.sha256((folder / PLAN_FILE).read_bytes() + (folder / ACTIONS_FILE).read_bytes())
    return f"holdfast-{search.name}/{folder.resolve().relative_to(search)}/{plan.hexdigest()[:_SHORT]}"


async def _connected(client: Client, address: str) -> None:
    try:
        await client
    except (OSError, ValueError, TypeError, RuntimeError) as error:  # the latter three of an address, or its TLS
        raise HarnessError(f"no scheduler answers at {address}: {error}; start one with: dask scheduler") from None


async def _workers(client: Client) -> Mapping[str, str]:
    """The workers that take trials: their hosts by their addresses."""
    known = (await client.scheduler.identity(n_workers=-1))["workers"]
    return {address: each["host"] for address, each in known.items() if each["resources"].get(RESOURCE, 0) >= 1}


async def _require_one_version(client: Client, workers: Mapping[str, str]) -> None:
    """Ask with a function of Python's own, which is there whatever else is."""
    found = await client.run(version, "holdfast", workers=[*workers], on_error="return")
    try:
        found["the scheduler"] = await client.run_on_scheduler(version, "holdfast")
    except PackageNotFoundError as error:
        found["the scheduler"] = error
    others = [
        f"{where}: {'none' if isinstance(each, Exception) else each}" for where, each in found.items() if each != _HERE
    ]
    if others:
        raise UsageError(f"Holdfast is {_HERE} here, and another one elsewhere; install the same: {'; '.join(others)}")

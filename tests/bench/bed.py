"""Where measurements take place: a stack of one service, written in code, in a cache folder of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Literal

from chaos.errors import HarnessError
from chaos.experiment.plan import Limits
from chaos.stack.cache import cache_place
from chaos.stack.engine.identity import Run, is_alive, owner_of
from chaos.stack.live.lifecycle import Lab, lab
from chaos.stack.spec import Stack

ROOT = Path(__file__).resolve().parents[2]
MEMORY = Path("/dev/shm")
READY_SECONDS_MAX = 60.0
_POLL_SECONDS = 0.001
_PREFIX = "holdfast-bench-"
_OWNER = "owner"

Storage = Literal["memory", "disk"]


@contextlib.contextmanager
def cache_on(storage: Storage) -> Iterator[Path]:
    """Have an empty cache folder in memory or on the disk of the usual one, and remove it afterwards."""
    parent = MEMORY if storage == "memory" else cache_place()
    parent.mkdir(parents=True, exist_ok=True)
    _remove_orphans(parent)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    (folder / _OWNER).write_text(owner_of(os.getpid()))
    before = os.environ.get("HOLDFAST_CACHE")
    os.environ["HOLDFAST_CACHE"] = str(folder)
    try:
        yield folder
    finally:
        if before is None:
            del os.environ["HOLDFAST_CACHE"]
        else:
            os.environ["HOLDFAST_CACHE"] = before
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.asynccontextmanager
async def bed(stack: Stack) -> AsyncIterator[Lab]:
    """The stack's lab; nothing runs yet. What the agent tells is not kept."""
    run = Run.begin(0)
    async with lab(
        stack, run, Limits(ready_seconds_max=READY_SECONDS_MAX), lambda event: None, lambda line: None
    ) as made:
        yield made


async def until(
    condition: Callable[[], bool] | Callable[[], Awaitable[bool]], what: str, seconds_max: float = 20.0
) -> None:
    """Ask every millisecond until the condition holds.

    Raises:
        HarnessError: It does not hold in time.
    """
    try:
        async with asyncio.timeout(seconds_max):
            while True:
                found = condition()
                if await found if isinstance(found, Awaitable) else found:
                    return
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise HarnessError(f"{what}: not within {seconds_max:g} s; see the load of the machine") from None


def loads() -> str:
    """The load averages of this machine."""
    return ", ".join(f"{each:.2f}" for each in os.getloadavg())


def _remove_orphans(parent: Path) -> None:
    """Folders of bench processes that were killed: in memory they would take it up until the next boot."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if re.fullmatch(r"[a-z0-9_-]+", folder.name) and not is_alive((folder / _OWNER).read_text()):
                shutil.rmtree(folder, ignore_errors=True)

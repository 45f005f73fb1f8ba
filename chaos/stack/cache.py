"""The one folder of files that Holdfast keeps between runs, and the locks in it.

Base images and golden snapshots live there; `holdfast doctor` prints it, `holdfast clean --all` removes it.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chaos.errors import HarnessError
from chaos.stack.engine.identity import is_left_over, stamp

GOLDEN_FILE = "golden.json"
"""Of the folder of one set of golden LUNs, written last; `stack` in it is the stack's name."""
CACHE_IN_AGENT = "/cache"
"""Where an agent sees that folder."""
_RETRY_SECONDS = 0.05


def cache_folder() -> Path:
    """Return the cache folder, made if need be.

    It is HOLDFAST_CACHE, else XDG_CACHE_HOME/holdfast, else ~/.cache/holdfast.

    Raises:
        HarnessError: It cannot be made.
    """
    folder = cache_place()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HarnessError(
            f"the cache folder {folder} cannot be made: {error.strerror}; "
            "name a writable one with the environment variable HOLDFAST_CACHE"
        ) from error
    return folder


def cache_place() -> Path:
    """Where the cache folder is or would be; makes nothing."""
    own = os.environ.get("HOLDFAST_CACHE", "")
    if own:
        return Path(own).expanduser().absolute()
    shared = os.environ.get("XDG_CACHE_HOME", "")
    # the XDG specification says that a relative path there is to be ignored
    base = Path(shared) if Path(shared).is_absolute() else Path.home() / ".cache"
    return base / "holdfast"


def in_agent(path: Path) -> str:
    """What an agent calls a path in the cache folder."""
    return f"{CACHE_IN_AGENT}/{path.relative_to(cache_place())}"


def golden_place() -> Path:
    """Where golden LUNs are: a folder for each set of them, and files with empty file systems."""
    return cache_place() / "golden"


def scratch_of(run_id: str) -> Path:
    """The folder for the files of one run that a sweep removes with its objects."""
    return cache_place() / "scratch" / run_id


def socket_of(run_id: str) -> Path:
    """The socket at which a run's agent calls, while it is not there yet."""
    return cache_place() / "scratch" / f"{run_id}.sock"


def left_to(run_id: str) -> Path:
    """The file that names the guard to which a run's stack is left."""
    return cache_place() / "scratch" / f"{run_id}.left"


def unfinished(path: Path) -> Path:
    """Where to make what is to lie at `path` once it is whole; the name tells whether its maker still lives."""
    return path.with_name(f"{path.stem}.{stamp()}{path.suffix}")


def left_over() -> list[Path]:
    """What processes that are gone did not get to remove."""
    return sorted(path for path in cache_place().glob("*/*") if is_left_over(path.name))


@contextmanager
def locked(name: str, timeout_seconds: float) -> Iterator[None]:
    """Hold the lock of this name among all processes that share the cache folder; a dead holder frees it.

    Raises:
        HarnessError: Another process held it all the time.
    """
    with _lock_file(name) as (descriptor, path):
        until = time.monotonic() + timeout_seconds
        while not _taken(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > until:
                raise HarnessError(
                    f"another process has held {path} for {timeout_seconds:.0f} s; wait for it or end it"
                )
            # flock has no bounded form, and an alarm would be the main thread's alone
            time.sleep(_RETRY_SECONDS)
        yield


@contextmanager
def in_use(name: str) -> Iterator[None]:
    """Tell all processes that share the cache folder that something is in use; a dead user's use ends."""
    with _lock_file(f"use-{name}") as (descriptor, _):
        while not _taken(descriptor, fcntl.LOCK_SH):
            time.sleep(_RETRY_SECONDS)  # somebody removes it, which takes a moment
        yield


@contextmanager
def unused(name: str) -> Iterator[bool]:
    """Whether nobody uses it; nobody begins to before the end."""
    with _lock_file(f"use-{name}") as (descriptor, _):
        yield _taken(descriptor, fcntl.LOCK_EX)


@contextmanager
def _lock_file(name: str) -> Iterator[tuple[int, Path]]:
    folder = cache_folder() / "locks"
    path = folder / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name)}.lock"
    try:
        folder.mkdir(exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise HarnessError(
            f"the cache folder {folder.parent} cannot be written: {error.filename}: {error.strerror}; "
            "name a writable one with the environment variable HOLDFAST_CACHE"
        ) from error
    try:
        yield descriptor, path
    finally:
        os.close(descriptor)


def _taken(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

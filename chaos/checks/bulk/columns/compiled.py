"""Loops over columns, compiled by numba when they are first called; the code is kept on disk for the next time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, cast

from numba import config, njit

F = TypeVar("F", bound=Callable[..., Any])


def _folder() -> Path:
    """Where compiled code is kept: by what it is made from, since one module's loops go into another's code."""
    bulk, package = Path(__file__).parents[1], Path(__file__).parents[3]
    sources = sorted(bulk.rglob("*.py"))
    digest = blake2b(b"".join(path.read_bytes() for path in sources), digest_size=8).hexdigest()
    return package / "__pycache__" / f"compiled-{digest}"


_FOLDER: Final = str(_folder())


@contextmanager
def _kept_there() -> Iterator[None]:
    """Only while a function of ours is made: whoever else uses numba in this process keeps theirs elsewhere."""
    settings: Any = config
    theirs, settings.CACHE_DIR = settings.CACHE_DIR, _FOLDER
    try:
        yield
    finally:
        settings.CACHE_DIR = theirs


def compiled(function: F) -> F:
    """The same function, compiled for the types that it is called with."""
    return _made(function, "never")


def inlined(function: F) -> F:
    """The same function for use in compiled ones, as if it were written there: handing arrays on costs time."""
    return _made(function, "always")


def _made(function: F, inline: Literal["never", "always"]) -> F:
    made: Any
    try:
        with _kept_there():
            made = njit(function, cache=True, nogil=True, error_model="numpy", inline=inline)
    except RuntimeError:  # no folder to keep code in: compiled anew by every process
        made = njit(function, nogil=True, error_model="numpy", inline=inline)
    return cast("F", made)

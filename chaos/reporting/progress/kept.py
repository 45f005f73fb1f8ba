"""What was found step by step, kept as a line of JSON each, so that what was stopped goes on where it was."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from chaos.errors import UsageError

T = TypeVar("T")


@contextlib.contextmanager
def alone(file: Path, what: str) -> Iterator[None]:
    """Have what a folder keeps for this process: two would run the same trials, and count each twice or not at all.

    Args:
        file: One that is always there.
        what: Such as "gate", for the message.

    Raises:
        UsageError: Another process has it.
    """
    with file.open("rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # who is killed lets go of it
        except OSError:
            raise UsageError(f"another command runs this {what}, of {file}; wait for it, or begin a new one") from None
        yield


class KeptLines(Generic[T]):
    """A file of dataclasses of one kind."""

    def __init__(self, path: Path, kind: type[T]) -> None:
        """Nothing is read or written yet."""
        self._path = path
        self._form = TypeAdapter(kind)

    def read(self) -> Iterator[T]:
        """What earlier sessions have written; a line that one did not get to its end is left out."""
        for line in self._path.read_bytes().splitlines() if self._path.exists() else ():
            with contextlib.suppress(ValidationError):
                yield self._form.validate_json(line)

    def add(self, found: T) -> None:
        """Write one more, on a line of its own whatever the file ends with."""
        with self._path.open("a+b") as file:
            if file.tell():
                file.seek(-1, 2)
                if file.read(1) != b"\n":
                    file.write(b"\n")
            file.write(self._form.dump_json(found) + b"\n")

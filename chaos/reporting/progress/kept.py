"""What was found step by step, kept as a line of JSON each, so that what was stopped goes on where it was."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")


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

"""What a LUN lies over, and never writes to: a golden file, nothing, or what a recorded LUN was at an instant."""

from __future__ import annotations

import errno
import os
from array import array
from pathlib import Path
from typing import Final, Protocol

from chaos.agent.recording import BLOCK_BYTES, DATA_SUFFIX, LOG_SUFFIX, Recording
from chaos.agent.states import Crash

FROM_BASE: Final = -1
"""In the place of a slot: the block is as in the base."""
_RECORDINGS_MAX: Final = 16


class Base(Protocol):
    """Blocks of 4096 bytes that do not change."""

    def read(self, block: int, count: int) -> bytes:
        """So many blocks; beyond the end there are zeros, or nothing at all."""
        ...

    def is_hole(self, block: int, count: int) -> bool:
        """Whether there is nothing but zeros, which are not even kept."""
        ...

    def close(self) -> None:
        """It is not read any more."""
        ...


class FileBase:
    """A file; None is zeros. One that is open needs no name any more."""

    def __init__(self, path: str | None) -> None:
        """Open it."""
        self._file = os.open(path, os.O_RDONLY) if path else -1

    def read(self, block: int, count: int) -> bytes:
        """As far as the file goes."""
        return os.pread(self._file, count * BLOCK_BYTES, block * BLOCK_BYTES) if self._file >= 0 else b""

    def is_hole(self, block: int, count: int) -> bool:
        """As the file system tells."""
        try:
            return os.lseek(self._file, block * BLOCK_BYTES, os.SEEK_DATA) >= (block + count) * BLOCK_BYTES
        except OSError as error:  # no data up to the end; EBADF: no file
            return error.errno in (errno.ENXIO, errno.EBADF)

    def close(self) -> None:
        """Close it."""
        if self._file >= 0:
            os.close(self._file)


class RecordedBase:
    """What a LUN was at an instant: its own base, and over it the slots of its log that its map names."""

    def __init__(self, below: Base, data: str, map_: array[int]) -> None:
        """`data` is the path of what was written, slot after slot."""
        self._below = below
        self._data = os.open(data, os.O_RDONLY)
        self._map = map_

    def read(self, block: int, count: int) -> bytes:
        """Runs that lie next to each other are read at once."""
        return b"".join(self._run(*run) for run in runs(block, self._map[block : block + count]))

    def is_hole(self, block: int, count: int) -> bool:
        """Whether nobody wrote there, and below there is a hole."""
        unwritten = self._map[block : block + count].count(FROM_BASE) == count
        return unwritten and self._below.is_hole(block, count)

    def close(self) -> None:
        """Close both."""
        os.close(self._data)
        self._below.close()

    def _run(self, block: int, slot: int, count: int) -> bytes:
        if slot != FROM_BASE:
            return os.pread(self._data, count * BLOCK_BYTES, slot * BLOCK_BYTES)
        return self._below.read(block, count).ljust(count * BLOCK_BYTES, b"\0")


class Crashes:
    """Makes what power cuts leave of LUNs whose logs were kept. The logs of the last few LUNs stay in memory."""

    def __init__(self) -> None:
        """None is in memory."""
        self._recordings: dict[str, Recording] = {}

    def base(self, crash: Crash, below: str | None) -> RecordedBase:
        """What a cut leaves, over the file that the LUN lay over.

        Raises:
            OSError, ValueError: The log cannot be read, or does not go back so far.
        """
        recording = self._recordings.pop(crash.log, None) or Recording.read(Path(crash.log + LOG_SUFFIX))
        self._recordings[crash.log] = recording
        if len(self._recordings) > _RECORDINGS_MAX:
            self._recordings.pop(next(iter(self._recordings)))
        map_ = recording.after_cut(crash.instant, frozenset(crash.survivors))
        return RecordedBase(FileBase(below), crash.log + DATA_SUFFIX, map_)


def is_run(slots: array[int]) -> bool:
    """Whether these lie next to each other in one file."""
    first, last = slots[0], slots[-1]
    if first == FROM_BASE:
        return slots.count(FROM_BASE) == len(slots)
    return last - first == len(slots) - 1 and slots == array("q", range(first, last + 1))


def runs(first: int, slots: array[int]) -> list[tuple[int, int, int]]:
    """Split the slots of blocks from `first` on into (block, slot, count) that lie next to each other in one file."""
    found: list[tuple[int, int, int]] = []
    start = 0
    for index in range(1, len(slots) + 1):
        if index < len(slots):
            step = 0 if slots[start] == FROM_BASE else index - start
            if slots[index] == slots[start] + step:
                continue
        found.append((first + start, slots[start], index - start))
        start = index
    return found

"""The write log of a LUN as a file: the agent writes it, and both sides of its socket read it.

Beside `NAME.log` lies `NAME.data` with what was written, a slot of 4096 bytes for each block. The log is a line of JSON
and then columns of 64-bit numbers: the map of blocks to slots at its begin; of each I/O its instant, time, kind, and
how many blocks were written up to its end; of each block that was written its number and its slot.

An *instant* is the number of an I/O, counted over all LUNs of an agent: what is there when this I/O and all before it
have been done.
"""

from __future__ import annotations

import json
import sys
from array import array
from bisect import bisect_right
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

BLOCK_BYTES: Final = 4096
WRITE, FLUSH, CUT, SET = range(4)
"""Kinds of I/Os. After a CUT, which sets blocks back, everything is durable; what was SET is durable at once."""
LOG_SUFFIX: Final = ".log"
DATA_SUFFIX: Final = ".data"
_FORMAT: Final = 1
_COLUMNS: Final = ("map", "instants", "times", "kinds", "ends", "blocks", "slots")


@dataclass(frozen=True)
class Recording:
    """The log of one LUN.

    Attributes:
        first_instant: The first that can be had, at which the log begins.
        map: By block its slot in the data then; -1: as in the LUN's base.
        instants: Of each I/O, rising.
        times: CLOCK_MONOTONIC in ns, just before it was done.
        kinds: WRITE, FLUSH, CUT or SET.
        ends: How many of `blocks` there are up to its end.
        blocks, slots: What was written, where to.
    """

    first_instant: int
    map: array[int] = field(repr=False)
    instants: array[int] = field(repr=False)
    times: array[int] = field(repr=False)
    kinds: array[int] = field(repr=False)
    ends: array[int] = field(repr=False)
    blocks: array[int] = field(repr=False)
    slots: array[int] = field(repr=False)
    _last: list[tuple[int, array[int]]] = field(default_factory=list, init=False, repr=False, compare=False)

    def write(self, path: Path) -> None:
        """Write the file."""
        columns = {name: getattr(self, name) for name in _COLUMNS}
        lengths = {name: len(column) for name, column in columns.items()}
        head = {
            "format": _FORMAT,
            "order": sys.byteorder,
            "first_instant": self.first_instant,
            "columns": lengths,
        }
        with path.open("wb") as file:
            file.write(json.dumps(head).encode() + b"\n")
            for column in columns.values():
                column.tofile(file)

    @classmethod
    def read(cls, path: Path) -> Recording:
        """Read the file.

        Raises:
            OSError, ValueError: It cannot be read, or is none of this format.
        """
        with path.open("rb") as file:
            head = json.loads(file.readline())
            if (head.get("format"), head.get("order")) != (_FORMAT, sys.byteorder):
                raise ValueError(f"{path}: of another version or another machine; record it anew")
            columns = {}
            for name, length in head["columns"].items():
                columns[name] = array("q")
                try:
                    columns[name].fromfile(file, length)
                except EOFError:
                    raise ValueError(f"{path}: cut short in its column {name}; record it anew") from None
        return cls(head["first_instant"], **columns)

    def volatile(self, instant: int) -> list[int]:
        """What a power cut at an instant may take: the places in `blocks` of what was written since the last flush."""
        return [place for io in self._window(instant) if self.kinds[io] == WRITE for place in self._places(io)]

    def at(self, instant: int) -> array[int]:
        """The map at an instant, with everything that was written.

        Raises:
            ValueError: The log does not go back so far.
        """
        return self._replayed(bisect_right(self.instants, instant), instant)

    def after_cut(self, instant: int, survivors: Collection[int] = ()) -> array[int]:
        """The map of what a power cut at an instant leaves.

        Args:
            instant: Everything up to it has been done.
            survivors: What it does not take, of `volatile`.

        Raises:
            ValueError: The log does not go back so far.
        """
        window = self._window(instant)
        found = self._replayed(window.start, instant)
        for io in window:
            for place in self._places(io):
                if self.kinds[io] == SET or place in survivors:
                    found[self.blocks[place]] = self.slots[place]
        return found

    def _replayed(self, ios: int, instant: int) -> array[int]:
        """The map after so many I/Os. What was asked for last is remembered, as most come in order."""
        if instant < self.first_instant:
            raise ValueError(f"the log has nothing before I/O {self.first_instant}, and I/O {instant} was asked for")
        done, found = self._last[-1] if self._last and self._last[-1][0] <= ios else (0, self.map)
        found = found[:]
        for io in range(done, ios):
            self._apply(io, found)
        self._last[:] = [(ios, found)]
        return found[:]

    def _apply(self, io: int, to: array[int]) -> None:
        places = self._places(io)
        if self.kinds[io] == WRITE and places:
            first = self.blocks[places.start]
            to[first : first + len(places)] = self.slots[places.start : places.stop]
        else:
            for place in places:
                to[self.blocks[place]] = self.slots[place]

    def _places(self, io: int) -> range:
        """Where `blocks` and `slots` have what one I/O wrote."""
        return range(self.ends[io - 1] if io else 0, self.ends[io])

    def _window(self, instant: int) -> range:
        """The I/Os since the last flush or cut."""
        end = begin = bisect_right(self.instants, instant)
        while begin and self.kinds[begin - 1] in (WRITE, SET):
            begin -= 1
        return range(begin, end)

"""The write log of a LUN: what it is now, and every change up to it in order, so that past instants can be had.

Each block that is written gets a new slot, so a change is (block, slot before, slot after), and what was there before
is still there. What was written since the last flush is *volatile*. A cut takes it back, and that too is a change, so
that an instant before the cut can still be had.

Bounded: beyond `changes_max` the oldest changes are forgotten, and slots that nobody can name any more are used again.
"""

from __future__ import annotations

import time
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import Final

from chaos.agent.disk.base import FROM_BASE
from chaos.agent.recording import CUT, FLUSH, SET, WRITE, Recording

CHANGES_MAX = (256 << 20) // 4096
"""Those of 256 MiB, unless somebody wants them all."""
_FORGOTTEN_AT_ONCE: Final = 1024
"""Few, as an I/O waits meanwhile."""


class WriteLog:
    """The map of blocks to slots, and its changes.

    Attributes:
        map: By block the slot that holds it now; FROM_BASE where nobody has written.
        changes_max: So many changes and I/Os are kept, about; None: all.
        free: Slots that may be used again.
        first_instant: The first that can still be had; 0: the begin, before any I/O.
    """

    def __init__(self, blocks: int, instants: Iterator[int]) -> None:
        """Nothing has been written. `instants` numbers the I/Os of all LUNs of an agent."""
        self.map = array("q", [FROM_BASE]) * blocks
        self.changes_max: int | None = CHANGES_MAX
        self.free: list[int] = []
        self.first_instant = 0
        self._instants = instants
        # a column of each change, and of each I/O with how many changes there are up to its end
        self._block, self._before, self._after = array("q"), array("q"), array("q")
        self._instant, self._time, self._kind, self._end = array("q"), array("q"), array("q"), array("q")
        self._forgotten = 0
        """Changes that the columns do not have any more; `_end`, `_flushed` and `_durable` count them, too."""
        self._flushed = 0
        """Changes up to the last flush or cut."""
        self._durable: set[int] = set()
        """Changes after it that are durable nevertheless."""
        self._again: set[int] = set()
        """Slots that the map came to name a second time: nobody can tell when they are free, so they never are."""

    def wrote(self, first: int, slots: array[int]) -> None:
        """Blocks from `first` on are in these slots from now on, and volatile."""
        count = len(slots)
        self._block.extend(range(first, first + count))
        self._before.extend(self.map[first : first + count])
        self._after.extend(slots)
        self.map[first : first + count] = slots
        self._did(WRITE)

    def flushed(self) -> None:
        """What was volatile is durable."""
        self._did(FLUSH)
        self._conclude()

    def put(self, block: int, slot: int) -> None:
        """A block is something else from now on, without a write: it is durable at once."""
        self._durable.add(self._changes)
        self._change(block, slot)
        self._did(SET)

    @property
    def volatile(self) -> list[tuple[int, int]]:
        """What was written since the last flush, as (block, slot) in order."""
        return [(self._block[each], self._after[each]) for each in self._volatile_places]

    @property
    def volatile_blocks(self) -> int:
        """How many blocks that is; one that was written twice counts twice."""
        return self._changes - self._flushed - len(self._durable)

    def durable_slot(self, block: int) -> int:
        """What holds a block once a cut has taken back what is volatile."""
        mine = (each for each in self._volatile_places if self._block[each] == block)
        first = next(mine, None)
        return self.map[block] if first is None else self._before[first]

    def cut(self, survivors: Iterable[tuple[int, int]] = ()) -> None:
        """Take back what is volatile, then do the survivors anew, each a (block, slot); all is durable then."""
        for each in reversed(self._volatile_places):
            self._back_to(self._block[each], self._before[each])
        for block, slot in survivors:
            self._back_to(block, slot)
        self._did(CUT)
        self._conclude()

    def become(self, then: array[int]) -> int:
        """Be what the log has been at an instant; return how many blocks that changes."""
        changed = [block for block, (now, slot) in enumerate(zip(self.map, then, strict=True)) if now != slot]
        for block in changed:
            self._back_to(block, then[block])
        self._did(CUT)
        self._conclude()
        return len(changed)

    @property
    def instant(self) -> int:
        """The last one."""
        return self._instant[-1] if self._instant else self.first_instant

    def instant_before(self, t_ns: int, now_ns: int) -> tuple[int, int]:
        """The last instant before a time, or the first that can still be had; and how long ago that was, in ns."""
        done = bisect_left(self._time, t_ns)
        if done or not self.first_instant:
            return (self._instant[done - 1] if done else 0), now_ns - t_ns
        return self.first_instant, now_ns - self._time[0] if self._time else 0

    def forget(self) -> None:
        """Where there are too many changes, forget some of the oldest, but nothing that is volatile."""
        most = self.changes_max
        if most is None or (len(self._block) <= most and len(self._instant) <= most):
            return
        until = min(self._flushed, self._forgotten + _FORGOTTEN_AT_ONCE)
        ios = min(bisect_right(self._end, until), _FORGOTTEN_AT_ONCE)
        if not ios:
            return
        count = self._end[ios - 1] - self._forgotten
        self.free.extend(slot for slot in self._before[:count] if slot != FROM_BASE and slot not in self._again)
        self.first_instant = self._instant[ios - 1]
        self._forgotten += count
        for column in (self._block, self._before, self._after):
            del column[:count]
        for column in (self._instant, self._time, self._kind, self._end):
            del column[:ios]

    def recording(self) -> Recording:
        """All that it knows. May be called beside the thread that writes, where nothing is forgotten."""
        first = self.map[:]  # before the columns, so that they have every change that this has
        count, ios = len(self._after), len(self._end)
        for each in range(count - 1, -1, -1):
            first[self._block[each]] = self._before[each]
        ends = array("q", [end - self._forgotten for end in self._end[:ios]])
        changes = ends[-1] if ends else 0
        return Recording(
            first_instant=self.first_instant,
            map=first,
            instants=self._instant[:ios],
            times=self._time[:ios],
            kinds=self._kind[:ios],
            ends=ends,
            blocks=self._block[:changes],
            slots=self._after[:changes],
        )

    @property
    def _changes(self) -> int:
        return self._forgotten + len(self._block)

    @property
    def _volatile_places(self) -> list[int]:
        """Where the columns have what is volatile."""
        places = range(self._flushed, self._changes)
        return [place - self._forgotten for place in places if place not in self._durable]

    def _conclude(self) -> None:
        self._flushed = self._changes
        self._durable.clear()

    def _back_to(self, block: int, slot: int) -> None:
        self._again.add(slot)
        self._change(block, slot)

    def _change(self, block: int, slot: int) -> None:
        self._block.append(block)
        self._before.append(self.map[block])
        self._after.append(slot)
        self.map[block] = slot

    def _did(self, kind: int) -> None:
        self._instant.append(next(self._instants))
        self._time.append(time.monotonic_ns())
        self._kind.append(kind)
        self._end.append(self._changes)

"""The crash states of a recorded run: where the power could have gone, and what of the un-flushed writes survives.

What a cut leaves changes only when a flush makes writes durable. So just before each such flush is where a cut asks
most: the disks are what they were since the flush before, and most has been acknowledged. A *boundary* is this instant,
over all LUNs. At each, any subset of the blocks that are not flushed may survive; to survive in order, or up to an
earlier instant, is one of these subsets.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chaos.agent.recording import CUT, FLUSH, WRITE, Recording

Block = tuple[str, int]
"""A LUN, and a place in its log."""
_SURVIVES: Final = 0.5
"""A block of a drawn subset."""
_DRAWS_MAX: Final = 64
"""Until a subset that is new is drawn."""


@dataclass(frozen=True)
class Boundary:
    """Just before a flush makes something durable, or the end of the recording.

    Attributes:
        instant: The last I/O before it.
        t_ns: When it came: what was acknowledged before that counts.
        lun: The LUN that is flushed, and the number of the flush on it since the begin of the load; "" and 0: the end.
        window: By LUN the blocks that are not flushed, by their places in its log; LUNs without any are left out.
    """

    instant: int
    t_ns: int
    lun: str
    flush: int
    window: Mapping[str, tuple[int, ...]]

    @property
    def volatile(self) -> int:
        """How many blocks are not flushed, on all LUNs; one that was written twice counts twice."""
        return sum(map(len, self.window.values()))


@dataclass(frozen=True)
class State:
    """One crash state.

    Attributes:
        number: Its place in the order in which states are chosen, from 1.
        survivors: The blocks that are not flushed and survive, each as (LUN, place in its log).
    """

    number: int
    boundary: Boundary
    survivors: frozenset[Block] = frozenset()

    @property
    def taken(self) -> int:
        """How many blocks the cut takes."""
        return self.boundary.volatile - len(self.survivors)

    def surviving(self, lun: str) -> tuple[int, ...]:
        """Those on one LUN, in order."""
        return tuple(place for place in self.boundary.window.get(lun, ()) if (lun, place) in self.survivors)


def boundaries(recordings: Mapping[str, Recording], begin_ns: int, end_ns: int) -> list[Boundary]:
    """The boundaries of a load, in their order, the end last.

    Args:
        recordings: By LUN.
        begin_ns: When the load began; what was flushed before is no boundary.
        end_ns: When it was over.
    """
    found: list[Boundary] = []
    flushes: Counter[str] = Counter()
    window: dict[str, Sequence[int]] = {}
    instant = max((each.first_instant for each in recordings.values()), default=0)
    for io, t_ns, kind, lun, places in heapq.merge(*(_ios(lun, each) for lun, each in recordings.items())):
        if t_ns > end_ns:
            break
        if kind == WRITE:
            window[lun] = [*window.get(lun, ()), *places]
        elif kind in (FLUSH, CUT):
            flushes[lun] += kind == FLUSH and t_ns >= begin_ns
            if t_ns >= begin_ns and window.get(lun):
                found.append(Boundary(instant, t_ns, lun, flushes[lun], _kept(window)))
            window.pop(lun, None)
        instant = max(instant, io)
    return [*found, Boundary(instant, end_ns, "", 0, _kept(window))]


def states(of: Sequence[Boundary], most: int, subsets: int, seed: int) -> Iterator[State]:
    """The states to check, at most so many, and with at most so many subsets of what is not flushed at each boundary.

    First every boundary with nothing that is not flushed, the end first and then ever closer between those before, so
    that fewer states are spread evenly, and more are the same ones and others. Then every boundary with all of it, and
    then with drawn subsets, one after the other.
    """
    number = 0
    digits = len(f"{len(of):b}")
    places = sorted(range(len(of)), key=lambda place: f"{place:0{digits}b}"[::-1])
    spread = [of[-1 - place] for place in places]
    seen: dict[int, set[frozenset[Block]]] = {}
    for draw in range(1 + subsets):
        for boundary in spread:
            known = seen.setdefault(boundary.instant, set())
            survivors = _subset(boundary, draw, known, random.Random(f"{seed} {boundary.instant} {draw}"))
            if survivors is None or number == most:
                continue
            known.add(survivors)
            number += 1
            yield State(number, boundary, survivors)


def possible(of: Iterable[Boundary]) -> int:
    """How many states there are: at each boundary every subset of what is not flushed."""
    return sum(1 << each.volatile for each in of)


def _subset(
    boundary: Boundary, draw: int, known: set[frozenset[Block]], chance: random.Random
) -> frozenset[Block] | None:
    """What survives in the draw of this number; None: there is nothing new."""
    volatile = [(lun, place) for lun, places in boundary.window.items() for place in places]
    if draw == 0:
        return frozenset()
    if draw == 1:
        return frozenset(volatile) if volatile else None
    if len(known) == 1 << len(volatile):
        return None
    for _ in range(_DRAWS_MAX):
        drawn = frozenset(each for each in volatile if chance.random() < _SURVIVES)
        if drawn not in known:
            return drawn
    return None


def _kept(window: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    return {lun: tuple(places) for lun, places in window.items()}


def _ios(lun: str, recording: Recording) -> Iterator[tuple[int, int, int, str, range]]:
    """Every I/O as (instant, time, kind, LUN, places in the log of what it wrote)."""
    begin = 0
    columns = (recording.instants, recording.times, recording.kinds, recording.ends)
    for instant, t_ns, kind, end in zip(*columns, strict=True):
        yield instant, t_ns, kind, lun, range(begin, end)
        begin = end

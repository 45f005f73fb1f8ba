"""Which crash states are alike: those in which the same places are taken and survive, with or without an answer since.

The *pattern* of a state is what its un-flushed blocks are to the file system (`places`), those that the cut takes and
those that survive, and whether anything was acknowledged since the boundary before. One state of each pattern is
checked, that with most acknowledgements since; then, of each in which something is wrong, the states of the boundaries
beside it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chaos.explore.points import Block, Boundary, State


@dataclass(frozen=True)
class Pattern:
    """What is taken, what survives, each as (LUN, place), and whether anything was acknowledged since."""

    taken: frozenset[tuple[str, str]]
    survives: frozenset[tuple[str, str]]
    acknowledged: bool

    def __str__(self) -> str:
        """In words."""
        taken = ", ".join(f"{place} of {lun}" for lun, place in sorted(self.taken)) or "nothing on a disk"
        survives = ", ".join(f"{place} of {lun}" for lun, place in sorted(self.survives))
        told = f"taken: {taken}" + (f"; surviving: {survives}" if survives else "")
        return told + ("; acknowledged since: some" if self.acknowledged else "; acknowledged since: nothing")


class Patterns:
    """The patterns of the states of one recording."""

    def __init__(
        self, boundaries: Sequence[Boundary], places: Mapping[Block, str], acknowledged_at: Sequence[int]
    ) -> None:
        """`places` are those of blocks by (LUN, place in the log); `acknowledged_at` the times of answers, rising."""
        self._places = places
        times = [0, *(each.t_ns for each in boundaries)]
        self._since = {
            each.instant: bisect_left(acknowledged_at, each.t_ns) - bisect_left(acknowledged_at, before)
            for each, before in zip(boundaries, times, strict=False)
        }

    def of(self, state: State) -> Pattern:
        """The pattern of a state."""
        taken, survives = set[tuple[str, str]](), set[tuple[str, str]]()
        for lun, blocks in state.boundary.window.items():
            for block in blocks:
                to = survives if (lun, block) in state.survivors else taken
                to.add((lun, self._places[lun, block]))
        return Pattern(frozenset(taken), frozenset(survives), bool(self._since[state.boundary.instant]))

    def representatives(self, states: Sequence[State]) -> list[State]:
        """One state of each pattern, in their order."""
        chosen: dict[Pattern, State] = {}
        for state in states:
            pattern = self.of(state)
            known = chosen.get(pattern)
            if known is None or self._acknowledged(state) > self._acknowledged(known):
                chosen[pattern] = state
        return [state for state in states if chosen[self.of(state)] is state]

    def _acknowledged(self, state: State) -> int:
        return self._since[state.boundary.instant]


def beside(state: State, states: Sequence[State]) -> list[State]:
    """The states of the boundaries before and after one, with as much surviving: nothing, or something."""
    alike = [each for each in states if bool(each.survivors) == bool(state.survivors)]
    alike.sort(key=lambda each: (each.boundary.instant, each.number))
    place = alike.index(state)
    return [*alike[max(0, place - 1) : place], *alike[place + 1 : place + 2]]

"""Which crash states are alike: those in which the same places are taken and survive, as long after an answer.

The *pattern* of a state is what its un-flushed blocks are to the file system (`places`), those that the cut takes and
those that survive, and at how many boundaries before it the last answer was: what a cut loses depends on how many of
its flushes a write has had. Of each pattern that state is checked first whose boundary is longest after the one before,
since by then most of what was on its way has been answered. Where something is wrong in it, the states of the
boundaries beside it follow; where nothing is, the next ones of its pattern, until there were `TRIES`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chaos.explore.points import Block, Boundary, State

LONG_AGO: Final = 3
"""Boundaries since the last answer; more are no other pattern."""
TRIES: Final = 3
"""States of one pattern that are checked, as long as nothing is wrong in them."""


@dataclass(frozen=True)
class Pattern:
    """What is taken, what survives, each as (LUN, place), and at how many boundaries before the last answer was."""

    taken: frozenset[tuple[str, str]]
    survives: frozenset[tuple[str, str]]
    answered: int


class Patterns:
    """The patterns of the states of one recording."""

    def __init__(
        self, boundaries: Sequence[Boundary], places: Mapping[Block, str], acknowledged_at: Sequence[int]
    ) -> None:
        """`places` are those of blocks by (LUN, place in the log); `acknowledged_at` the times of answers, rising."""
        self._places = places
        answers = [bisect_left(acknowledged_at, each.t_ns) for each in boundaries]
        since = [now - before for now, before in zip(answers, [0, *answers], strict=False)]
        self._ago: dict[int, int] = {}
        self._open_ns: dict[int, int] = {}
        for at, each in enumerate(boundaries):
            recent = since[max(0, at + 1 - LONG_AGO) : at + 1][::-1]
            self._ago[each.instant] = next((ago for ago, answered in enumerate(recent) if answered), LONG_AGO)
            self._open_ns[each.instant] = each.t_ns - boundaries[at - 1].t_ns if at else 0

    def of(self, state: State) -> Pattern:
        """The pattern of a state."""
        taken, survives = set[tuple[str, str]](), set[tuple[str, str]]()
        for lun, blocks in state.boundary.window.items():
            for block in blocks:
                to = survives if (lun, block) in state.survivors else taken
                to.add((lun, self._places[lun, block]))
        return Pattern(frozenset(taken), frozenset(survives), self._ago[state.boundary.instant])

    def representatives(self, states: Sequence[State]) -> list[list[State]]:
        """Of each pattern the states to check, one after the other until something is wrong in one."""
        by_pattern: dict[Pattern, list[State]] = {}
        for state in sorted(states, key=lambda each: -self._open_ns[each.boundary.instant]):
            by_pattern.setdefault(self.of(state), []).append(state)
        return [alike[:TRIES] for alike in by_pattern.values()]


def beside(state: State, states: Sequence[State]) -> list[State]:
    """Of the boundaries before and after it one state each, with as much surviving: nothing, or something."""
    instant, alike = state.boundary.instant, [each for each in states if bool(each.survivors) == bool(state.survivors)]
    before = [each for each in alike if each.boundary.instant < instant]
    after = [each for each in alike if each.boundary.instant > instant]
    last = max(before, key=lambda each: (each.boundary.instant, -each.number), default=None)
    first = min(after, key=lambda each: (each.boundary.instant, each.number), default=None)
    return [each for each in (last, first) if each is not None]

"""Which crash states are alike: those in which the same places are taken and survive, as long after an answer.

The *pattern* of a state is what its un-flushed blocks are to the file system (`places`), those that the cut takes and
those that survive, and at how many boundaries before it the last answer was: what a cut loses depends on how many of
its flushes a write has had. One state of each pattern is checked, that with most acknowledgements then; after it, where
something is wrong in it, the states of the boundaries beside it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chaos.explore.points import Block, Boundary, State

LONG_AGO: Final = 3
"""Boundaries since the last answer; more are no other pattern."""


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
        self._last: dict[int, tuple[int, int]] = {}
        """By instant, at how many boundaries before it the last answers were, and how many."""
        for at, each in enumerate(boundaries):
            recent = since[max(0, at + 1 - LONG_AGO) : at + 1][::-1]
            ago = next((ago for ago, answered in enumerate(recent) if answered), LONG_AGO)
            self._last[each.instant] = ago, recent[ago] if ago < LONG_AGO else 0

    def of(self, state: State) -> Pattern:
        """The pattern of a state."""
        taken, survives = set[tuple[str, str]](), set[tuple[str, str]]()
        for lun, blocks in state.boundary.window.items():
            for block in blocks:
                to = survives if (lun, block) in state.survivors else taken
                to.add((lun, self._places[lun, block]))
        return Pattern(frozenset(taken), frozenset(survives), self._last[state.boundary.instant][0])

    def representatives(self, states: Sequence[State]) -> list[State]:
        """One state of each pattern, in their order."""
        chosen: dict[Pattern, State] = {}
        for state in states:
            pattern = self.of(state)
            known = chosen.get(pattern)
            if known is None or self._answers(state) > self._answers(known):
                chosen[pattern] = state
        return [state for state in states if chosen[self.of(state)] is state]

    def _answers(self, state: State) -> int:
        return self._last[state.boundary.instant][1]


def beside(state: State, states: Sequence[State]) -> list[State]:
    """Of the boundaries before and after it one state each, with as much surviving: nothing, or something."""
    instant, alike = state.boundary.instant, [each for each in states if bool(each.survivors) == bool(state.survivors)]
    before = [each for each in alike if each.boundary.instant < instant]
    after = [each for each in alike if each.boundary.instant > instant]
    last = max(before, key=lambda each: (each.boundary.instant, -each.number), default=None)
    first = min(after, key=lambda each: (each.boundary.instant, each.number), default=None)
    return [each for each in (last, first) if each is not None]

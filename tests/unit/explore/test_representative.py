"""What it takes for `--representative` to have found enough with few enough states."""

from __future__ import annotations

import pytest

from chaos.explore.campaign import Exploration
from chaos.explore.patterns import Patterns
from chaos.explore.points import Boundary, State
from chaos.explore.state import Found, Outcome
from tests.representative import Score, sets

WAL, TABLE, BOTH = (frozenset({("data", each)}) for each in ("/wal", "/table", "/wal and /table"))


@pytest.mark.parametrize(
    ("checked", "found", "is_enough"),
    [(10, {WAL, TABLE}, True), (11, {WAL, TABLE}, False), (10, {WAL}, False), (10, {WAL, BOTH}, False)],
    ids=["as it must be", "too many states", "one is missing", "another one instead"],
)
def test_enough_are_nearly_all_sets_of_lost_writes_with_a_tenth_of_the_states(
    checked: int, found: set[frozenset[tuple[str, str]]], is_enough: bool
) -> None:
    score = Score("name", 100, 100, 50, frozenset({WAL, TABLE}), frozenset(), checked, frozenset(found), frozenset())
    assert score.is_enough == is_enough
    assert str(score).endswith("ok" if is_enough else "MISS")


def test_an_exploration_in_which_nothing_is_wrong_scores_nothing() -> None:
    assert not Score("name", 100, 100, 0, frozenset(), frozenset(), 1, frozenset(), frozenset()).is_enough


def test_sets_are_those_of_the_writes_that_were_taken_in_violated_states() -> None:
    windows = {1: (0,), 2: (1,), 3: (0, 1), 4: (2,)}
    of = [Boundary(instant, 10 * instant, "data", instant, {"data": blocks}) for instant, blocks in windows.items()]
    states = [State(number, each) for number, each in enumerate(of, start=1)]
    exploration = Exploration.__new__(Exploration)
    places = {("data", 0): "/wal", ("data", 1): "/wal", ("data", 2): "/table"}
    vars(exploration).update(states=states, patterns=Patterns(of, places, [5]))
    outcomes: list[Outcome] = ["violated", "violated", "kept", "violated"]
    found = [
        Found(number, number, "data", number, 1, (), outcome, lost=(f"u/{number % 2}",))
        for number, outcome in enumerate(outcomes, start=1)
    ]
    assert sets(found, exploration) == (frozenset({WAL, TABLE}), frozenset({("u/1",), ("u/0",)}))

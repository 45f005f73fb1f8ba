"""What an exploration keeps of what it finds."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import pytest

from chaos.explore.campaign import STATES_FILE, VIOLATION_FOLDER, Exploration, Explored, Progress
from chaos.explore.points import Boundary, State
from chaos.explore.state import Found, Outcome, key_of
from chaos.explore.telling import exit_code, told
from chaos.reporting.progress.kept import KeptLines
from chaos.reporting.result import HISTORY_FILE


def found(number: int, instant: int, taken: int, outcome: Outcome = "violated") -> Found:
    return Found(number, instant, "data", 3, taken + 1, (("data", 1),), outcome, "1 of 2 records is lost")


def explored(*states: Found) -> Explored:
    return Explored(Path("here"), 9, 1 << 60, len(states), None, 300, states, len(states), 6.0)


@pytest.mark.parametrize(
    "order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)], ids=["as they come", "backwards", "side by side"]
)
def test_the_history_that_is_kept_is_that_of_the_violation_which_is_told_as_the_earliest(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    states = [found(1, 5, 9), found(2, 5, 2), found(3, 8, 1), found(4, 2, 0, "kept")]
    kept = KeptLines(tmp_path / STATES_FILE, Found)
    exploration = Exploration.__new__(Exploration)
    vars(exploration).update(_folder=tmp_path, progress=Progress(len(states)), _known={}, _kept=kept)
    for place in order:
        history = tmp_path / "history of one state"
        history.write_text(str(states[place].number))
        exploration._take(states[place], history)
    result = explored(*exploration.progress.checked)
    assert result.earliest == states[1]
    assert result.smallest == states[2]
    assert (tmp_path / VIOLATION_FOLDER / HISTORY_FILE).read_text() == "2"
    assert [*kept.read()] == [states[place] for place in order]


def chosen(rankings: list[list[State]], every: list[State], known: dict[int, Outcome], most: int = 99) -> Exploration:
    """An exploration of representatives, of which those at these instants are known."""
    exploration = Exploration.__new__(Exploration)
    of = {(instant, ()): found(instant, instant, 1, outcome) for instant, outcome in known.items()}
    vars(exploration).update(states=every, progress=Progress(0), _known=of, _left=deque(), _wanted=set(), _most=most)
    vars(exploration).update(_next={key_of(first): rest for first, *rest in rankings})
    for first, *_ in rankings:
        exploration._want(first)
    return exploration


def line(length: int) -> list[State]:
    of = [Boundary(instant, 10 * instant, "data", instant, {"data": (instant,)}) for instant in range(1, length + 1)]
    return [State(number, each) for number, each in enumerate(of, start=1)]


def test_beside_a_representative_in_which_something_is_wrong_states_are_checked_and_none_beside_these() -> None:
    """Else a run of violated states, as fsync=off leaves, would be checked from end to end."""
    every = line(7)
    exploration = chosen([[every[3]]], every, {4: "violated", 5: "violated"})
    assert [each.boundary.instant for each in exploration._left] == [3]
    assert [each.instant for each in exploration.progress.checked] == [4, 5]
    exploration._follow(every[2], found(3, 3, 1))
    assert (len(exploration._left), exploration.progress.total) == (1, 3)


def test_where_nothing_is_wrong_in_a_representative_the_next_one_of_its_pattern_is_checked() -> None:
    every = line(9)
    exploration = chosen([[every[0], every[4], every[8]]], every, {1: "kept"})
    assert [each.boundary.instant for each in exploration._left] == [5]
    exploration._follow(every[4], found(5, 5, 1, "undecided"))
    assert [each.boundary.instant for each in exploration._left] == [5, 9]
    exploration._follow(every[8], found(9, 9, 1, "kept"))
    assert exploration.progress.total == 3


def test_there_are_no_more_states_than_were_asked_for() -> None:
    every = line(9)
    exploration = chosen([[every[0], every[4]], [every[7]]], every, {1: "kept"}, most=2)
    assert [each.boundary.instant for each in exploration._left] == [5]


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [(("kept", "kept"), 0), (("kept", "undecided"), 2), (("undecided", "violated"), 1)],
)
def test_the_exit_code_tells_the_worst_state(outcomes: tuple[Outcome, ...], code: int) -> None:
    assert exit_code(explored(*(found(n, n, 1, outcome) for n, outcome in enumerate(outcomes)))) == code


def test_the_lines_tell_how_many_are_wrong_and_where_the_first_is() -> None:
    lines = told(explored(found(1, 5, 2), found(2, 8, 1), found(3, 9, 0, "undecided")))
    assert lines[1] == (
        "3 states checked: 0 have everything that was acknowledged before, 2 do not, 1 could not be read"
    )
    where = "state 1, just before flush 3 of data, 2 of 3 blocks that are not flushed gone"
    assert lines[2] == f"earliest: {where}: 1 of 2 records is lost"
    assert lines[3].startswith("smallest: state 2, ")
    assert lines[-2] == "3 states in 6 s, 30 a minute"

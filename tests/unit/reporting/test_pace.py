"""How long a run will take, from what its trials took."""

from __future__ import annotations

import pytest

from chaos.reporting.listener import Standing
from chaos.reporting.progress.pace import Pace


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def at(trial: int, phase: str, done: int = 0, *, times: int = 4) -> Standing:
    return Standing(trial, times, "x", phase, done, 400)


def test_nobody_knows_before_a_trial_is_over(clock: Clock) -> None:
    pace = Pace(clock)
    pace.take(at(1, "prepare"))
    clock.now += 30
    assert pace.left() is None
    assert [each.at.trial for each in pace.under_way] == [1]


def test_what_is_left_is_what_the_trials_before_took(clock: Clock) -> None:
    pace = Pace(clock)
    for number in (1, 2):
        pace.take(at(number, "prepare"))
        clock.now += 20 * number
        pace.take(at(number, ""))
    assert (pace.over, pace.times) == (2, 4)
    assert pace.left() == 60
    pace.take(at(3, "prepare"))
    clock.now += 10
    assert pace.left() == 50
    clock.now += 100  # it takes longer than any other: of the last one nothing is gone yet
    assert pace.left() == 30


def test_trials_side_by_side_share_what_is_left(clock: Clock) -> None:
    pace = Pace(clock)
    for number in (1, 2):
        pace.take(at(number, "prepare"))
    clock.now += 40
    pace.take(at(1, ""))
    pace.take(at(3, "prepare"))
    assert pace.left() == (3 * 40 - 40) / 2


def test_a_load_is_over_when_its_operations_are(clock: Clock) -> None:
    pace = Pace(clock)
    pace.take(at(1, "reset"))
    clock.now += 50
    pace.take(at(1, "load"))
    (trial,) = pace.under_way
    assert pace.load_left(trial) is None
    clock.now += 10
    pace.take(at(1, "load", 100))
    assert pace.load_left(trial) == 30
    pace.take(at(1, "heal", 400))
    clock.now += 2
    assert pace.load_left(trial) is None
    assert pace.phase_seconds(trial) == 2

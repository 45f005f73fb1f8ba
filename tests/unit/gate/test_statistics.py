"""Limits against SciPy, and that a wrong bound is as rare as it says."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import beta, binom, binomtest

from chaos.gate.statistics import (
    loss_limit,
    lower_limit,
    sensitivity_limit,
    trials_needed,
    upper_limit,
)

CONFIDENCES = st.floats(0.5, 0.9999)
SHARES = st.floats(0.001, 1.0)


@st.composite
def outcomes(draw: st.DrawFn) -> tuple[int, int]:
    trials = draw(st.integers(1, 3000))
    return draw(st.integers(0, trials) | st.integers(0, min(5, trials))), trials


@given(outcomes(), CONFIDENCES)
@example((0, 1), 0.95)
@example((1, 1), 0.95)
def test_the_limits_are_those_of_scipy(outcome: tuple[int, int], confidence: float) -> None:
    hits, trials = outcome
    upper = 1.0 if hits == trials else beta.ppf(confidence, hits + 1, trials - hits)
    lower = 0.0 if hits == 0 else beta.ppf(1 - confidence, hits, trials - hits + 1)
    assert upper_limit(hits, trials, confidence) == pytest.approx(upper, rel=1e-8, abs=1e-12)
    assert lower_limit(hits, trials, confidence) == pytest.approx(lower, rel=1e-8, abs=1e-9)


def test_the_limits_are_those_of_the_exact_test() -> None:
    for hits, trials in ((0, 30), (1, 30), (29, 30), (30, 30), (7, 400)):
        above = binomtest(hits, trials, alternative="less").proportion_ci(0.95, "exact")
        below = binomtest(hits, trials, alternative="greater").proportion_ci(0.95, "exact")
        assert upper_limit(hits, trials, 0.95) == pytest.approx(above.high)
        assert lower_limit(hits, trials, 0.95) == pytest.approx(below.low)


def test_thirty_clean_trials_bound_a_loss_at_nine_and_a_half_percent_and_no_better() -> None:
    assert f"{upper_limit(0, 30, 0.95):.1%}" == "9.5%"


def test_the_table_of_the_page_is_right() -> None:
    page = (Path(__file__).parents[3] / "docs" / "gate.md").read_text()
    rows = re.findall(r"^\| (\d+) \| ([\d.]+) % \| ([\d.]+) % \|$", page, re.MULTILINE)
    assert len(rows) > 3
    for trials, *limits in rows:
        assert limits == [f"{upper_limit(0, int(trials), confidence):.1%}"[:-1] for confidence in (0.95, 0.99)]


def test_no_trial_bounds_nothing() -> None:
    assert (upper_limit(0, 0, 0.95), lower_limit(0, 0, 0.95)) == (1.0, 0.0)
    assert loss_limit(1000, sensitivity_limit(0, 30, 0.95), 0.95) == 1.0


@pytest.mark.parametrize(("hits", "trials", "confidence"), [(2, 1, 0.95), (-1, 1, 0.95), (0, 1, 1.0), (0, 1, 0.0)])
def test_numbers_that_cannot_be_are_refused(hits: int, trials: int, confidence: float) -> None:
    with pytest.raises(ValueError, match="no limit"):
        upper_limit(hits, trials, confidence)


@given(st.floats(0.001, 1.0), SHARES, CONFIDENCES)
@example(1.0, 1.0, 0.5)
def test_the_trials_that_are_needed_reach_the_bound_and_one_fewer_does_not(
    probability_max: float, sensitivity: float, confidence: float
) -> None:
    needed = trials_needed(probability_max, sensitivity, confidence)
    assert needed is not None
    assert loss_limit(needed, sensitivity, confidence) <= probability_max
    slack = 1 + 1e-9
    assert loss_limit(needed - 1, sensitivity, confidence) * slack >= probability_max


@given(st.floats(0.01, 0.9), st.floats(0.1, 1.0), CONFIDENCES)
def test_to_stop_when_the_bound_is_reached_is_walds_test_of_no_loss_ever(
    probability_max: float, sensitivity: float, confidence: float
) -> None:
    needed = trials_needed(probability_max, sensitivity, confidence)
    assert needed is not None
    ratios = [binom.pmf(0, n, 0) / binom.pmf(0, n, probability_max * sensitivity) for n in (needed - 1, needed)]
    wanted = 1 / ((1 - confidence) / 2)
    assert ratios[0] <= wanted * (1 + 1e-6)
    assert ratios[1] >= wanted * (1 - 1e-6)


def test_where_nothing_planted_is_ever_seen_no_number_of_trials_is_enough() -> None:
    assert trials_needed(0.5, 0.0, 0.95) is None


@given(st.integers(0, 300), SHARES, CONFIDENCES)
def test_what_is_seen_less_surely_is_bounded_less(clean: int, sensitivity: float, confidence: float) -> None:
    assert loss_limit(clean, sensitivity, confidence) >= loss_limit(clean, 1.0, confidence)
    assert loss_limit(clean + 1, sensitivity, confidence) <= loss_limit(clean, sensitivity, confidence)


@pytest.mark.parametrize(("probability", "sensitivity"), [(0.1, 1.0), (0.1, 0.6), (0.03, 0.9)])
def test_a_bound_that_is_read_after_every_trial_is_below_the_truth_no_more_often_than_it_says(
    probability: float, sensitivity: float
) -> None:
    draw = random.Random(f"{probability} {sensitivity}")
    wrong = 0
    for _ in range(1000):
        seen = sum(draw.random() < sensitivity for _ in range(30))
        limit, clean = sensitivity_limit(seen, 30, 0.95), 0
        while draw.random() >= probability * sensitivity:
            clean += 1
        wrong += loss_limit(clean, limit, 0.95) < probability  # the last before the loss is the lowest
    assert wrong <= 50

"""How far trials without a loss bound the probability of a loss: exact binomial limits, one-sided.

A *loss* here is a trial in which the service loses an acknowledged record. A trial shows a loss with the probability
`loss probability * sensitivity`. So the limit of what was shown is divided by a lower limit of the sensitivity. Each of
the two may be wrong with half of what the confidence leaves, so that both together hold with all of it (Bonferroni).

Several strata need no correction: GO needs each of them, so a wrong GO needs the stratum that is bad to be passed
(an intersection-union test: Berger, Technometrics 24, 1982).
"""

from __future__ import annotations

import math
from itertools import count
from typing import Final

_HALVINGS: Final = 100
"""Of an interval of length 1: more than a float can tell apart."""


def upper_limit(hits: int, trials: int, confidence: float) -> float:
    """The upper limit of a probability (Clopper and Pearson, Biometrika 26, 1934).

    Args:
        hits: How often it happened, 0 to `trials`.
        trials: Independent trials; of none the limit is 1.
        confidence: At least this share of such limits is not below the true probability, 0 < confidence < 1.

    Raises:
        ValueError: Numbers that cannot be.
    """
    if not 0 <= hits <= trials or not 0 < confidence < 1:
        raise ValueError(f"no limit of {hits} in {trials} at {confidence}")
    missed = 1 - confidence
    if hits == trials:
        return 1.0
    if hits == 0:
        return -math.expm1(math.log(missed) / trials)  # 1 - missed ** (1 / trials)
    low, high = hits / trials, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _at_most(hits, trials, middle) > missed:
            low = middle
        else:
            high = middle
    return high


def lower_limit(hits: int, trials: int, confidence: float) -> float:
    """The lower limit of a probability; as `upper_limit`. Of no trials the limit is 0."""
    return 1 - upper_limit(trials - hits, trials, confidence)


def sensitivity_limit(seen: int, planted: int, confidence: float) -> float:
    """The lower limit of the sensitivity that counts in a bound of this confidence."""
    return lower_limit(seen, planted, _half(confidence))


def loss_limit(clean: int, sensitivity: float, confidence: float) -> float:
    """The upper limit of the loss probability after so many trials, none of which showed a loss.

    It may be read after any trial, and trials may go on because it is still too high: as long as there is no loss it
    falls with each trial, so it is below the true probability only if a number of trials that follows from that
    probability alone has shown none.

    Args:
        clean: Trials that count.
        sensitivity: As `sensitivity_limit` has it; 0 leaves no bound, which is 1.
        confidence: Of the bound.
    """
    if sensitivity <= 0:
        return 1.0
    return min(1.0, upper_limit(0, clean, _half(confidence)) / sensitivity)


def trials_needed(probability_max: float, sensitivity: float, confidence: float) -> int | None:
    """The fewest trials without a loss whose `loss_limit` is at most this; None: no number of trials does.

    To stop there is Wald's sequential test (Annals of Mathematical Statistics 16, 1945) of "a trial never shows a loss"
    against "a trial shows one with `probability_max * sensitivity`": one loss makes the first impossible and rejects;
    without a loss each trial makes it more likely, by the same factor, until it is `1 / missed` times as likely.
    """
    shown = min(1.0, probability_max * sensitivity)
    if shown <= 0:
        return None
    missed = 1 - _half(confidence)
    about = 1 if shown == 1 else max(1, math.floor(math.log(missed) / math.log1p(-shown)))
    return next(n for n in count(about) if loss_limit(n, sensitivity, confidence) <= probability_max)


def _half(confidence: float) -> float:
    """The confidence of each of two limits that hold together with `confidence`."""
    return 1 - (1 - confidence) / 2


def _at_most(hits: int, trials: int, probability: float) -> float:
    """The chance of at most so many hits; 0 < probability < 1."""
    log, other = math.log(probability), math.log1p(-probability)
    ways = math.lgamma(trials + 1)
    return math.fsum(
        math.exp(ways - math.lgamma(i + 1) - math.lgamma(trials - i + 1) + i * log + (trials - i) * other)
        for i in range(hits + 1)
    )

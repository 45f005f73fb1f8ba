"""What a measurement comes to: one figure with its spread, and its bound where it has one."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Sense = Literal["at most", "at least"]


@dataclass(frozen=True)
class Bound:
    """What a figure has to reach."""

    sense: Sense
    limit: float

    def holds(self, value: float) -> bool:
        """Whether the value reaches it."""
        return value <= self.limit if self.sense == "at most" else value >= self.limit

    def __str__(self) -> str:
        """As the table shows it."""
        return f"{self.sense} {self.limit:g}"


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        value: None where it could not be measured: `note` then says why, and the figure does not hold.
        low, high: Of the spread around it: the quartiles of the samples, or what `note` says.
        samples: How many measurements the value is drawn from.
    """

    name: str
    value: float | None
    unit: str
    bound: Bound | None = None
    low: float | None = None
    high: float | None = None
    samples: int = 1
    note: str = ""

    @property
    def holds(self) -> bool:
        """A figure without a bound holds once it is measured."""
        return self.value is not None and (self.bound is None or self.bound.holds(self.value))

    def document(self) -> Mapping[str, object]:
        """As `reports/bench.json` has it."""
        return {
            "name": self.name,
            "value": _rounded(self.value),
            "unit": self.unit,
            "bound": self.bound.limit if self.bound else None,
            "sense": self.bound.sense if self.bound else None,
            "holds": self.holds,
            "spread": [_rounded(self.low), _rounded(self.high)],
            "samples": self.samples,
            "note": self.note,
        }

    def line(self) -> str:
        """As the terminal shows it."""
        value = "not measured" if self.value is None else f"{self.value:.4g} {self.unit}".rstrip()
        spread = "" if self.low is None or self.high is None else f"{self.low:.4g} - {self.high:.4g}"
        verdict = "" if self.bound is None else f"{'holds' if self.holds else 'MISSED'}, {self.bound}"
        return f"{self.name:<42} {value:<18} {spread:<20} n={self.samples:<4} {verdict:<22} {self.note}".rstrip()


def median(name: str, samples: Sequence[float], unit: str, bound: Bound | None = None, note: str = "") -> Figure:
    """The median; its spread is the quartiles."""
    low, value, high = (quantile(samples, share) for share in (0.25, 0.5, 0.75))
    return Figure(name, value, unit, bound, low, high, len(samples), note)


def worst(name: str, samples: Sequence[float], unit: str, bound: Bound | None = None) -> Figure:
    """The 99th percentile, by nearest rank; its spread is from the median to the maximum."""
    ordered = sorted(samples)
    value = ordered[math.ceil(0.99 * len(ordered)) - 1]
    middle = statistics.median(ordered)
    return Figure(name, value, unit, bound, middle, ordered[-1], len(ordered), "spread: median to maximum")


def quantile(samples: Sequence[float], share: float) -> float:
    """The value below which this share of the samples lies, interpolated."""
    ordered = sorted(samples)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)

"""How long acknowledgements took: by stretch of the trial as a table, and over the load as a drawing."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from chaos.reporting.page import figures
from chaos.reporting.page.course import OUTCOMES, SECOND, Course
from chaos.reporting.words import plain

_ACKNOWLEDGED: Final = (OUTCOMES.index("ok"), OUTCOMES.index("degraded"))
_MEDIAN_HEIGHT: Final = 3.0
_DECADES_MAX: Final = 8


@dataclass(frozen=True)
class Latency:
    """Acknowledgements of one stretch.

    Attributes:
        seconds: How long the stretch was, all of its parts together.
        median: In seconds from the request to the answer, as `p99` and `slowest`; None without an acknowledgement.
    """

    stretch: str
    acknowledged: int
    seconds: float
    median: float | None
    p99: float | None
    slowest: float | None

    @property
    def per_second(self) -> float:
        """The throughput: acknowledgements in a second of the stretch."""
        return self.acknowledged / self.seconds if self.seconds else 0.0


def latencies(course: Course) -> tuple[Latency, ...]:
    """By stretch of the trial, in order of time; none where nothing was acknowledged.

    Stretches of one name are taken together. Those after the load are left out where nothing was acknowledged in them,
    since nobody writes there without need.
    """
    answered = sorted((t, taken) for t, taken, outcome in course.attempts if outcome in _ACKNOWLEDGED)
    took: dict[str, array[int]] = {}
    lasted: Counter[str] = Counter()
    at = 0
    for name, begun, ended in _stretches(course):
        while at < len(answered) and answered[at][0] < begun:
            at += 1
        of = took.setdefault(name, array("q"))
        while at < len(answered) and (ended is None or answered[at][0] < ended):
            of.append(answered[at][1])
            at += 1
        lasted[name] += (ended or max(begun, course.attempts.last)) - begun
    return tuple(
        _latency(name, sorted(of), lasted[name] / SECOND)
        for name, of in took.items()
        if of or (answered and name.startswith("load") and lasted[name])
    )


def _latency(name: str, ranked: Sequence[int], seconds: float) -> Latency:
    if not ranked:
        return Latency(name, 0, seconds, None, None, None)
    return Latency(name, len(ranked), seconds, *(_rank(ranked, share) / SECOND for share in (0.5, 0.99, 1.0)))


def latency_figure(course: Course) -> figures.Figure | None:
    """Median and slowest acknowledgement over the load, on a logarithmic axis; None without any."""
    window = figures.load_alone(course)
    step_ns = figures.bin_ns(window)
    bins: dict[int, array[int]] = {}
    for t, taken, outcome in course.attempts:
        if outcome in _ACKNOWLEDGED and window.begun <= t <= window.ended:
            bins.setdefault((t - window.begun) // step_ns, array("q")).append(taken)
    if not bins:
        return None
    ranked = {number: sorted(took) for number, took in sorted(bins.items())}
    scale = _Decades(min(took[0] for took in ranked.values()), max(took[-1] for took in ranked.values()))
    bars: list[figures.Bar] = []
    for number, took in ranked.items():
        x, width = figures.bar_place(window, number * step_ns, step_ns)
        slowest, median = scale.y(took[-1]), scale.y(_rank(took, 0.5))
        bars.append(figures.Bar(x, width, slowest, round(max(median - slowest, 1.0), 2), "slowest"))
        mark = min(max(0.0, median - _MEDIAN_HEIGHT / 2), figures.BARS_HEIGHT - _MEDIAN_HEIGHT)
        bars.append(figures.Bar(x, width, round(mark, 2), _MEDIAN_HEIGHT, "median"))
    step = plain(step_ns / SECOND)
    return figures.Figure(
        f"Time to an acknowledgement in each {step} s of the load",
        window.ticks(),
        figures.bands(course, window),
        (),
        tuple(bars),
        scale.levels,
        f"from request to acknowledgement, logarithmic, in each {step} s",
        (("median", "median"), ("slowest", "up to the slowest")),
    )


def told_latency(seconds: float | None) -> str:
    """0.00123 as "1.2 ms", 2.5 as "2.50 s"; "none" where nothing was acknowledged."""
    if seconds is None:
        return "none"
    milliseconds = seconds * 1000
    if milliseconds >= 1000:
        return f"{seconds:,.2f} s"
    return f"{milliseconds:.1f} ms" if milliseconds < 100 else f"{milliseconds:.0f} ms"


class _Decades:
    """A logarithmic axis over whole powers of ten."""

    def __init__(self, least_ns: int, most_ns: int) -> None:
        self._top = max(1, math.ceil(math.log10(max(1, most_ns)) - 1e-9))
        bottom = math.floor(math.log10(max(1, least_ns)))
        self._bottom = min(max(bottom, self._top - _DECADES_MAX), self._top - 1)
        self.levels = tuple(
            figures.Level(self.y(10**power), f"{plain(10.0 ** (power - 6))} ms" if power < 9 else _seconds(power))
            for power in range(self._bottom, self._top + 1)
        )

    def y(self, ns: int) -> float:
        power = math.log10(max(1, ns))
        return figures.level_y(min(1.0, max(0.0, (power - self._bottom) / (self._top - self._bottom))))


def _seconds(power: int) -> str:
    return f"{plain(10.0 ** (power - 9))} s"


def _stretches(course: Course) -> Iterator[tuple[str, int, int | None]]:
    """(name, begin, end): the load apart by when faults were in force, and each other phase."""
    for name, begun, ended in figures.stretches(course.phases):
        if name != "load":
            yield name, begun, ended
            continue
        forces = sorted((event.t, until) for event, until in figures.in_force(course, ended or figures.FOREVER))
        at, healthy = begun, "load, before any fault"
        for struck, until in forces:
            if ended is not None and struck >= ended:
                break
            if struck > at:
                yield healthy, at, struck
            if until > at:
                yield "load, a fault in force", max(at, struck), until if ended is None else min(until, ended)
            at, healthy = max(at, until), "load, after a fault"
        if ended is None or at < ended:
            yield healthy if forces else "load", at, ended


def _rank(ranked: Sequence[int], share: float) -> int:
    """The value below which this share of them lies, by the nearest rank."""
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]

"""When the service was away: times in the load in which phones waited and no write was acknowledged."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

from chaos.reporting.page.course import OUTCOMES, SECOND, Course

NOTICED_NS = SECOND
"""Shorter pauses are not worth a word."""
_ACKNOWLEDGED = (OUTCOMES.index("ok"), OUTCOMES.index("degraded"))


@dataclass(frozen=True)
class Outage:
    """In nanoseconds after the load began, from the last acknowledgement to the next.

    Attributes:
        ended: The next acknowledgement; None: there was none within the load, which ended at `known_until`.
    """

    begun: int
    ended: int | None
    known_until: int

    @property
    def length(self) -> str:
        """Such as "21.3 s"."""
        least = "" if self.ended is not None else "at least "
        return f"{least}{(self.known_until - self.begun) / 1e9:.1f} s"

    @property
    def when(self) -> str:
        """From when to when, in words."""
        until = f"{self.known_until / 1e9:.1f} s" if self.ended is not None else "the end of the load"
        return f"no write was acknowledged from {self.begun / 1e9:.1f} s to {until}"


def outage_of(course: Course) -> Outage | None:
    """The longest pause that ended after the first fault; None where no fault struck, or there was no pause."""
    struck = next((event.t for event in course.faults if event.happened == "injected"), None)
    if struck is None:
        return None
    later = [each for each in outages(course) if course.load_begun + each.known_until > struck]
    return max(later, key=lambda each: each.known_until - each.begun, default=None)


def outages(course: Course) -> list[Outage]:
    """Every pause of the acknowledgements of a load, in the order of time; none of a load that never ended.

    A pause lasts from one acknowledgement to the next, and counts where some phone waited for one, for at least a
    second of it: a load may have nothing to ask for so long.
    """
    load = [phase for phase in course.phases if phase.name == "load"]
    if not load or load[-1].happened != "ended":
        return []
    begun, ended = course.load_begun, load[-1].t
    answered = sorted(t for t, _, outcome in course.attempts if outcome in _ACKNOWLEDGED and begun <= t < ended)
    pauses = [(a, b) for a, b in pairwise([begun, *answered, ended]) if b - a >= NOTICED_NS]
    waited = _longest_waits(course, pauses)
    return [
        Outage(since - begun, None if until == ended else until - begun, until - begun)
        for (since, until), wait in zip(pauses, waited, strict=True)
        if wait >= NOTICED_NS
    ]


def _longest_waits(course: Course, pauses: list[tuple[int, int]]) -> list[int]:
    """For each pause how long before its end the first request was under way, in nanoseconds of the pause."""
    waits = [0] * len(pauses)
    ends = [until for _, until in pauses]
    for t, taken, _ in course.attempts:
        sent = t - max(0, taken)
        at = bisect_right(ends, sent)
        while at < len(pauses) and pauses[at][0] <= t:
            since, until = pauses[at]
            if t > since or taken < 0:  # else it is the answer that the pause begins with
                waits[at] = max(waits[at], until - max(since, sent))
            at += 1
    return waits

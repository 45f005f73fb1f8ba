"""How long the service was away: the longest time in the load, after a fault, in which no write was acknowledged."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise

from chaos.history.events import CANARY_OWNER
from chaos.history.model import History

NOTICED_NS = 1_000_000_000
"""Shorter pauses are not worth a word."""
_ACKNOWLEDGED = ("ok", "degraded")


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


def outage_of(history: History) -> Outage | None:
    """The longest pause of the acknowledgements after the first fault, while phones were asking for one.

    None where no fault struck in the load, or the pause is shorter than a second.
    """
    load = {phase.happened: phase.t for phase in history.phases if phase.name == "load"}
    struck = min((event.t for event in history.faults if event.happened == "injected"), default=None)
    if struck is None or "begun" not in load or "ended" not in load:
        return None
    attempts = [
        attempt
        for (owner, _), operations in history.records.items()
        if owner != CANARY_OWNER
        for operation in operations
        for attempt in operation.attempts
        if load["begun"] <= attempt.sent < load["ended"]
    ]
    asked = sorted(attempt.sent for attempt in attempts)
    answered = sorted(each.back for each in attempts if each.outcome in _ACKNOWLEDGED and each.back < load["ended"])

    def was_asked(begun: int, ended: int) -> bool:
        place = bisect_left(asked, begun)
        return place < len(asked) and asked[place] < ended

    pauses = [
        (begun, ended)
        for begun, ended in pairwise([load["begun"], *answered, load["ended"]])
        if ended > struck and was_asked(begun, ended)
    ]
    begun, ended = max(pauses, key=lambda pause: pause[1] - pause[0], default=(0, 0))
    if ended - begun < NOTICED_NS:
        return None
    zero = history.load_begun
    return Outage(begun - zero, None if ended == load["ended"] else ended - zero, ended - zero)

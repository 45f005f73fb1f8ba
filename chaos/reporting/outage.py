"""How long the service was away: the longest time in the load, after a fault, in which no write was acknowledged."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise

from chaos.history.events import CANARY_OWNER
from chaos.history.model import History

NOTICED_SECONDS = 1.0
"""Shorter pauses are not worth a word."""
_ACKNOWLEDGED = ("ok", "degraded")
_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class Outage:
    """Seconds after the load began, from the last acknowledgement to the next; None: there was none in the load."""

    begun: float
    ended: float | None

    def __str__(self) -> str:
        """For the block and the page."""
        if self.ended is None:
            return f"away from {self.begun:.1f} s to the end of the load: no write was acknowledged"
        seconds = self.ended - self.begun
        return f"away for {seconds:.1f} s, {self.begun:.1f} - {self.ended:.1f} s: no write was acknowledged"


def outage_of(history: History) -> Outage | None:
    """The longest pause of the acknowledgements after the first fault, while phones were asking for one."""
    load = {phase.happened: phase.t for phase in history.phases if phase.name == "load"}
    struck = min((event.t for event in history.faults if event.happened == "injected"), default=None)
    if struck is None or "ended" not in load:
        return None
    attempts = [
        attempt
        for (owner, _), operations in history.records.items()
        if owner != CANARY_OWNER
        for operation in operations
        for attempt in operation.attempts
        if attempt.sent < load["ended"]
    ]
    asked = sorted(attempt.sent for attempt in attempts)
    answered = sorted(each.back for each in attempts if each.outcome in _ACKNOWLEDGED and each.back <= load["ended"])
    longest: tuple[int, int] | None = None
    for begun, ended in pairwise([load.get("begun", struck), *answered, load["ended"]]):
        first_asked = bisect_left(asked, begun)
        in_vain = first_asked < len(asked) and asked[first_asked] < ended
        if ended > struck and in_vain and (longest is None or ended - begun > longest[1] - longest[0]):
            longest = begun, ended
    if longest is None or longest[1] - longest[0] < NOTICED_SECONDS * _NANOSECONDS:
        return None
    seconds = [round((t - history.load_begun) / _NANOSECONDS, 6) for t in longest]
    return Outage(seconds[0], None if longest[1] == load["ended"] else seconds[1])

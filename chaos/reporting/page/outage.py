"""How long the service was away: the longest time in the load, after a fault, in which no write was acknowledged."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import orjson

from chaos.history.events import CANARY_OWNER

NOTICED_NS = 1_000_000_000
"""Shorter pauses are not worth a word."""
_ACKNOWLEDGED = ("ok", "degraded")
_WRITES = ("create", "update", "delete")


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


def outage_of(path: Path) -> Outage | None:
    """The longest pause of the acknowledgements after the first fault, while phones were asking for one.

    Reads the lines of a history that has been found well-formed; other events than those of phones' writes are passed
    over. None where no fault struck in the load, or the pause is shorter than a second.
    """
    load: dict[str, int] = {}
    struck: int | None = None
    writes: set[int] = set()
    asked: list[int] = []
    answered: list[int] = []
    with path.open("rb") as lines:
        for line in lines:
            kind = line[10:14]  # {"event":"...
            if kind == b"send" or kind == b"back":
                event = orjson.loads(line)
                if event["op"] in writes and kind == b"send":
                    asked.append(event["t"])
                elif event["op"] in writes and event["outcome"] in _ACKNOWLEDGED:
                    answered.append(event["t"])
            elif kind == b'act"':
                event = orjson.loads(line)
                if event["kind"] in _WRITES and event["owner"] != CANARY_OWNER:
                    writes.add(event["op"])
            elif kind == b"phas":
                event = orjson.loads(line)
                if event["name"] == "load":
                    load[event["happened"]] = event["t"]
            elif kind == b"faul" and struck is None:
                event = orjson.loads(line)
                struck = event["t"] if event["happened"] == "injected" else None
    if struck is None or "begun" not in load or "ended" not in load:
        return None
    return _longest(load["begun"], load["ended"], struck, sorted(asked), sorted(answered))


def _longest(begun: int, ended: int, struck: int, asked: list[int], answered: list[int]) -> Outage | None:
    def was_asked(since: int, until: int) -> bool:
        place = bisect_left(asked, since)
        return place < len(asked) and asked[place] < until

    pauses = [
        (since, until)
        for since, until in pairwise([begun, *(t for t in answered if begun <= t < ended), ended])
        if until > struck and was_asked(since, until)
    ]
    since, until = max(pauses, key=lambda pause: pause[1] - pause[0], default=(0, 0))
    if until - since < NOTICED_NS:
        return None
    return Outage(since - begun, None if until == ended else until - begun, until - begun)

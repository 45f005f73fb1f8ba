"""Why attempts failed or stayed unknown: what drivers and services said of them, added up.

The texts hold names, numbers and times that make each of them unique. Those are taken out, so that what has one cause
is one line. What tells causes from each other stays: words, the status of an answer, the number of a system's error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from chaos.history.events import CANARY_OWNER

CAUSES_MAX: Final = 20
"""So many are listed; the others are counted."""
_DISTINCT_MAX: Final = 2_000
_LOOKED_AT: Final = 1_000
_TEXT_MAX: Final = 160
UNSAID: Final = "no reason given"
UNANSWERED: Final = "no answer ever came"

_KEPT: Final = "|".join(
    (
        r"\bno answer in [\d.]+ s\b",
        r"\b[\w-]+\.py:\d+",  # a line of the driver
        r"\bHTTP/\d(?:\.\d)?",
        r"\b[Ee]rrno -?\d+",
        r"\b(?i:sha-?\d+|md5|ipv[46]|utf-?8|base64|http2|ext4|x509)\b",
        # the status of an answer, and no size, port or time
        r"(?<![\w.:/#-])[345]\d\d(?![\w/#-]|[.:]\d|\s?(?:[mu]?s|bytes?|[KMG]?i?B|%|rows?|records?|chars?)\b)",
    )
)
_TAKEN: Final = "|".join(
    (
        r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?",
        r"\b\d\d:\d\d:\d\d(?:[.,]\d+)?",
        r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b",
        r"\[[0-9a-fA-F:]*:[0-9a-fA-F:]*\](?::\d+)?",
        r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b",
        r"\b(?=[\w+-]*\d)[\w+-]*[^\W\d][\w+-]*(?:#\d+(?:/\d+)?)?",
        r"[-+]?\d+(?:[.,]\d+)*%?",
    )
)
_EITHER: Final = re.compile(f"(?P<kept>{_KEPT})|{_TAKEN}")
_AGAIN: Final = re.compile(r"#(?:[\s,;:/.|()'\"=\[\]-]*#)+")


@dataclass(frozen=True)
class Cause:
    """Attempts that ended alike.

    Attributes:
        attempts: How many.
        of: "write" (create, update or delete) or "read".
        outcome: fail (definitely not applied) or info (nobody knows).
        text: What was said of them, without names, numbers and times.
        first_at: When the first of them ended, or was sent if it never did; seconds after the load began.
        last_at: The same of the last one.
    """

    attempts: int
    of: str
    outcome: str
    text: str
    first_at: float = 0.0
    last_at: float = 0.0


@dataclass(frozen=True)
class Causes:
    """The most frequent causes, and how many attempts had another one."""

    listed: tuple[Cause, ...] = ()
    further: int = 0


NONE: Final = Causes()
_Name = tuple[str, str, str]
"""Of a cause: `of`, `outcome`, `text`."""


def causes_of(path: Path) -> Causes:
    """The causes of all attempts of phones that failed or stayed unknown; the canaries' are left out.

    Reads the lines of a history that has been found well-formed, as the recorder writes them.
    """
    found: dict[_Name, _Times] = {}
    reads: set[bytes] = set()
    canaries: set[bytes] = set()
    under_way: dict[bytes, int] = {}
    beyond = load_begun = 0
    with path.open("rb") as lines:
        for line in lines:
            tag = line[10:14]  # {"event":"...
            if tag == b'act"':
                op = line[20 : line.find(b",", 20)]  # {"event":"act","op":
                if _CANARY in line:
                    canaries.add(op)
                elif line[line.find(_KIND) + len(_KIND) :].startswith(_READS):
                    reads.add(op)
            elif tag == b"send":
                attempt, _, rest = line[21:].partition(_T)  # {"event":"send","op":
                under_way[attempt] = _number(rest)
            elif tag == b"back":
                attempt = line[21 : (end := line.find(_T))]
                under_way.pop(attempt, None)
                if _GOOD in line[end : end + _HEAD_BYTES] or (op := attempt.partition(b",")[0]) in canaries:
                    continue
                event = orjson.loads(line)
                if event["outcome"] in ("fail", "info"):
                    name = ("read" if op in reads else "write", event["outcome"], normalised(event.get("why", "")))
                    if name in found or len(found) < _DISTINCT_MAX:
                        found.setdefault(name, _Times()).add(event["t"])
                    else:
                        beyond += 1
            elif tag == b"phas":  # {"event":"phase","name":"load",
                event = orjson.loads(line)
                if (event["name"], event["happened"]) == ("load", "begun"):
                    load_begun = event["t"]
    for attempt, t in under_way.items():
        op = attempt.partition(b",")[0]
        if op not in canaries:
            found.setdefault(("read" if op in reads else "write", "info", UNANSWERED), _Times()).add(t)
    ranked = sorted(found.items(), key=lambda each: (-each[1].number, each[0]))
    listed = tuple(times.cause(name, load_begun) for name, times in ranked[:CAUSES_MAX])
    return Causes(listed, beyond + sum(times.number for _, times in ranked[CAUSES_MAX:]))


@dataclass
class _Times:
    """How often, and when first and last, in nanoseconds of the history's clock."""

    number: int = 0
    first: int = 0
    last: int = 0

    def add(self, t: int) -> None:
        self.first = min(self.first, t) if self.number else t
        self.last = max(self.last, t)
        self.number += 1

    def cause(self, name: _Name, load_begun: int) -> Cause:
        first_at, last_at = (round((t - load_begun) / _SECOND, 3) for t in (self.first, self.last))
        return Cause(self.number, *name, first_at, last_at)


def _number(text: bytes) -> int:
    """The whole number at the beginning of a text."""
    return int(_DIGITS.match(text)[0])  # type: ignore[index]  # the history is well-formed


_CANARY: Final = b'"owner":"%b"' % CANARY_OWNER.encode()
_KIND: Final = b'"kind":"'
_READS: Final = (b'read"', b'list"', b'sync"', b'reset"')
_T: Final = b',"t":'
_DIGITS: Final = re.compile(rb"-?\d+")
_SECOND: Final = 10**9
_GOOD: Final = b'"outcome":"ok"'
_HEAD_BYTES: Final = 48


def normalised(why: str) -> str:
    """A text without what is another one each time."""
    text = _EITHER.sub(lambda found: found["kept"] or "#", " ".join(why[:_LOOKED_AT].split()))
    text = _AGAIN.sub("#", text)
    return text[:_TEXT_MAX] + "..." if len(text) > _TEXT_MAX else text or UNSAID

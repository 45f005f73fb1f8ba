"""The course of a trial as its page draws it: phases, faults, notes, and each attempt at a change as three numbers.

Read in one pass over the lines, without the operations themselves, so that a history of any length makes a page quickly
and in little memory.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Final

import orjson

from chaos.history.events import CANARY_OWNER, MUTATIONS, TAGS, End, FaultEvent, Header, Note, PhaseEvent
from chaos.history.model import INFINITY
from chaos.history.reader import read_lines
from chaos.history.recorder import encode

OUTCOMES: Final = ("ok", "degraded", "info", "fail")
"""From the bottom of a bar to its top."""
SECOND: Final = 1_000_000_000
_INFO: Final = OUTCOMES.index("info")
_SEND, _BACK, _ACT, _DOOR = b"send", b"back", b'act"', b"door"
_FRAME: Final = frozenset({b"head", b"phas", b"faul", b"note"})
_T: Final = b',"t":'
_NUMBER: Final = b',"n":'
_OP_AT, _ACT_OP_AT = len(b'{"event":"send","op":'), len(b'{"event":"act","op":')
_KIND: Final = b'"kind":"'
_CHANGES: Final = tuple(kind.encode() + b'"' for kind in sorted(MUTATIONS))
_CANARY: Final = b'"owner":"%b"' % CANARY_OWNER.encode()
_OUTCOME: Final = b'"outcome":"'
_OUTCOME_OF: Final = {outcome.encode(): number for number, outcome in enumerate(OUTCOMES)}


@dataclass
class Attempts:
    """Attempts at creates, updates and deletes of users, in columns.

    Attributes:
        times: When the answer came, in nanoseconds; without one, when it was sent.
        taken: Nanoseconds from the request to the answer; -1 where none came.
        outcomes: Places in OUTCOMES.
    """

    times: array[int] = field(default_factory=lambda: array("q"))
    taken: array[int] = field(default_factory=lambda: array("q"))
    outcomes: bytearray = field(default_factory=bytearray)

    def add(self, t: int, taken: int, outcome: int) -> None:
        """One more."""
        self.times.append(t)
        self.taken.append(taken)
        self.outcomes.append(outcome)

    @cached_property
    def last(self) -> int:
        """The last of the times, 0 without any; asked once all are added."""
        return max(self.times, default=0)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        """(time, taken, outcome) of each."""
        return zip(self.times, self.taken, self.outcomes, strict=True)


@dataclass(frozen=True)
class Course:
    """What a page needs of a history beside its verdict.

    Attributes:
        load_begun: As of the history as a whole.
        last_read: When the last final read ended, 0 without one.
    """

    header: Header
    phases: Sequence[PhaseEvent]
    faults: Sequence[FaultEvent]
    notes: Sequence[Note]
    attempts: Attempts
    load_begun: int
    last_read: int


def course_of(path: Path) -> Course:
    """The course of a history that has been found well-formed.

    Raises:
        MalformedHistory: Its header, a phase, a fault or a note is not of this format.
    """
    frame: list[bytes] = []
    attempts = Attempts()
    changes: set[bytes] = set()
    sent: dict[bytes, int] = {}
    first_act, last_read = INFINITY, 0
    with path.open("rb") as file:
        for line in _as_recorded(file):
            tag = line[10:14]  # {"event":"...
            if tag == _SEND:
                at = line.find(_T)
                if line[_OP_AT : line.find(_NUMBER)] in changes:
                    sent[line[_OP_AT:at]] = _integer(line, at)
            elif tag == _BACK:
                at = line.find(_T)
                begun = sent.pop(line[_OP_AT:at], None)
                if begun is not None:
                    t, to = _integer(line, at), line.find(_OUTCOME, at) + len(_OUTCOME)
                    outcome = _OUTCOME_OF.get(line[to : line.find(b'"', to)], _INFO)
                    attempts.add(t, t - begun, outcome)
            elif tag == _ACT:
                at = line.find(_KIND) + len(_KIND)
                if line.startswith(_CHANGES, at):
                    first_act = min(first_act, _integer(line, line.find(_T)))
                    if _CANARY not in line:
                        changes.add(line[_ACT_OP_AT : line.find(b",", _ACT_OP_AT)])
            elif tag == _DOOR:
                last_read = max(last_read, _integer(line, line.find(_T)))
            elif tag in _FRAME:
                frame.append(line)
    for t in sent.values():
        attempts.add(t, -1, _INFO)
    history = read_lines(path, [*frame, encode(End(t=0, events=len(frame)))])
    without_load = history.header.t if first_act == INFINITY else first_act
    begun = next((p.t for p in history.phases if p.name == "load" and p.happened == "begun"), without_load)
    return Course(
        history.header,
        history.phases,
        history.faults,
        history.notes,
        attempts,
        begun,
        last_read,
    )


def _as_recorded(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines as the recorder writes them: their members in the order of the fields, and no blanks."""
    rest = iter(lines)
    first = next(rest, b"")
    whole = chain([first], rest)
    if first.startswith(b'{"event":"header",'):
        yield from whole
        return
    for line in whole:
        event = orjson.loads(line)
        names = ["event", *(each.name for each in fields(TAGS[event["event"]]))]
        yield orjson.dumps({name: event[name] for name in names if name in event})


def _integer(line: bytes, at: int) -> int:
    """The number behind `,"t":` at this place."""
    at += len(_T)
    end = at
    while end < len(line) and line[end] in b"0123456789":
        end += 1
    return int(line[at:end] or 0)

"""Operations as columns: each with the outcome of its attempts, checked for contradictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from chaos.checks.bulk.columns.compiled import compiled
from chaos.checks.bulk.columns.hashes import hash_of, places_near
from chaos.checks.bulk.columns.scan import IrregularError
from chaos.checks.bulk.columns.tables import entries
from chaos.history.model import INFINITY

NEVER: Final = np.int64(INFINITY - 1)
"""INFINITY of the columns: no time of a history reaches it."""

KINDS: Final = ("create", "update", "delete", "read", "list", "sync", "reset")
CREATE, UPDATE, DELETE, READ, LIST, SYNC, RESET = range(7)
OUTCOMES: Final = ("ok", "degraded", "info", "fail")
OK, DEGRADED, INFO, FAIL = range(4)
_EMPTY: Final = np.uint64(hash_of(""))
_KINDS, _OUTCOMES = (np.array([hash_of(name) for name in names], np.uint64) for names in (KINDS, OUTCOMES))


@dataclass(slots=True)
class Operations:
    """Acts ordered by number; attempts ordered by operation and number.

    Attributes:
        acts: The table of the acts; `kind` has their kinds as numbers.
        first, count: Where each one's attempts begin, and how many there are.
        of, sent, back, outcome, session, flags: Per attempt: its operation, times, how it ended and for which session.
        send_line, back_line: Their lines (-1: none).
        answer_line, answer: The lines of all backs in order, and the attempt of each.
    """

    acts: Any
    kind: Any
    first: Any
    count: Any
    of: Any
    sent: Any
    back: Any
    outcome: Any
    session: Any
    flags: Any
    send_line: Any
    back_line: Any
    answer_line: Any
    answer: Any


def operations_of(acts: Any, sends: Any, backs: Any) -> Operations:
    """Put the tables of acts, sends and backs together.

    Raises:
        IrregularError: They contradict each other.
    """
    numbers = acts["op"]
    if np.any(numbers[1:] <= numbers[:-1]):
        acts = entries(acts, np.argsort(numbers, kind="stable"))
    numbers = np.ascontiguousarray(acts["op"])
    if np.any(numbers[1:] == numbers[:-1]):
        raise IrregularError("an operation acts twice")
    wrong, kind = _acted(acts, _KINDS)
    if wrong:
        raise IrregularError(f"an act: {_WRONG[wrong]}")
    of = places_near(numbers, sends["op"])
    first, count = _counted(len(numbers), of)
    size = len(sends)
    found = Operations(
        acts, kind, first, count, np.empty(size, np.int64), np.empty(size, np.int64), np.full(size, NEVER),
        np.full(size, INFO, np.int8), np.empty(size, np.uint64), np.zeros(size, np.int8), np.full(size, -1),
        np.full(size, -1), np.empty(0), np.empty(len(backs), np.int64),
    )  # fmt: skip
    wrong = _sent(acts, sends, first, count, of, found.of, found.sent, found.session, found.send_line)
    wrong = wrong or _came_back(
        places_near(numbers, backs["op"]), backs, first, count, found.sent, found.send_line, found.back,
        found.back_line, found.flags, found.outcome, found.answer, _OUTCOMES,
    )  # fmt: skip
    if wrong:
        raise IrregularError(_WRONG[wrong])
    found.answer_line = np.ascontiguousarray(backs["line"])
    if np.any(found.answer_line[1:] < found.answer_line[:-1]):
        order = np.argsort(found.answer_line, kind="stable")
        found.answer_line, found.answer = found.answer_line[order], found.answer[order]
    return found


_WRONG: Final = (
    "",
    "a word that is not known",
    "no record, write, key or owner, or based on itself",
    "an operation that never acted",
    "attempts are not numbered from 1",
    "sent before it acted",
    "attempts out of order",
    "came back and was never sent",
    "came back twice",
    "came back before it was sent",
)


@compiled
def _acted(acts: Any, kinds: Any) -> tuple[int, Any]:
    """The kinds as numbers, and what is wrong with the acts, 0 for nothing."""
    kind = np.empty(len(acts), np.int8)
    none, empty = np.uint64(0), _EMPTY
    for i in range(len(acts)):
        act = acts[i]
        code = 0
        while code < len(kinds) and kinds[code] != act["kind"]:
            code += 1
        if code == len(kinds):
            return 1, kind
        kind[i] = code
        if code <= DELETE:
            record, write, key, owner = act["record"], act["write"], act["key"], act["owner"]
            if record == none or write == none or key == none or owner == none or act["base"] == write:
                return 2, kind
            if record == empty or write == empty or key == empty or owner == empty:
                return 2, kind
    return 0, kind


@compiled
def _counted(acts: int, of: Any) -> tuple[Any, Any]:
    """Where the attempts of each act begin, and how many there are, from the act of each send (-1: none)."""
    count = np.zeros(acts, np.int64)
    for act in of:
        if act >= 0:
            count[act] += 1
    first = np.empty(acts, np.int64)
    total = 0
    for i in range(acts):
        first[i] = total
        total += count[i]
    return first, count


@compiled
def _sent(
    acts: Any, sends: Any, first: Any, count: Any, of_send: Any, of: Any, sent: Any, session: Any, line: Any
) -> int:
    """Fill in the attempts' sends; returns what is wrong."""
    for i in range(len(sends)):
        send, act = sends[i], of_send[i]
        if act < 0:
            return 3
        if send["n"] < 1 or send["n"] > count[act]:
            return 4
        at = first[act] + send["n"] - 1
        if line[at] >= 0:
            return 4
        if send["line"] <= acts[act]["line"] or send["t"] < acts[act]["t"]:
            return 5
        of[at], sent[at], line[at], session[at] = act, send["t"], send["line"], send["session"]
        if session[at] == np.uint64(0) or session[at] == _EMPTY:
            session[at] = acts[act]["session"]
    for at in range(1, len(sends)):
        if of[at] == of[at - 1] and (line[at] <= line[at - 1] or sent[at] < sent[at - 1]):
            return 6
    return 0


@compiled
def _came_back(
    of_back: Any, backs: Any, first: Any, count: Any, sent: Any, send_line: Any, back: Any, line: Any,
    flags: Any, outcome: Any, attempt: Any, outcomes: Any,
) -> int:  # fmt: skip
    """Fill in how the attempts ended; returns what is wrong."""
    for i in range(len(backs)):
        one, act = backs[i], of_back[i]
        if act < 0:
            return 3
        if one["n"] < 1 or one["n"] > count[act]:
            return 7
        at = first[act] + one["n"] - 1
        if line[at] >= 0:
            return 8
        if one["t"] < sent[at] or one["line"] <= send_line[at]:
            return 9
        code = 0
        while code < len(outcomes) and outcomes[code] != one["outcome"]:
            code += 1
        if code == len(outcomes):
            return 1
        back[at], line[at], flags[at], outcome[at], attempt[i] = one["t"], one["line"], one["flags"], code, at
    return 0

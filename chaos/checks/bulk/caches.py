"""Records that some session's cache lacked after an answer that should have brought them, found in columns.

A *filling* is a session from one full answer to the next: a full answer replaces the cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chaos.checks.bulk.columns.attempts import CREATE, LIST, NEVER, OK, SYNC
from chaos.checks.bulk.columns.compiled import compiled
from chaos.checks.bulk.columns.hashes import indexed, places_of
from chaos.checks.bulk.columns.tables import CACHED, FULL
from chaos.checks.bulk.records import Records, grouped, in_groups


def doubt_caches(records: Records, record: Any, attempt: Any) -> None:
    """Doubt them.

    Args:
        records: The records.
        record: Records that answers of the service showed whole.
        attempt: The answer that showed each of them.
    """
    operations = records.operations
    kind = operations.kind[operations.of]
    serves = (operations.outcome == OK) & ((operations.flags & CACHED) == 0)
    answer = np.flatnonzero(((kind == LIST) | (kind == SYNC)) & serves)
    if not len(answer) or not records.size:
        return
    _, order, begin = grouped(operations.session[answer], operations.back[answer], operations.back_line[answer])
    answer = answer[order]
    session, invoked, t = operations.session[answer], operations.sent[answer], operations.back[answer]
    owner, full = operations.acts["owner"][operations.of[answer]], (operations.flags[answer] & FULL) > 0
    new = np.zeros(len(answer), np.bool_)
    new[begin] = True
    backwards = ~new[1:] & ((invoked[1:] < invoked[:-1]) | (owner[1:] != owner[:-1]))
    records.doubtful |= np.isin(records.owner, owner[1:][backwards])
    filling = np.cumsum(new | full) - 1
    fillings = np.append(np.flatnonzero(new | full), len(answer))
    # What each filling held, and since which answer.
    place = np.full(len(operations.of), -1)
    place[answer] = np.arange(len(answer))
    shown = place[attempt]
    record, shown = record[shown >= 0], shown[shown >= 0]
    own_record, own = _own(records, session[begin], np.append(begin, len(answer)), invoked, t, filling, fillings, full)
    record, shown = np.concatenate((record, own_record)), np.concatenate((shown, own))
    held, _, _ = in_groups(filling[shown], len(fillings) - 1, shown, shown)
    numbers = np.arange(records.size)
    _, by_owner, of_owner = grouped(records.owner, numbers, numbers)
    owners = records.owner[by_owner[of_owner]]
    _lacking(
        fillings, places_of(owners, indexed(owners), owner[fillings[:-1]]), np.append(of_owner, len(by_owner)),
        by_owner, invoked, t, record[held], shown[held], records.since, records.until, records.doubtful,
    )  # fmt: skip


@compiled
def _lacking(
    fillings: Any, owner: Any, of_owner: Any, by_owner: Any, invoked: Any, t: Any, record: Any, shown: Any, since: Any,
    until: Any, doubtful: Any,
) -> None:  # fmt: skip
    """Doubt what a filling lacked after its first answer that was asked for when the record was acknowledged."""
    earliest = np.empty(len(since), np.int64)
    held_in = np.full(len(since), -1, np.int64)
    at = 0
    for filling in range(len(fillings) - 1):
        begin, end = fillings[filling], fillings[filling + 1]
        while at < len(record) and shown[at] < end:
            one = record[at]
            if held_in[one] != filling or shown[at] < earliest[one]:
                held_in[one], earliest[one] = filling, shown[at]
            at += 1
        if owner[filling] < 0:
            continue
        for i in range(of_owner[owner[filling]], of_owner[owner[filling] + 1]):
            one = by_owner[i]
            if doubtful[one] or since[one] == NEVER:
                continue
            first = _first_above(invoked, begin, end, since[one])
            if first < end and t[first] < until[one] and (held_in[one] != filling or earliest[one] > first):
                doubtful[one] = True


@compiled
def _first_above(values: Any, begin: int, end: int, least: int) -> int:
    """The first place in a part in order of which the value is greater, or the part's end."""
    while begin < end:
        middle = (begin + end) // 2
        if values[middle] > least:
            end = middle
        else:
            begin = middle + 1
    return begin


def _own(
    records: Records, sessions: Any, bounds: Any, invoked: Any, t: Any, filling: Any, fillings: Any, full: Any
) -> tuple[Any, Any]:
    """What a session created itself, with its first answer after the acknowledgement."""
    operations = records.operations
    of_op = np.full(len(operations.first), -1)
    of_op[records.op] = records.of
    created = (operations.outcome == OK) & (operations.kind[operations.of] == CREATE)
    mine = np.flatnonzero(created)
    at = places_of(sessions, indexed(sessions), operations.session[mine])
    mine, at = mine[at >= 0], at[at >= 0]
    back = operations.back[mine]
    answer = _first_since(t, bounds, at, back)
    some = answer < bounds[at + 1]
    mine, answer, back = mine[some], answer[some], back[some]
    begun = fillings[filling[answer]]
    kept = ~full[begun] | (back > invoked[begun])
    return of_op[operations.of[mine[kept]]], answer[kept]


@compiled
def _first_since(t: Any, bounds: Any, at: Any, back: Any) -> Any:
    found = np.empty(len(at), np.int64)
    for i in range(len(at)):
        found[i] = _first_above(t, bounds[at[i]], bounds[at[i] + 1], back[i] - 1)
    return found

"""What each session must see: never less than it wrote or saw before.

*stale*: a read returned a version that certainly precedes one which this session had written, or had been shown, before
it asked. *vanished*: after a list or delta that was asked for when a record was acknowledged, the device's cache lacks
it, and nobody has tried to delete it. Both are reported; under `sessions: strict` they violate.

A session is one incarnation of a device; a reset begins the next with an empty cache. Answers from the device's own
cache prove nothing. Across a declared loss nothing is owed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from chaos.checks.rules.logical import Rollback
from chaos.history.events import CANARY_OWNER
from chaos.history.model import INFINITY, Answer, History, Operation, RecordId


@dataclass(slots=True)
class _Session:
    """What one session wrote and what it was answered: (when it knew, own write) and answers."""

    owner: str
    own: list[tuple[int, Operation]] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Due:
    """A record that every cache must hold which was filled between two instants."""

    since: int
    until: int
    name: str


def session_anomalies(history: History, rollback: Rollback | None = None) -> set[tuple[RecordId, str]]:
    """Records that were stale or vanished for some session, as (record, class)."""
    sessions = _sessions(history)
    due = _due(history)
    found: set[tuple[RecordId, str]] = set()
    for session in sessions.values():
        for answers, own in _apart(session, rollback):
            found.update(((session.owner, r), "stale") for r in _stale(history, answers, own))
            if session.owner in due:
                lacking = _vanished(due[session.owner], answers, own, rollback)
                found.update(((session.owner, r), "vanished") for r in lacking)
    return found


def _sessions(history: History) -> Mapping[str, _Session]:
    sessions: dict[str, _Session] = {}
    for answer in history.answers:
        if answer.owner != CANARY_OWNER:
            sessions.setdefault(answer.session, _Session(answer.owner)).answers.append(answer)
    for (owner, _), operations in history.records.items():
        for operation in operations:
            for attempt in operation.attempts:
                session = sessions.get(attempt.session or operation.session)
                if session is not None and attempt.outcome == "ok" and session.owner == owner:
                    session.own.append((attempt.back, operation))
    for session in sessions.values():
        session.own.sort(key=lambda one: one[0])
        session.answers.sort(key=lambda answer: answer.t)
    return sessions


def _apart(
    session: _Session, rollback: Rollback | None
) -> Iterator[tuple[Sequence[Answer], Sequence[tuple[int, Operation]]]]:
    """What a session knew before a declared loss and what it knew after it."""
    if rollback is None:
        yield session.answers, session.own
        return
    at = rollback.disaster
    yield [a for a in session.answers if a.t <= at], [one for one in session.own if one[0] <= at]
    since = [a for a in session.answers if a.invoked >= rollback.restored]
    yield since, [one for one in session.own if one[1].t > at]


def _stale(history: History, answers: Sequence[Answer], own: Sequence[tuple[int, Operation]]) -> Iterator[str]:
    """Records of which a session was told less than it knew when it asked."""
    told = [(answer.t, write) for answer in answers for write in answer.showed]
    known = sorted([*own, *told], key=lambda one: one[0])
    newest: dict[str, list[Operation]] = {}
    learned = 0
    for answer in sorted(answers, key=lambda answer: answer.invoked):
        while learned < len(known) and known[learned][0] < answer.invoked:
            _learn(history, newest, known[learned][1])
            learned += 1
        for write in answer.showed:
            if any(precedes(history, write, later) for later in newest.get(write.record, ())):
                yield write.record


def _learn(history: History, newest: dict[str, list[Operation]], write: Operation) -> None:
    """Keep only what nothing known comes after."""
    before = newest.get(write.record, [])
    if write not in before and not any(precedes(history, write, other) for other in before):
        newest[write.record] = [*(other for other in before if not precedes(history, other, write)), write]


def precedes(history: History, one: Operation, other: Operation) -> bool:
    """Whether a version certainly came before another one that took effect, and cannot have come back after it."""
    if one.write == other.write:
        return False
    policy = history.header.policy
    known = min(one.acknowledged_at, one.seen_first)
    if policy != "keep-both" and known < other.t:
        return history.header.idempotency == "keyed" or concluded(history, one) < other.t
    if policy == "last-writer-wins" or one.t > min(other.acknowledged_at, other.seen_first):
        return False
    return any(before is one for before in _bases(history, other)) and not (
        history.header.idempotency == "none" and _may_return(history, one, other)
    )


def _bases(history: History, write: Operation) -> Iterator[Operation]:
    """What a write is based on, what that is based on, and so on, as far as it was acted."""
    passed: set[str] = set()
    base = history.writes.get(write.base) if write.base is not None else None
    while base is not None and base.write not in passed:
        yield base
        passed.add(base.write)
        base = history.writes.get(base.base) if base.base is not None else None


def _may_return(history: History, one: Operation, other: Operation) -> bool:
    """Whether an attempt at a version may take effect after one based on it did: its own base has to return, too.

    What is not based on anything returns wherever an attempt at it is still out.
    """
    since = min((attempt.sent for attempt in other.attempts), default=other.t)
    path = [one, *_bases(history, one)]
    return path[-1].base is None and all(concluded(history, write) >= since for write in path)


def concluded(history: History, write: Operation, until: int = INFINITY) -> int:
    """When no attempt sent until an instant could take effect any more.

    One that a read must have shown has taken effect by then.
    """
    of_record = history.records[(write.owner, write.record)]
    every = (a for operation in of_record if operation.write == write.write for a in operation.attempts)
    attempts = [a for a in every if a.sent <= until]
    shown = [a for a in attempts if a.sent <= write.seen_first < INFINITY and a.outcome != "fail"]
    return max(
        (
            min(a.back if a.outcome in ("ok", "fail") else INFINITY, write.seen_first if shown == [a] else INFINITY)
            for a in attempts
        ),
        default=INFINITY,
    )


def _due(history: History) -> Mapping[str, list[_Due]]:
    """For each owner, records with the time in which nothing excuses their absence, by its begin."""
    due: dict[str, list[_Due]] = {}
    for (owner, record), operations in history.records.items():
        since = min((o.acknowledged_at for o in operations if o.kind != "delete"), default=INFINITY)
        until = min((o.t for o in operations if o.kind == "delete"), default=INFINITY)
        if since < until:
            due.setdefault(owner, []).append(_Due(since, until, record))
    for of_owner in due.values():
        of_owner.sort(key=lambda one: one.since)
    return due


def _vanished(
    due: Sequence[_Due], answers: Iterable[Answer], own: Sequence[tuple[int, Operation]], rollback: Rollback | None
) -> Iterator[str]:
    """Records that the session's cache lacks after an answer that should have brought them."""
    since = [one.since for one in due]
    by_name = {one.name: one for one in due}
    cache: set[str] = set()
    missing: dict[str, _Due] = {}
    applied = reached = 0
    for answer in answers:
        if answer.single:
            continue
        if answer.full:
            cache.clear()
            missing.clear()
            reached = 0
        while applied < len(own) and own[applied][0] <= answer.t:
            if not answer.full or own[applied][0] > answer.invoked:
                cache.add(own[applied][1].record)
            applied += 1
        cache.update(write.record for write in answer.showed)
        cache.update(answer.odd)
        cache.difference_update(answer.gone)
        last = bisect_left(since, answer.invoked)
        missing.update((one.name, one) for one in due[reached:last])
        missing.update((name, by_name[name]) for name in answer.gone if name in by_name)
        reached = last
        missing = {
            name: one
            for name, one in missing.items()
            if name not in cache and one.since < answer.invoked and answer.t < one.until
        }
        for name, one in missing.items():
            if rollback is None or not one.since <= rollback.disaster < answer.t:
                yield name

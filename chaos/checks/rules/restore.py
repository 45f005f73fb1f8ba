"""A declared loss: whether what was restored is the state of one instant, and that instant recent enough.

Where a fault exceeded the redundancy that the experiment declares, data may be lost, but only the youngest, and only
whole. There must be one instant T, not before the disaster less the RPO, at which every record of a restored store is
allowed in the history cut at T. What was invoked after the disaster and acknowledged is never excused.

From there on every restored state is its record's acknowledged start, and what was requested from T to the disaster
is unknown: phones may push it back.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from chaos.checks.rules.doors import Reading, RecordJudge
from chaos.checks.rules.logical import Cut, Rollback
from chaos.history.events import CANARY_OWNER, FaultEvent
from chaos.history.model import CACHE_STEP, INFINITY, RESTORE_STEP, History, RecordId

NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class Restored:
    """The judgement of the restored stores.

    Attributes:
        rollback: The loss that all later doors are judged by; None where none was declared or read.
        classes: Records that the loss does not excuse: `hole` where no instant explains all of a store, else
            `lost-suffix`.
    """

    rollback: Rollback | None = None
    classes: Mapping[RecordId, str] = field(default_factory=dict)


def disaster(history: History) -> FaultEvent | None:
    """The first fault that exceeded the declared redundancy."""
    return next((e for e in history.faults if e.exceeds and e.happened == "injected"), None)


def restored(history: History, readings: Mapping[str, Sequence[Reading]]) -> Restored:
    """Judge every restored store, and find the instant that later doors are judged by."""
    struck = disaster(history)
    stores: dict[str, list[Reading]] = {}
    for of_owner in readings.values():
        for reading in of_owner:
            if reading.door.step == RESTORE_STEP:
                stores.setdefault(reading.door.door, []).append(reading)
    if struck is None or not stores:
        return Restored()
    bound = struck.t - round(history.header.rpo_seconds * NANOSECONDS)
    classes: dict[RecordId, str] = {}
    earliest = struck.t
    for of_store in stores.values():
        to, wrong, anomaly = _instant(_Store(history, struck.t, of_store), bound)
        classes.update(dict.fromkeys(wrong, anomaly))
        earliest = min(earliest, to)
    restored_at = min(reading.door.invoked for of_store in stores.values() for reading in of_store)
    return Restored(_seen_since(history, Rollback(earliest, struck.t, restored_at)), classes)


class _Store:
    """One restored store with the records of everybody whose rows were read."""

    def __init__(self, history: History, struck: int, of_store: Sequence[Reading]) -> None:
        self.struck = struck
        by_owner = {reading.door.owner: reading for reading in of_store if reading.door.owner != CANARY_OWNER}
        self.records = [
            (RecordJudge(history, name, operations), _instants(history, name, struck), by_owner[name[0]])
            for name, operations in history.records.items()
            if name[0] in by_owner
        ]

    def allowed_at(self, judge: RecordJudge, reading: Reading, t: int) -> bool:
        """Whether a record's restored state is allowed in the history cut at `t`."""
        door = reading.door
        cut = Cut(door.invoked, door.t, Rollback(t, self.struck), forgotten=True)
        _, rule = judge.at(cut)
        states, damage = judge.shown(reading)
        there = frozenset(states)
        return not rule.broken and not damage and len(states) == len(there) and rule.permits(there)


def _instant(store: _Store, bound: int) -> tuple[int, list[RecordId], str]:
    """The instant from `bound` on that leaves the fewest records unexplained, these, and what they are."""
    changes: Counter[int] = Counter()
    refused: dict[RecordId, list[tuple[int, int]]] = {}
    for judge, instants, reading in store.records:
        for begun, ended in zip(instants, [*instants[1:], INFINITY], strict=True):
            if not store.allowed_at(judge, reading, begun):
                changes[begun] += 1
                changes[ended] -= 1
                refused.setdefault(judge.name, []).append((begun, ended))
    times = sorted({-1, bound, store.struck, *changes})
    best, fewest, explained, count = bound, INFINITY, False, 0
    for t in times:
        count += changes[t]
        if t > store.struck:
            break
        explained = explained or count == 0
        if t >= bound and count <= fewest:
            # The last instant of this stretch loses the least.
            after = bisect_right(times, t)
            best, fewest = min(times[after] - 1 if after < len(times) else store.struck, store.struck), count
    if fewest == 0:
        return best, [], ""
    wrong = [name for name, spans in refused.items() if any(begun <= best < ended for begun, ended in spans)]
    return best, wrong, "lost-suffix" if explained else "hole"


def _instants(history: History, name: RecordId, struck: int) -> list[int]:
    """Where a record's rule may change: something of it is invoked, returns, or is shown by a read."""
    found = {-1, history.gone.get(name, INFINITY)}
    for operation in history.records[name]:
        found.update((operation.t, operation.seen_first))
        for attempt in operation.attempts:
            found.update((attempt.sent, attempt.back))
    return sorted(t for t in found if t <= struck)


def _seen_since(history: History, rollback: Rollback) -> Rollback:
    """The rollback with what reads have shown since: at the restored stores, by phones, at the final doors."""
    seen: dict[str, int] = {}
    gone: dict[RecordId, int] = {}

    def show(write: str, invoked: int, t: int) -> None:
        if invoked >= rollback.restored or history.writes[write].t > rollback.disaster:
            seen[write] = min(seen.get(write, INFINITY), t)

    for rounds in history.doors.values():
        for door in rounds:
            if door.ok and door.step != CACHE_STEP:
                for operation in (*door.whole.values(), *door.beside):
                    show(operation.write, door.invoked, door.t)
    for answer in history.answers:
        for operation in answer.showed:
            show(operation.write, answer.invoked, answer.t)
        if answer.invoked >= rollback.restored:
            for record in answer.gone:
                name = (answer.owner, record)
                gone[name] = min(gone.get(name, INFINITY), answer.t)
    return replace(rollback, seen=seen, gone=gone)

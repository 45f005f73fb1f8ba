"""The facts behind one anomalous record: which version, who vouched for it and when, which read shows the anomaly.

A page makes a sentence of them, and programs read them in `result.json`. Times are seconds from the begin of the load.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from chaos.checks.rules.agreement import NODE
from chaos.checks.rules.doors import MISSING, Sight, by_step
from chaos.history.model import INFINITY, Operation

Standing = Literal["acknowledged", "degraded", "shown", "refused", "unknown", ""]
"""What was known of the version: acknowledged (with a warning: degraded), shown by a read alone, refused, or nothing.

"" where the anomaly is about no write that anybody acted.
"""
Found = Literal["missing", "version", "damaged", ""]
"""What the read had of the record: nothing, whole versions, or something damaged; "" where no final read shows it."""
_SECOND: Final = 1_000_000_000
_OF_REFUSED: Final = frozenset({"aborted-visible", "phantom"})


@dataclass(frozen=True)
class Finding:
    """One anomaly of one record.

    Attributes:
        anomaly: The record's worst class.
        write: The version, or the delete, that counts: what must be there, or must not.
        kind: Its kind: create, update or delete.
        device: The phone that acted it.
        acted: When.
        standing: What was known of it, `since` when, and `by` which service or, of a read, which phone.
        door: The first final read that shows the anomaly, as a door's name; read at `read`.
        found: What was there; `versions` names the whole ones, `shown` the classes of that read alone.
        right_elsewhere: Whether another door of the same step had the right state.
    """

    anomaly: str
    write: str = ""
    kind: str = ""
    device: str = ""
    acted: float | None = None
    standing: Standing = ""
    since: float | None = None
    by: str = ""
    door: str = ""
    read: float | None = None
    found: Found = ""
    versions: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    right_elsewhere: bool = False


def finding_of(
    anomaly: str, operations: Sequence[Operation], sights: Sequence[Sight], begun: int, *, classes: Collection[str]
) -> Finding:
    """The facts of a record's worst class.

    Args:
        anomaly: That class.
        operations: The record's writes; none where nobody acted one.
        sights: What each door showed of it; none where only the load shows the anomaly.
        begun: When the load began, in nanoseconds.
        classes: All classes of the record.
    """

    def seconds(t: int) -> float:
        return (t - begun) / _SECOND

    sight = _telling(anomaly, sights, classes)
    subject = _subject(anomaly, operations, sight)
    standing, since, by = _standing(subject)
    return Finding(
        anomaly=anomaly,
        write=subject.write if subject else "",
        kind=subject.kind if subject else "",
        device=subject.device if subject else "",
        acted=seconds(subject.t) if subject else None,
        standing=standing,
        since=seconds(since) if since else None,
        by=by,
        door=sight.reading.door.door if sight else "",
        read=seconds(sight.reading.door.t) if sight else None,
        found=_found(sight),
        versions=tuple(sorted(sight.states or ())) if sight else (),
        shown=tuple(sorted(sight.classes)) if sight else (),
        right_elsewhere=anomaly == NODE,
    )


def door_words(door: str) -> str:
    """A door's read as what was done: "a fresh device read everything"."""
    kind, _, name = door.partition(" ")
    return {
        "restored": f"{name} was read as restored",
        "fresh": "a fresh device read everything",
        "cache": f"{name} synced, its cache was read",
        "reset": f"{name} was reset and read everything",
    }.get(kind, f"{door} was read")


def wrong_sights(sights: Sequence[Sight], classes: Collection[str]) -> list[Sight]:
    """The sights that show an anomaly of the record: a wrong old version as well as nothing at all.

    Where each is allowed by itself, and doors of one step differ, those that differ from most others of the step.
    """
    wrong = [sight for sight in sights if sight.classes]
    if wrong or NODE not in classes:
        return wrong
    for step in by_step(sights).values():
        states = Counter(sight.states for sight in step)
        if len(states) > 1:
            most = max(states.values())
            rare = [sight for sight in step if states[sight.states] < most]
            wrong += rare or step
    return wrong


def in_place_of(sight: Sight) -> str:
    """What must have been there in place of the versions that were: " in place of w-7", or nothing to add."""
    if not sight.classes or not sight.states or sight.states <= sight.rule.writes:
        return ""
    wanted = sight.rule.writes & sight.rule.acknowledged
    if wanted:
        return f" in place of {' or '.join(sorted(wanted))}"
    return "" if sight.rule.writes else ", and nothing must be there"


def _telling(anomaly: str, sights: Sequence[Sight], classes: Collection[str]) -> Sight | None:
    """The first sight that shows it."""
    wrong = wrong_sights(sights, classes)
    return next((sight for sight in wrong if anomaly in sight.classes), wrong[0] if wrong and anomaly == NODE else None)


def _subject(anomaly: str, operations: Sequence[Operation], sight: Sight | None) -> Operation | None:
    """The write that counts: of those that may be last at that door the one of which most is known, the last one."""
    if anomaly in _OF_REFUSED:
        there = (sight.states or MISSING) if sight else MISSING
        refused = [each for each in operations if _standing(each)[0] == "refused"]
        return next((each for each in refused if each.write in there), refused[0] if refused else None)
    possible: Iterable[Operation] = operations
    if sight is not None:
        last = sight.rule.writes or sight.rule.deletes
        possible = [each for each in operations if each.write in last] or operations
    ranks = ("unknown", "refused", "shown", "degraded", "acknowledged")
    return max(possible, key=lambda each: (ranks.index(_standing(each)[0]), each.t), default=None)


def _standing(operation: Operation | None) -> tuple[Standing, int, str]:
    """(what is known of it, since when, who said so)."""
    if operation is None:
        return "", 0, ""
    for outcome, standing in (("ok", "acknowledged"), ("degraded", "degraded")):
        for attempt in operation.attempts:
            if attempt.outcome == outcome:
                return standing, attempt.back, attempt.by  # type: ignore[return-value]
    if operation.attempts and all(attempt.outcome == "fail" for attempt in operation.attempts):
        return "refused", operation.attempts[-1].back, operation.attempts[-1].by
    if operation.seen_first < INFINITY:
        return "shown", operation.seen_first, operation.seen_by if operation.seen_first == operation.seen_last else ""
    return "unknown", 0, ""


def _found(sight: Sight | None) -> Found:
    if sight is None:
        return ""
    if sight.states is None:
        return "damaged"
    return "version" if sight.states else "missing"

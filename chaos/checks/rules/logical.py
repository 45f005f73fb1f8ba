"""Logical operations: all attempts at one write as one operation, as known at any instant of a history.

Where the stack keeps idempotency keys, all attempts with one key are one operation; else each attempt is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from chaos.checks.rules.allowed import Logical, Standing
from chaos.history.model import INFINITY, Attempt, Operation


@dataclass(frozen=True, slots=True)
class Rollback:
    """A declared loss: the stores came back as of `to`, and what was requested from there to `disaster` is unknown.

    Attributes:
        restored: When a restored store was first read. What was shown between the disaster and then may be lost, too.
        seen: For each write id that a read has shown since, the return of the first such read; of what was acted after
            the disaster, of any read.
        gone: Likewise for records that were not there any more.
    """

    to: int
    disaster: int
    restored: int = INFINITY
    seen: Mapping[str, int] = field(default_factory=dict)
    gone: Mapping[tuple[str, str], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cut:
    """A history as a read sees it: what began after `ended` is not there, what ended after `begun` is unknown.

    Attributes:
        rollback: The declared loss that lies before the read.
        forgotten: Whether what began within the loss is not even possible: so at the restored store itself.
    """

    begun: int
    ended: int
    rollback: Rollback | None = None
    forgotten: bool = False


BEST_FIRST: Final[Sequence[Standing]] = ("ok", "degraded", "info", "fail")
"""How attempts end, by what is known of the operation then: it stands as its best one."""


def logical_operations(
    operations: Sequence[Operation], cut: Cut, *, keyed: bool, deleted: Mapping[str, int]
) -> list[Logical]:
    """The logical operations of one record.

    Args:
        operations: Its creates, updates and deletes in order of their acts.
        cut: The instant.
        keyed: Whether the stack declares `idempotency: keyed`.
        deleted: Deletes of which a read showed the effect, with its return.
    """
    rollback = cut.rollback
    by_write: dict[str, list[Operation]] = {}
    for operation in operations:
        forgotten = cut.forgotten and rollback is not None and rollback.to < operation.t <= rollback.disaster
        if operation.t <= cut.ended and not forgotten:
            by_write.setdefault(operation.write, []).append(operation)
    logical: list[Logical] = []
    for write, acts in by_write.items():
        first = acts[0]
        seen = first.seen_first
        if rollback is not None and seen > rollback.to:
            seen = rollback.seen.get(write, INFINITY)
        if first.kind == "delete":
            seen = deleted.get(write, INFINITY)
        if seen > cut.begun:
            seen = INFINITY
        attempts = first.attempts if len(acts) == 1 else [a for act in acts for a in act.attempts]
        inv = first.t if len(acts) == 1 else min(act.t for act in acts)
        if keyed or not attempts:
            logical.append(_merged(first, inv, attempts, cut, seen))
        else:
            # A read cannot have shown the work of an attempt that left after it had returned, unless all others failed.
            shown = [a for a in attempts if a.sent <= seen and (a.outcome != "fail" or a.back > cut.begun)]
            logical.extend(
                _merged(first, inv, (attempt,), cut, seen if attempt in shown or not shown else INFINITY)
                for attempt in attempts
            )
    return logical


def _merged(act: Operation, inv: int, attempts: Iterable[Attempt], cut: Cut, seen: int) -> Logical:
    ret, rank, rollback = INFINITY, 4, cut.rollback
    for attempt in attempts:
        if attempt.sent > cut.ended:
            continue
        known = attempt.back <= cut.begun
        if rollback is not None and attempt.sent <= rollback.disaster:
            if cut.forgotten and attempt.sent > rollback.to:
                continue
            # What was refused was never there to be lost.
            known = known and (attempt.back <= rollback.to or attempt.outcome == "fail")
        outcome = attempt.outcome if known else "info"
        if outcome == "ok":
            ret, rank = min(ret, attempt.back), 0
        elif outcome == "info":
            rank = min(rank, 2)
        elif outcome == "fail":
            rank = min(rank, 3)
        else:
            rank = min(rank, 1)
    standing: Standing = BEST_FIRST[rank] if rank < 4 else "unsent"
    return Logical(act.write, act.kind == "delete", act.base, inv, ret, standing, seen)


def last_activity(operations: Iterable[Operation]) -> int:
    """When the last thing happened to any of these operations; INFINITY while an attempt is out."""
    latest = 0
    for operation in operations:
        latest = max(latest, operation.t)
        for attempt in operation.attempts:
            latest = max(latest, attempt.back)
    return latest

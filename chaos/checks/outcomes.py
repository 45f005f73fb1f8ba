"""Counts operations by outcome, and the classes that are reported without deciding the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from chaos.checks.rules.allowed import Logical
from chaos.checks.rules.doors import MISSING, Sight
from chaos.checks.rules.ways import Rule
from chaos.history.model import INFINITY, Operation

OUTCOMES = ("ok", "fail", "info", "degraded")


def by_outcome(logical: Iterable[Logical], into: Counter[str]) -> None:
    """Count logical operations by outcome; one that was never sent definitely did not take effect."""
    for operation in logical:
        into["fail" if operation.standing == "unsent" else operation.standing] += 1


def uncertain(logical: Sequence[Logical], rule: Rule, sights: Sequence[Sight]) -> Counter[str]:
    """How the unknown and the degraded operations of one record turned out, as far as a final read shows it."""
    found: Counter[str] = Counter()
    for operation in logical:
        if operation.standing not in ("info", "degraded"):
            continue
        applied = operation.write in rule.acknowledged or any(_shows(sight, operation) for sight in sights)
        if operation.standing == "info":
            found["info-applied" if applied else "info-not-applied"] += 1
        else:
            found["degraded-kept" if applied else "degraded-erased"] += 1
    return found


def _shows(sight: Sight, operation: Logical) -> bool:
    if operation.delete:
        return sight.states == MISSING and not sight.classes and operation.write in sight.rule.late
    return sight.states is not None and operation.write in sight.states


def late_effect(operations: Sequence[Operation], sights: Sequence[Sight]) -> bool:
    """Whether an unknown operation took the place of an acknowledged one that began after it was given up."""
    answered = {operation.write for operation in operations if operation.acknowledged_at < INFINITY}
    return any(
        _acknowledged_since(operations, operation)
        for sight in sights
        if not sight.classes
        for operation in operations
        # What a final read showed is known from then on, and was late all the same.
        if (operation.write in (sight.states or MISSING) and operation.write not in answered)
        or (_in_place(operation, sight) and operation.write in sight.rule.late)
    )


def _in_place(operation: Operation, sight: Sight) -> bool:
    """Whether what was found may be this operation's work."""
    return operation.write in (sight.states or MISSING) or (sight.states == MISSING and operation.kind == "delete")


def overwritten_by_policy(operations: Sequence[Operation]) -> int:
    """Acknowledged writes that replaced a version which another acknowledged write had replaced too."""
    bases = {
        operation.write: operation.base
        for operation in operations
        if operation.base is not None and operation.acknowledged_at < INFINITY
    }
    return len(bases) - len(set(bases.values()))


def first_acknowledged(operations: Iterable[Operation]) -> int:
    """When the record was first acknowledged, else INFINITY."""
    return min((operation.acknowledged_at for operation in operations), default=INFINITY)


def _gave_up(operation: Operation) -> int:
    known = [attempt.back for attempt in operation.attempts if attempt.back < INFINITY]
    return max(known, default=operation.t)


def _acknowledged_since(operations: Iterable[Operation], but: Operation) -> bool:
    """Whether another operation on the record began after this one was given up, and was acknowledged."""
    given_up = _gave_up(but)
    return any(given_up < o.t and o.write != but.write and o.acknowledged_at < INFINITY for o in operations)

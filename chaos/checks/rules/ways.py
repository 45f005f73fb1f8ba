"""Which deletes took effect: a read that finds no record shows that some delete did, and not which one.

A *way* is one explanation of all that reads have found: deletes that took effect, each with the return of the read that
shows it. There is one way at first, and one for each delete that may explain an absence. A read that a way cannot
explain refutes it. What may be there is what some way allows; where no way is left that explains the operations, they
contradict each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chaos.checks.rules.allowed import Allowed
from chaos.checks.rules.keep_both import WAYS_MAX, KeptBoth
from chaos.history.model import INFINITY, Operation

Way = Mapping[str, int]
NOTHING_KNOWN: Final[tuple[Way, ...]] = ({},)


@dataclass(frozen=True, slots=True)
class Either:
    """What one of several rules allows. Each of them explains the operations, so nothing is broken."""

    rules: tuple[Allowed | KeptBoth, ...]
    broken: frozenset[str] = frozenset()

    @property
    def writes(self) -> frozenset[str]:
        """Versions that may be there."""
        return frozenset().union(*(rule.writes for rule in self.rules))

    @property
    def absence(self) -> bool:
        """Whether the record may be absent."""
        return any(rule.absence for rule in self.rules)

    @property
    def acknowledged(self) -> frozenset[str]:
        """What is known to have taken effect whichever rule is right."""
        first, *others = (rule.acknowledged for rule in self.rules)
        return first.intersection(*others)

    @property
    def late(self) -> frozenset[str]:
        """What may be last only as an operation outside A."""
        return frozenset().union(*(rule.late for rule in self.rules))

    @property
    def deletes(self) -> frozenset[str]:
        """Deletes that may have taken effect last."""
        return frozenset().union(*(rule.deletes for rule in self.rules))

    def permits(self, states: frozenset[str]) -> bool:
        """Whether exactly these versions may be there."""
        return any(rule.permits(states) for rule in self.rules)


Rule = Allowed | KeptBoth | Either


def ways_of(operations: Iterable[Operation], gone: int) -> Sequence[Way]:
    """The ways after a read, returned at `gone`, had reported a record deleted; INFINITY if none did."""
    if gone == INFINITY:
        return NOTHING_KNOWN
    deletes = {o.write for o in operations if o.kind == "delete" and _may_explain(o, gone)}
    return [{write: gone} for write in deletes] if 0 < len(deletes) <= WAYS_MAX else NOTHING_KNOWN


def _may_explain(delete: Operation, gone: int) -> bool:
    """Whether a read that returned at `gone` may have seen the work of this delete."""
    return any(attempt.sent < gone and attempt.outcome != "fail" for attempt in delete.attempts)


def after(
    ways: Sequence[Way], rule_of: Callable[[Way], Allowed | KeptBoth], states: frozenset[str], t: int
) -> Sequence[Way]:
    """The ways once a read, returned at `t`, has found exactly these versions; as before if nothing explains that.

    Args:
        ways: The ways so far.
        rule_of: What may be there at that read, for each of them.
        states: What was there.
        t: The return of the read.
    """
    found: list[Way] = []
    for way in ways:
        rule = rule_of(way)
        if not rule.broken and rule.permits(states):
            for deletes in rule.ways_to(states):
                one = {**dict.fromkeys(deletes, t), **way}
                if one not in found:
                    found.append(one)
        if len(found) > WAYS_MAX:
            return ways
    return found or ways


def not_refused(ways: Sequence[Way], operations: Iterable[Operation], t: int) -> Sequence[Way]:
    """The ways without any delete that is known by `t` to have been refused; all of them if each has one."""
    refused = {
        o.write for o in operations
        if o.kind == "delete" and all(a.outcome == "fail" and a.back <= t for a in o.attempts)
    }  # fmt: skip
    return [way for way in ways if refused.isdisjoint(way)] or ways


def united(rules: Sequence[Allowed | KeptBoth]) -> Rule:
    """What some of these rules allows."""
    sound = [rule for rule in rules if not rule.broken] or rules[:1]
    return sound[0] if len(sound) == 1 else Either(tuple(sound))

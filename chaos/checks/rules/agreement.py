"""Whether the doors of one step agree about a record.

Two doors of one step may differ only while something can still take effect between their reads: operations that were
not known to have taken effect when the earlier one was read lead from its state to that of the later door, and no read
of the one lies between two agreeing reads of the other. Doors of different steps are never compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Final

from chaos.checks.classes import OUT_OF_DATE
from chaos.checks.rules.doors import Reading, RecordJudge, Sight, by_step

NODE: Final = "lost-on-node"
"""The class of what one door lacks, or shows of long ago, while another door of its step is right."""


def classes_of(judge: RecordJudge, sights: Sequence[Sight]) -> set[str]:
    """All classes of one record over all its doors."""
    found: set[str] = set()
    for step in by_step(sights).values():
        right = any(not sight.classes for sight in step)
        for sight in step:
            for name in sight.classes:
                found.add(NODE if right and name in OUT_OF_DATE else name)
        if NODE not in found and _disagree(judge, [s for s in step if not s.classes]):
            found.add(NODE)
    return found


def healed_by_device(sights: Iterable[Sight]) -> bool:
    """Whether a record that was missing for a fresh device came back once phones had synced."""
    missing = False
    for sight in sights:
        if sight.reading.door.step == 1 and sight.missing:
            missing = True
        elif missing and sight.reading.door.step > 1 and sight.states and not sight.classes:
            return True
    return False


def _disagree(judge: RecordJudge, sights: Sequence[Sight]) -> bool:
    if len({sight.states for sight in sights}) < 2:
        return False
    return any(
        first.states != second.states
        and first.reading.settled
        and second.reading.settled
        and (_between(first.reading, second.reading) or not judge.may_follow(first, second))
        for first, second in combinations(sorted(sights, key=lambda s: s.reading.door.invoked), 2)
    )


def _between(one: Reading, other: Reading) -> bool:
    """Whether a read of one door lies between the two agreeing reads of the other door."""

    def encloses(outer: Reading, inner: Reading) -> bool:
        reads = ((inner.door.invoked, inner.door.t), (inner.first_invoked, inner.first_ended))
        return any(outer.first_ended < begun and ended < outer.door.invoked for begun, ended in reads)

    return encloses(one, other) or encloses(other, one)

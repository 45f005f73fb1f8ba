"""Coverage: whether every acknowledged record was read at every door of every step."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chaos.checks.counts import Counts
from chaos.checks.rules.doors import Reading

FRESH: Final = 1
CACHES: Final = 2
RESETS: Final = 4


@dataclass(frozen=True)
class Coverage:
    """Acknowledged records and the final reads.

    Attributes:
        coverable: Records with an acknowledged create, update or delete.
        covered: Those of an owner whose every door was read.
        unread: (owner, what is missing) for every owner with a door that was never read.
    """

    coverable: int
    covered: int
    unread: tuple[tuple[str, str], ...]


def coverage(copies: Collection[str], readings: Mapping[str, Sequence[Reading]], counts: Counts) -> Coverage:
    """Count what the final reads covered.

    Args:
        copies: Doors that every owner has besides those of the devices.
        readings: All doors that could be read, by owner.
        counts: Who has acknowledged records, and by which devices.
    """
    unread: dict[str, str] = {}
    for owner in counts.acknowledged:
        read = {(r.door.step, r.door.door) for r in readings.get(owner, ())}
        if missing := not_read(counts.devices[owner], copies, read):
            unread[owner] = missing
    return Coverage(
        coverable=counts.acknowledged.total() + counts.covered,
        covered=counts.covered + sum(n for owner, n in counts.acknowledged.items() if owner not in unread),
        unread=tuple(sorted(unread.items())),
    )


def not_read(devices: Iterable[str], copies: Iterable[str], read: Collection[tuple[int, str]]) -> str:
    """The first door that an owner's devices or the copies ask for, not among the (step, door) that were read."""
    if not any(step == FRESH for step, _ in read):
        return "fresh"
    wanted = [(step, f"{kind} {device}") for step, kind in ((CACHES, "cache"), (RESETS, "reset"))
              for device in sorted(devices)]  # fmt: skip
    wanted += [(RESETS, copy) for copy in copies]
    return next((door for step, door in wanted if (step, door) not in read), "")

"""Whether the final reads saw enough: every acknowledged record, at every door of every step."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chaos.checks.bulk.beside import Beside
from chaos.checks.rules.doors import Reading
from chaos.history.events import CANARY_OWNER
from chaos.history.model import History

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


def coverage(
    history: History,
    readings: Mapping[str, Sequence[Reading]],
    acknowledged: Iterable[tuple[str, str]],
    beside: Beside | None = None,
) -> Coverage:
    """Count what the final reads covered.

    Args:
        history: The history.
        readings: All doors that could be read, by owner.
        acknowledged: The acknowledged records, canaries left out.
        beside: Further records.
    """
    beside = beside or Beside()
    devices: dict[str, set[str]] = defaultdict(set)
    for owner, of_owner in beside.devices.items():
        devices[owner].update(of_owner)
    for (owner, _), operations in history.records.items():
        if owner != CANARY_OWNER:
            devices[owner].update(operation.device for operation in operations)
    unread: dict[str, str] = {}
    records: Counter[str] = Counter(beside.acknowledged)
    for owner, _ in acknowledged:
        records[owner] += 1
    for owner in records:
        read = {(r.door.step, r.door.door) for r in readings.get(owner, ())}
        if missing := not_read(devices[owner], history.header.copies, read):
            unread[owner] = missing
    return Coverage(
        coverable=sum(records.values()) + beside.covered,
        covered=beside.covered + sum(count for owner, count in records.items() if owner not in unread),
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

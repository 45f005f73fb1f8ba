"""What the records that need no closer look add to a verdict: counts, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from chaos.checks.guards.traffic import Traffic


@dataclass(slots=True)
class Beside:
    """Counts over records that are as they must be at every door.

    Attributes:
        operations: Their logical operations by outcome.
        reported: Of the classes that are only told.
        mixed: Creates, updates, deletes, photos and contended updates that were sent.
        acknowledged: Acknowledged records by owner.
        devices: Devices that changed them, by owner.
        must: How many must be there; `must_before` those acknowledged before the first fault.
        traffic: What was known of their writes when a fault struck, by the fault's index.
        covered: Acknowledged records of owners whose every door was read, and who are left out altogether.
        doors: How many doors of such owners were read, at which `steps`.
    """

    operations: Counter[str] = field(default_factory=Counter)
    reported: Counter[str] = field(default_factory=Counter)
    mixed: Counter[str] = field(default_factory=Counter)
    acknowledged: Counter[str] = field(default_factory=Counter)
    devices: dict[str, set[str]] = field(default_factory=dict)
    must: int = 0
    must_before: int = 0
    traffic: dict[int, Traffic] = field(default_factory=dict)
    covered: int = 0
    doors: int = 0
    steps: set[int] = field(default_factory=set)

    def add(self, other: Beside) -> None:
        """Take over the counts of other records."""
        for mine, theirs in (
            (self.operations, other.operations),
            (self.reported, other.reported),
            (self.mixed, other.mixed),
            (self.acknowledged, other.acknowledged),
        ):
            mine.update(theirs)
        for owner, devices in other.devices.items():
            self.devices.setdefault(owner, set()).update(devices)
        self.must += other.must
        self.must_before += other.must_before
        for index, traffic in other.traffic.items():
            self.traffic[index] = self.traffic.get(index, Traffic()) + traffic
        self.covered += other.covered
        self.doors += other.doors
        self.steps |= other.steps


def summed(parts: Iterable[Beside]) -> Beside:
    """All of them together."""
    whole = Beside()
    for part in parts:
        whole.add(part)
    return whole

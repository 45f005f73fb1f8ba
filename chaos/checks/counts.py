"""The counts that a verdict rests on: whoever counts records, one by one or in columns, adds to the same ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from chaos.checks.conditions.traffic import Traffic


@dataclass(slots=True)
class Counts:
    """Counts over some records; canaries are in none.

    Attributes:
        operations: Logical operations by outcome.
        reported: Of the classes that are only told.
        mixed: Creates, updates, deletes, photos and contended updates that were sent.
        acknowledged: Acknowledged records by owner, of owners whose doors are still to be looked at.
        devices: Devices that changed records of these owners.
        must: Acknowledged records that must be there, or are lost; `must_before` those acknowledged before the first
            fault.
        traffic: What was known of writes when a fault of the load struck, by the fault's index.
        covered: Acknowledged records of owners whose every door was read.
        doors: How many doors were tried, `steps` at which of them anybody was read.
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

    def add(self, other: Counts) -> None:
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


def summed(parts: Iterable[Counts]) -> Counts:
    """All of them together."""
    whole = Counts()
    for part in parts:
        whole.add(part)
    return whole

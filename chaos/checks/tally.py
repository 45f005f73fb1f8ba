"""Counting a history: what became of every record at every door, and the counts that a verdict rests on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from chaos.checks import outcomes
from chaos.checks.conditions.bite import traffic_at_faults
from chaos.checks.conditions.mix import mixed
from chaos.checks.counts import Counts
from chaos.checks.rules.agreement import classes_of, healed_by_device
from chaos.checks.rules.answers import anomalies_of_answers
from chaos.checks.rules.doors import Reading, RecordJudge, Sight, anomalies_of_rows, readings
from chaos.checks.rules.restore import Restored, restored
from chaos.history.events import CANARY_OWNER, FaultEvent
from chaos.history.model import INFINITY, RESTORE_STEP, History, Operation, RecordId


@dataclass(slots=True)
class Tally:
    """What a history comes to.

    Attributes:
        readings: All doors that could be read, by owner.
        counts: Of all records.
        classes: The anomalies of each record that has any.
        sights: What each door showed of such a record; `canary_sights` of each canary.
        first_told: OWNER/RECORD of the first record of some of the classes that decide nothing.
    """

    readings: Mapping[str, Sequence[Reading]]
    counts: Counts = field(default_factory=Counts)
    classes: dict[RecordId, set[str]] = field(default_factory=dict)
    sights: dict[RecordId, list[Sight]] = field(default_factory=dict)
    canary_sights: dict[str, list[Sight]] = field(default_factory=dict)
    first_told: dict[str, str] = field(default_factory=dict)

    def add(self, name: RecordId, *classes: str) -> None:
        """A record has these anomalies."""
        self.classes.setdefault(name, set()).update(classes)

    def named(self, anomaly: str) -> Iterable[RecordId]:
        """The records with this anomaly."""
        return (name for name, classes in self.classes.items() if anomaly in classes)


def first_struck(history: History) -> FaultEvent | None:
    """The first fault that struck."""
    return next((event for event in history.faults if event.happened == "injected"), None)


def count(history: History) -> Tally:
    """Look at every record of a history at every door.

    Raises:
        HarnessError: It asks for what this version cannot judge, or contradicts itself.
    """
    read = readings(history)
    tally, loss = Tally(read), restored(history, read)
    _records(history, loss, tally)
    for name, anomaly in loss.classes.items():
        tally.add(name, anomaly)
    for name, anomaly in anomalies_of_rows(history, read):
        tally.add(name, anomaly)
    _answers(history, loss, tally)
    every = [reading for of_owner in read.values() for reading in of_owner]
    tally.counts.reported["orphan-blob"] += sum(reading.orphans for reading in every)
    tally.counts.doors += len(history.doors)
    tally.counts.steps.update(reading.door.step for reading in every)
    tally.counts.traffic = traffic_at_faults(history)
    return tally


def _records(history: History, loss: Restored, tally: Tally) -> None:
    struck, reported = first_struck(history), tally.counts.reported
    until = struck.t if struck is not None else -1
    later = {owner: [r for r in of_owner if r.door.step != RESTORE_STEP] for owner, of_owner in tally.readings.items()}
    for name, operations in history.records.items():
        judge_of = RecordJudge(history, name, operations, loss.rollback)
        doors = later.get(name[0], ())
        if name[0] == CANARY_OWNER:
            tally.canary_sights[name[1]] = judge_of.sights(doors)
            continue
        if history.header.policy == "last-writer-wins":
            reported["policy-overwritten"] += outcomes.overwritten_by_policy(operations)
        classes = set[str]()
        if not judge_of.is_plain(doors):
            sights = judge_of.sights(doors)
            if not judge_of.certain:
                reported.update(outcomes.uncertain(judge_of.logical, judge_of.rule, sights))
                reported["late-effect"] += outcomes.late_effect(operations, sights)
            classes = classes_of(judge_of, sights) | judge_of.broken
            if classes:
                tally.classes[name] = classes
                tally.sights[name] = sights
                reported["healed-by-device"] += healed_by_device(sights)
        _count(tally.counts, judge_of, operations, until, is_lost="lost" in classes)


def _count(
    counts: Counts, judge_of: RecordJudge, operations: Sequence[Operation], struck_at: int, *, is_lost: bool
) -> None:
    owner = judge_of.name[0]
    outcomes.by_outcome(judge_of.logical, counts.operations)
    counts.mixed.update(mixed(operations))
    counts.devices.setdefault(owner, set()).update(operation.device for operation in operations)
    acknowledged = outcomes.first_acknowledged(operations)
    if acknowledged == INFINITY:
        return
    counts.acknowledged[owner] += 1
    if is_lost or not judge_of.rule.absence:
        counts.must += 1
        counts.must_before += acknowledged <= struck_at


def _answers(history: History, loss: Restored, tally: Tally) -> None:
    """What the answers of the load prove; whether it violates, `sessions` says."""
    strict = history.header.sessions == "strict"
    found = anomalies_of_answers(history, loss.rollback)
    for name, anomaly in sorted(found, key=lambda each: (history.records[each[0]][0].t, each)):
        if strict:
            tally.add(name, anomaly)
        else:
            tally.counts.reported[anomaly] += 1
            tally.first_told.setdefault(anomaly, "/".join(name))

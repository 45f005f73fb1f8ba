"""What each final read showed of each record, and what that means.

A *door* is a way to read records back. Each round of a door is judged by the history cut at its own read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Final

from chaos.checks.rules.allowed import Allowed, Logical, allowed
from chaos.checks.rules.between import allowed_after
from chaos.checks.rules.keep_both import KeptBoth, kept_both, may_follow
from chaos.checks.rules.logical import Cut, Rollback, last_activity, logical_operations
from chaos.checks.rules.ways import Either, Rule, Way, after, not_refused, united, ways_of
from chaos.history.events import CANARY_OWNER, Row
from chaos.history.model import CACHE_STEP, INFINITY, Door, History, Operation, RecordId

MISSING: Final[frozenset[str]] = frozenset()
"""The state of a record that a door did not show; a state is the write ids that were there."""


@dataclass(slots=True)
class Reading:
    """One door as it is judged: its last successful round, and the one before where that differed.

    Attributes:
        odd: Rows that are no whole copy of a write, by the record of the door's owner that they belong to.
        strange: Rows that belong to no record of the door's owner.
        orphans: Blobs that no row points to.
        readable: Whether the last round succeeded.
        first_invoked: Begin of the first of the rounds that agree, `first_ended` its end.
    """

    door: Door
    before: Reading | None
    readable: bool
    first_invoked: int
    first_ended: int
    odd: dict[str, list[Row]] = field(default_factory=dict)
    strange: list[Row] = field(default_factory=list)
    orphans: int = 0

    @property
    def settled(self) -> bool:
        """Whether two rounds agreed at last."""
        return self.door.settled and self.readable


@dataclass(frozen=True, slots=True)
class Sight:
    """A record at one door.

    Attributes:
        states: The write ids that were there, rightly if any were; None where what was there is not whole.
        classes: What is wrong with it; empty if nothing.
        rule: The allowed states by which it was judged.
    """

    reading: Reading
    states: frozenset[str] | None
    classes: frozenset[str]
    rule: Rule

    @property
    def missing(self) -> bool:
        """Whether the record was not there and should have been."""
        return self.states == MISSING and bool(self.classes)


def readings(history: History) -> dict[str, list[Reading]]:
    """All doors that could be read at least once, by owner, in order of time."""
    found: dict[str, list[Reading]] = {}
    for rounds in history.doors.values():
        good = [door for door in rounds if door.ok]
        if not good:
            continue
        last = good[-1]
        before = None
        if len(good) == 2 and not last.settled:
            before = _sorted_rows(Reading(good[0], None, True, good[0].invoked, good[0].t), history)
        first = good[0] if last.settled else last
        reading = Reading(last, before, rounds[-1].ok, first.invoked, first.t)
        found.setdefault(last.owner, []).append(_sorted_rows(reading, history))
    for of_owner in found.values():
        of_owner.sort(key=lambda reading: (reading.door.invoked, reading.door.step))
    return found


def _sorted_rows(reading: Reading, history: History) -> Reading:
    owner = reading.door.owner
    for row in reading.door.odd:
        if row.blob == "orphan":
            reading.orphans += 1
            continue
        write = history.writes.get(row.write)
        ours = write is not None and write.owner == owner
        if (owner, row.record) in history.records and (ours or row.owner == owner or write is None):
            reading.odd.setdefault(row.record, []).append(row)
        elif write is not None and ours:
            reading.odd.setdefault(write.record, []).append(row)
        else:
            reading.strange.append(row)
    return reading


def strangers(history: History, reading: Reading) -> Iterable[tuple[RecordId, str]]:
    """Rows at a door that belong to none of its owner's records, as (record, class)."""
    for row in reading.strange:
        write = history.writes.get(row.write)
        if write is not None:
            yield (write.owner, write.record), "misattributed"
        elif row.owner != reading.door.owner:
            yield (row.owner, row.record), "misattributed"
        else:
            yield (row.owner, row.record), "phantom" if row.write and row.record else "corrupted"


class RecordJudge:
    """Judges one record at all doors of its owner.

    Attributes:
        logical, rule: Its operations and what may be there by what is known without the doors.
        broken: What the operations show to be broken by themselves at any instant, and with what the doors proved.
        certain: Whether nothing is unknown.
    """

    def __init__(
        self, history: History, name: RecordId, operations: Sequence[Operation], rollback: Rollback | None = None
    ) -> None:
        self._history = history
        self.name = name
        self._operations = operations
        self._keyed = history.header.idempotency == "keyed"
        self._policy = history.header.policy
        self.rollback = rollback
        self._active_until = last_activity(operations)
        self._ways = self._ways_at_first = self._ways_of_the_load(rollback)
        self.certain = False
        self.logical, self.rule = self._at_the_end()
        # Where nothing is unknown, no read can add to what is known: one rule serves all doors after the last answer.
        self.certain = all(o.standing != "info" and o.standing != "degraded" for o in self.logical)
        self.broken = set(self.rule.broken)
        if rollback is not None:
            # What was acknowledged before a loss may be gone; that it contradicted itself is not excused.
            self.broken |= self.at(Cut(rollback.disaster, rollback.disaster))[1].broken

    def sights(self, of_owner: Iterable[Reading]) -> list[Sight]:
        """The record at each door, in order of time; `broken` has what became known to be broken until the last one."""
        found: list[Sight] = []
        for reading in of_owner:
            sight = self._sight(reading)
            self.broken |= sight.rule.broken
            # A door that keeps changing proves only what two of its rounds showed.
            earlier = self._sight(reading.before) if reading.before is not None else sight
            sight = replace(sight, classes=sight.classes & earlier.classes)
            found.append(sight)
            settled = self.certain and reading.door.invoked >= self._active_until
            if not settled and not sight.classes and earlier.states == sight.states:
                self._learn(sight)
        self.broken |= self._at_the_end()[1].broken
        return found

    def _learn(self, sight: Sight) -> None:
        """What a read of the service did not find, though it had been made, was deleted."""
        door, states = sight.reading.door, sight.states
        if states is None or door.step == CACHE_STEP or self._may_be_back:
            return
        cut = Cut(door.invoked, door.t, self.rollback)
        self._ways = after(self._ways_at(cut), lambda way: self._by(way, cut)[1], states, door.t)

    @property
    def _may_be_back(self) -> bool:
        """Whether a declared loss may have undone what the record was: phones may push it back."""
        return self.rollback is not None and any(o.t <= self.rollback.disaster for o in self._operations)

    def is_plain(self, of_owner: Iterable[Reading]) -> bool:
        """Whether every door showed one and the same allowed state, and there is nothing else to find out."""
        if not self.certain or self.broken or self.rollback is not None:
            return False
        record, states = self.name[1], set()
        for reading in of_owner:
            door = reading.door
            if door.invoked < self._active_until or record in reading.odd:
                return False
            whole = door.whole.get(record)
            states.add(MISSING if whole is None else frozenset((whole.write,)))
        if len(states) != 1:
            return not states
        return self.rule.permits(*states)

    def may_follow(self, first: Sight, second: Sight) -> bool:
        """Whether what the second door showed may have come about after the first was read."""
        if first.states is None or second.states is None or first.rule.broken or second.rule.broken:
            return True
        door, cut = first.reading.door, Cut(second.reading.door.invoked, second.reading.door.t, self.rollback)
        if self._policy == "keep-both":
            then = Cut(door.invoked, door.t, self.rollback)
            seen = [(self._by(way, then)[0], self._by(way, cut)[0]) for way in self._ways_at(cut)]
            return any(may_follow(one, door.invoked, first.states, two, second.states) for one, two in seen)
        before = first.rule.rules if isinstance(first.rule, Either) else (first.rule,)
        for way, rule in product(self._ways_at(cut), before):
            if not isinstance(rule, Allowed) or not rule.permits(first.states):
                continue
            logical, _ = self._by(way, cut)
            left_by = [o for o in logical if o.write in (first.states or rule.deletes)]
            for last in left_by if first.states or rule.made else (*left_by, None):
                later = allowed_after(rule, last, (door.invoked, door.t), logical, conditional=self._policy == "reject")
                if any(not one.broken and one.permits(second.states) for one in later):
                    return True
        return False

    def _ways_of_the_load(self, rollback: Rollback | None) -> Sequence[Way]:
        gone = self._history.gone.get(self.name, INFINITY)
        if rollback is not None and gone > rollback.to:
            gone = rollback.gone.get(self.name, INFINITY)
        return ways_of(self._operations, gone)

    def _ways_at(self, cut: Cut) -> Sequence[Way]:
        """The ways that are left when this is read."""
        ways = self._ways if cut.rollback is self.rollback else self._ways_of_the_load(cut.rollback)
        return ways if len(ways) == 1 else not_refused(ways, self._operations, cut.begun)

    def _at_the_end(self) -> tuple[list[Logical], Rule]:
        return self.at(Cut(INFINITY, INFINITY, self.rollback))

    def at(self, cut: Cut, *, seen: bool = True) -> tuple[list[Logical], Rule]:
        """The operations and the rule at an instant."""
        over = self.certain and cut.begun >= self._active_until and self._ways is self._ways_at_first
        if seen and over and cut.rollback is self.rollback:
            return self.logical, self.rule
        found = [self._by(way, cut, seen=seen) for way in self._ways_at(cut)]
        return found[0][0], united([rule for _, rule in found])

    def _by(self, way: Way, cut: Cut, *, seen: bool = True) -> tuple[list[Logical], Allowed | KeptBoth]:
        """The operations and the rule at an instant if reads are explained in this way."""
        logical = logical_operations(self._operations, cut, keyed=self._keyed, deleted=way)
        if self._policy == "keep-both":
            return logical, kept_both(logical, seen=seen)
        return logical, allowed(logical, conditional=self._policy == "reject", seen=seen)

    def shown(self, reading: Reading) -> tuple[list[str], frozenset[str]]:
        """Whole versions of the record at a door, one entry a row, and what is wrong with its other rows."""
        whole = reading.door.whole.get(self.name[1])
        states = [] if whole is None else [whole.write]
        classes: set[str] = set()
        for row in reading.odd.get(self.name[1], ()):
            damage = self._damage(row, reading.door.owner)
            classes |= damage
            if not damage:
                states.append(row.write)
        return states, frozenset(classes)

    def _sight(self, reading: Reading) -> Sight:
        cut = Cut(reading.door.invoked, reading.door.t, self.rollback)
        logical, rule = self.at(cut)
        states, damage = self.shown(reading)
        there = frozenset(states)
        if not damage and len(states) == len(there) and rule.permits(there):
            return Sight(reading, there, _NO_CLASSES, rule)
        all_that_may_be = rule
        if isinstance(rule, Either):
            # None of them allows it, or there is damage: one will do to tell what is wrong.
            rule = next((one for one in rule.rules if one.permits(there)), rule.rules[0])
        classes = set(damage)
        rows = len(reading.odd.get(self.name[1], ())) + (self.name[1] in reading.door.whole)
        if isinstance(rule, KeptBoth):
            if len(states) > len(there):
                classes.add("duplicated")
            classes |= self._wrong_beside_others(there, logical, rule, cut)
            wrong = rule.intruders(there)
        else:
            if rows > 1:
                classes.add("duplicated")
            wrong = there - rule.writes
            kinds = {self._wrong(state, logical, rule, cut) for state in wrong}
            # An older version beside the one that must be there is a row too many, and nothing is lost.
            classes |= kinds - {"lost", "seen-then-lost"} if there - wrong else kinds
        if not rows and not rule.absence:
            _, unseen = self.at(cut, seen=False)
            classes.add("seen-then-lost" if unseen.absence else "lost")
        right = there - wrong
        return Sight(reading, right or (None if rows and not there else there), frozenset(classes), all_that_may_be)

    def _damage(self, row: Row, owner: str) -> set[str]:
        """What is wrong with the row itself, whatever version it should be."""
        write = self._history.writes.get(row.write)
        if any(stamp[:2] != (row.owner, row.record) for stamp in row.stamps) or row.owner != owner:
            return {"misattributed"}
        if row.stamps:
            return {"torn"}
        if not row.write or not row.record or (write is not None and write.kind == "delete"):
            return {"corrupted"}
        if write is None:
            return set()
        if (write.owner, write.record) != self.name or row.record != write.record:
            return {"misattributed"}
        if row.blob == "missing":
            return {"dangling-blob"}
        return {"corrupted"} if row.hash != write.hash else set()

    def _wrong(self, write: str, logical: Sequence[Logical], rule: Allowed, cut: Cut) -> str:
        """The class of a whole version that must not be there."""
        standings = {o.standing for o in logical if o.write == write}
        if standings <= {"unsent"}:
            return "phantom"
        if standings <= {"fail", "unsent"}:
            return "aborted-visible"
        _, unseen = self.at(cut, seen=False)
        if unseen.permits(frozenset((write,))):
            return "seen-then-lost"
        if write not in rule.acknowledged and any(o.write == write and o.base in rule.acknowledged for o in logical):
            # It took effect on a version that an acknowledged write had replaced.
            return "lost-update"
        return "resurrected" if rule.deletes else "lost"

    def _wrong_beside_others(
        self, there: frozenset[str], logical: Sequence[Logical], rule: KeptBoth, cut: Cut
    ) -> set[str]:
        """Under keep-both: the classes of versions that must not be there, and of those that are missing."""
        standings: dict[str, set[str]] = {}
        for operation in logical:
            standings.setdefault(operation.write, set()).add(operation.standing)
        bases = {o.write: o.base for o in logical}
        classes: set[str] = set()
        for write in rule.intruders(there):
            if standings.get(write, set()) <= {"unsent"}:
                classes.add("phantom")
            elif standings[write] <= {"fail", "unsent"}:
                classes.add("aborted-visible")
            elif not rule.missing(there):
                classes.add("resurrected")
        if missing := rule.missing(there):
            rivals = {bases.get(write) for write in there} - {None}
            _, unseen = self.at(cut, seen=False)
            for write in missing:
                if isinstance(unseen, KeptBoth) and write not in unseen.missing(there):
                    classes.add("seen-then-lost")
                else:
                    classes.add("lost-update" if bases.get(write) in rivals else "lost")
        return classes


_NO_CLASSES: Final[frozenset[str]] = frozenset()


def sights_in_the_load(history: History) -> Iterable[tuple[RecordId, str]]:
    """What reads of the load showed that no read may ever show, as (record, class)."""
    for sight in history.odd_sights.values():
        row = sight.row
        if row.write and row.write not in history.writes and not row.stamps and row.owner == sight.owner:
            yield (row.owner, row.record), "phantom"
    for name, operations in history.records.items():
        for operation in operations:
            if operation.seen_first == INFINITY:
                continue
            attempts = operation.attempts
            if attempts and attempts[0].outcome != "fail" and attempts[0].sent <= operation.seen_first:
                continue
            every = [a for o in operations if o.write == operation.write for a in o.attempts]
            if operation.seen_first < min((a.sent for a in every), default=INFINITY):
                yield name, "phantom"
            elif all(a.outcome == "fail" for a in every):
                yield name, "aborted-visible"


def anomalies_of_rows(history: History, read: Mapping[str, Sequence[Reading]]) -> Iterable[tuple[RecordId, str]]:
    """Anomalies of rows that belong to no record which is judged, as (record, class); canaries are left out."""
    for name, anomaly in sights_in_the_load(history):
        if name[0] != CANARY_OWNER:
            yield name, anomaly
    for owner, of_owner in read.items():
        for reading in of_owner:
            for name, anomaly in strangers(history, reading):
                if name[0] != CANARY_OWNER or owner != CANARY_OWNER:
                    yield name, anomaly


def by_step(sights: Iterable[Sight]) -> Mapping[int, list[Sight]]:
    """Sights of one record by the step of their door."""
    steps: dict[int, list[Sight]] = {}
    for sight in sights:
        steps.setdefault(sight.reading.door.step, []).append(sight)
    return steps

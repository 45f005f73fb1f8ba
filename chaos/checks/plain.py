"""Records that need no closer look, found in columns: one chain of acknowledged writes, and its end at every door.

This is no second set of rules. A record is dismissed here only under conditions so plain that the exact rule cannot
find anything (tests hold the verdict with and without it against each other); every other record, and all that is odd,
goes to `verdict.judge` line by line. What is dismissed still counts: `Beside` has the counts.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from chaos.history.attempts import CREATE, DELETE, FAIL, LIST, NEVER, OK, SYNC, Operations
from chaos.history.columns import Columns, DoorLine, IrregularError, Table
from chaos.history.events import CANARY_OWNER
from chaos.history.layout import hash_of, paired
from chaos.history.pieces import CACHED, FULL

_OK_BLOB: Final = np.uint64(hash_of("ok"))
_NO_BLOB: Final = np.uint64(hash_of(""))
_PHOTO: Final = np.uint64(hash_of("photo"))
_CANARY: Final = np.uint64(hash_of(CANARY_OWNER))


@dataclass(frozen=True, slots=True)
class Rules:
    """What of the experiment matters here: the policy, keys, and when faults of the load struck, by index."""

    conditional: bool
    keyed: bool
    struck: tuple[tuple[int, int], ...]
    first_struck: int


class Records:
    """All creates, updates and deletes of some owners, by record and in the order in which users acted."""

    def __init__(self, operations: Operations, rules: Rules) -> None:
        acts = operations.acts
        self.operations = operations
        self.rules = rules
        self._columns: dict[str, Any] = {}
        changes = np.flatnonzero(acts["kind"] <= DELETE)
        names = paired(acts["owner"][changes], acts["record"][changes])
        order = np.lexsort((acts["line"][changes], acts["t"][changes], names))
        self.op = changes[order]
        self.name_of_op = names[order]
        new = np.concatenate((np.ones(min(1, len(order)), np.bool_), self.name_of_op[1:] != self.name_of_op[:-1]))
        self.begin = np.flatnonzero(new)
        self.names = self.name_of_op[self.begin]
        self.of = np.cumsum(new) - 1
        self.owner = acts["owner"][self.op[self.begin]]
        self.size = len(self.begin)
        self.doubtful = self.owner == _CANARY
        self.rows: list[tuple[Any, Any, Any, Any]] = []
        self.foreign: list[Any] = []
        self.met_odd: list[Any] = []
        self._standing()
        self._chain()

    def column(self, name: str) -> Any:
        """A column of the acts in the order of the records."""
        found = self._columns.get(name)
        if found is None:
            found = self._columns[name] = self.operations.acts[name][self.op]
        return found

    def doubt(self, records: Any) -> None:
        """These records need a closer look; -1 stands for none."""
        self.doubtful[records[records >= 0]] = True

    def find(self, names: Any) -> Any:
        """The records of these names, -1 where there is none."""
        return _find(self.names, names)

    def _standing(self) -> None:
        """What became of each operation; records with an unknown one are doubtful."""
        operations = self.operations
        acknowledged = operations.outcome == OK
        self.oks = operations.counted(acknowledged)[self.op]
        self.fails = operations.counted(operations.outcome == FAIL)[self.op]
        self.tries = operations.count[self.op]
        self.ret = operations.least(np.where(acknowledged, operations.back, NEVER))[self.op]
        self.sent = operations.least(operations.sent)[self.op]
        self.ended = np.maximum(operations.most(operations.back)[self.op], self.column("t"))
        last = np.maximum(operations.first + operations.count - 1, 0)[self.op]
        self.given_up = operations.back[last] if len(operations.back) else self.ended
        self.ok = self.oks > 0
        if self.rules.keyed:
            known = self.ok | (self.fails == self.tries)
        else:
            known = (self.fails == self.tries) | ((self.oks == 1) & (self.fails + 1 == self.tries))
        self.doubt(self.of[~known | (self.ended == NEVER)])
        writes = self.column("write")
        by_write = np.argsort(writes, kind="stable")
        self.writes, self._by_write = writes[by_write], by_write
        twice = np.flatnonzero(self.writes[1:] == self.writes[:-1])
        self.doubt(self.of[by_write[twice]])
        self.doubt(self.of[by_write[twice + 1]])
        keys = paired(self.column("owner"), self.column("key"))
        by_key = np.argsort(keys, kind="stable")
        same = keys[by_key][1:] == keys[by_key][:-1]
        if np.any(same & (writes[by_key][1:] != writes[by_key][:-1])):
            raise IrregularError("one key, two writes")

    def _chain(self) -> None:
        """Whether what is acknowledged is one chain, and which write it ends with."""
        listed = np.flatnonzero(self.ok)
        record, base, write = self.of[listed], self.column("base")[listed], self.column("write")[listed]
        delete = self.column("kind")[listed] == DELETE
        first = np.concatenate((np.ones(min(1, len(listed)), np.bool_), record[1:] != record[:-1]))
        last = np.concatenate((first[1:], np.ones(min(1, len(listed)), np.bool_)))
        if self.rules.conditional:
            before = np.concatenate((np.zeros(min(1, len(listed)), np.uint64), write[:-1]))
            self.doubt(record[np.where(first, base != 0, base != before)])
            self.doubt(record[delete & ~last])
        self.final = np.full(self.size, -1)
        self.final[record[last]] = listed[last]
        self.deleted = np.zeros(self.size, np.bool_)
        self.deleted[record[last]] = delete[last]
        # When anything acted later on the record first left a device: from then on an older version may be stale.
        self.later_sent = np.full(len(self.op), NEVER)
        if len(listed):
            sent = self.sent[listed].copy()
            least = _least_from_behind(sent, last)
            self.later_sent[listed] = np.where(last, NEVER, np.concatenate((least[1:], [NEVER])))

    def first_ended(self) -> Any:
        """When the last thing happened to each record."""
        return np.maximum.reduceat(self.ended, self.begin) if self.size else np.zeros(0, np.int64)

    def whole(self, rows: Table, owner: Any) -> Any:
        """For each row the operation (by place) of which it is a whole copy, -1 where it is none."""
        place = _find(self.writes, rows["write"])
        op = np.where(place >= 0, self._by_write[np.maximum(place, 0)], -1) if len(self.writes) else place
        if not len(op) or not len(self.writes):
            return op
        good = (
            (op >= 0)
            & (rows["owner"] == owner)
            & (paired(rows["owner"], rows["record"]) == self.name_of_op[op])
            & (rows["hash"] == self.column("hash")[op])
            & (self.column("kind")[op] != DELETE)
            & ((rows["blob"] == 0) | (rows["blob"] == _OK_BLOB) | (rows["blob"] == _NO_BLOB))
        )
        return np.where(good, op, -1)

    def note(self, rows: Table, op: Any, owner: Any) -> None:
        """Remember where rows are; what is odd among them needs a closer look, whatever it may be about."""
        self.rows.append((rows["line"], rows["at"], rows["end"], op))
        odd = op < 0
        # A line that was read by itself is taken whole, with every row that it has.
        self.doubt(self.of[op[~odd & (rows["at"] < 0)]])
        if odd.any():
            self.met_odd.append(owner[odd])
            self._doubt_odd({n: c[odd] for n, c in rows.items()}, owner[odd])

    def _doubt_odd(self, rows: Table, owner: Any) -> None:
        self.foreign.append(rows["write"])
        self.doubt(self.find(paired(owner, rows["record"])))
        self.doubt(self.find(paired(rows["owner"], rows["record"])))
        self.doubt_writes(rows["write"])

    def doubt_writes(self, writes: Any) -> None:
        """The records of these write ids need a closer look."""
        place = _find(self.writes, writes)
        place = place[place >= 0]
        self.doubt(self.of[self._by_write[place]])

    def involved(self) -> Any:
        """Owners with a record that needs a closer look, or who were shown an odd row."""
        return np.unique(np.concatenate([self.owner[self.doubtful], *self.met_odd]))

    def close(self) -> Any:
        """Doubt what doubtful records build on; returns write ids that belong to other owners, if to anybody."""
        before = -1
        while before != (now := int(self.doubtful.sum())):
            before = now
            bases = self.column("base")[self.doubtful[self.of]]
            self.doubt_writes(bases[bases != 0])
        asked = np.unique(np.concatenate([*self.foreign, bases[bases != 0]]))
        return asked[_find(self.writes, asked) < 0]


def _find(names: Any, wanted: Any) -> Any:
    if not len(names):
        return np.full(len(wanted), -1)
    place = np.minimum(np.searchsorted(names, wanted), len(names) - 1)
    return np.where(names[place] == wanted, place, -1)


def _least_from_behind(values: Any, last: Any) -> Any:
    """For each value the least of it and those after it up to the next `last`."""
    # Ranked within groups from behind, a running minimum over (group, value) never looks past its group.
    group = np.cumsum(last[::-1])
    order = np.argsort(values, kind="stable")
    rank = np.empty(len(values), np.int64)
    rank[order] = np.arange(len(values))
    keyed = rank[::-1] - group * (len(values) + 1)
    return values[order[np.minimum.accumulate(keyed) + group * (len(values) + 1)]][::-1]


class Doors:
    """The judged rounds of the final reads of each owner.

    Attributes:
        irregular: Hashes of owners with a door that was not read twice alike: all of theirs needs a closer look.
        count: By owner the number of doors; `begun` the earliest judged read.
        weight: By line with rows, how many judged doors showed exactly these.
        read: By owner the (step, door) that were read.
    """

    def __init__(self, lines: list[DoorLine]) -> None:
        rounds: dict[tuple[str, int, str], list[DoorLine]] = {}
        for line in lines:
            rounds.setdefault((line.owner, line.step, line.door), []).append(line)
        self.irregular: set[str] = set()
        self.count: Counter[str] = Counter()
        self.begun: dict[str, int] = {}
        self.weight: Counter[int] = Counter()
        self.read: dict[str, set[tuple[int, str]]] = {}
        for (owner, step, door), of_door in rounds.items():
            last = of_door[-1]
            alike = len(of_door) > 1 and last.ok and last.settled and of_door[-2].ok
            if not alike or last.digest != of_door[-2].digest or any(not one.ok for one in of_door):
                self.irregular.add(owner)
            self.count[owner] += 1
            self.begun[owner] = min(self.begun.get(owner, last.invoked), last.invoked)
            self.read.setdefault(owner, set()).add((step, door))
            if last.rows_of >= 0:
                self.weight[last.rows_of] += 1


def look(columns: Columns, operations: Operations, rules: Rules) -> tuple[Records, Doors]:
    """Find the records that need a closer look among those of some owners; the others are as they must be.

    Raises:
        IrregularError: The history contradicts itself.
    """
    records = Records(operations, rules)
    doors = Doors(columns.doors)
    hashes = {owner: hash_of(owner) for owner in {door.owner for door in columns.doors}}
    owner_of_line = {door.line: hashes[door.owner] for door in columns.doors}
    rows, gone = columns.tables["row"], columns.tables["gone"]
    door_lines = np.array(sorted(owner_of_line), np.int64)
    at_door = _find(door_lines, rows["line"])
    _at_doors(records, doors, hashes, owner_of_line, {n: c[at_door >= 0] for n, c in rows.items()})
    _in_the_load(records, {n: c[at_door < 0] for n, c in rows.items()}, gone)
    return records, doors


def _at_doors(
    records: Records, doors: Doors, hashes: dict[str, int], owner_of_line: dict[int, int], rows: Table
) -> None:
    """Every record must be at all doors of its owner with the version that it ends with, or at none if deleted."""
    lines, inverse = np.unique(rows["line"], return_inverse=True)
    owner = np.array([owner_of_line[line] for line in lines.tolist()], np.uint64)[inverse]
    weight = np.array([doors.weight[line] for line in lines.tolist()], np.int64)[inverse]
    op = records.whole(rows, owner)
    records.note(rows, op, owner)
    keep = op >= 0
    op, inverse, weight = op[keep], inverse[keep], weight[keep]
    record = records.of[op]
    records.doubt(record[~records.ok[op]])
    judged = weight > 0
    records.doubt(record[judged & (records.final[record] != op)])
    twice = np.sort(record * len(lines) + inverse)
    records.doubt(twice[1:][twice[1:] == twice[:-1]] // max(len(lines), 1))
    shown = np.bincount(record, weights=weight, minlength=records.size).astype(np.int64)
    names, of_record = np.unique(records.owner, return_inverse=True)
    by_hash = {hashes[owner]: owner for owner in doors.count}
    known = [by_hash.get(name) for name in names.tolist()]
    count = np.array([doors.count[o] if o is not None else -1 for o in known], np.int64)
    begun = np.array([doors.begun[o] if o is not None else -1 for o in known], np.int64)
    usual = np.array([o is not None and o not in doors.irregular for o in known], np.bool_)
    must = (records.final >= 0) & ~records.deleted
    wrong = np.where(must, shown != count[of_record], shown != 0) if records.size else np.zeros(0, np.bool_)
    if records.size:
        wrong |= ~usual[of_record] | (begun[of_record] < records.first_ended())
    records.doubtful |= wrong


def _in_the_load(records: Records, rows: Table, gone: Table) -> None:
    """What reads of the load showed: whole copies, none before it was sent, none that may be stale, none missing."""
    operations = records.operations
    acts = operations.acts
    with_line = np.flatnonzero(operations.back_line >= 0)
    order = with_line[np.argsort(operations.back_line[with_line])]
    back_lines = operations.back_line[order]
    places = _find(back_lines, rows["line"])
    gone_places = _find(back_lines, gone["line"])
    if np.any(places < 0) or np.any(gone_places < 0):
        raise IrregularError("rows without a read")
    attempt, gone_attempt = order[places], order[gone_places]
    if np.any(acts["kind"][operations.of[attempt]] <= DELETE):
        raise IrregularError("rows of a write")
    owner = acts["owner"][operations.of[attempt]]
    op = records.whole(rows, owner)
    records.note(rows, op, owner)
    keep = op >= 0
    op, attempt = op[keep], attempt[keep]
    serves = (operations.outcome[attempt] == OK) & ((operations.flags[attempt] & CACHED) == 0)
    op, attempt = op[serves], attempt[serves]
    record = records.of[op]
    records.doubt(record[~records.ok[op]])
    records.doubt(record[operations.back[attempt] < records.sent[op]])
    records.doubt(record[records.later_sent[op] < operations.sent[attempt]])
    gone_owner = acts["owner"][operations.of[gone_attempt]]
    absent = records.find(paired(gone_owner, gone["record"]))
    some = absent >= 0
    since, until = _due(records)
    if len(until):
        records.doubt(absent[some & (operations.back[gone_attempt] < until[np.maximum(absent, 0)])])
    _caches(records, record, attempt, since, until)


def _due(records: Records) -> tuple[Any, Any]:
    """From when to when nothing excuses a record's absence from a cache that was filled in between."""
    if not records.size:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    delete = records.column("kind") == DELETE
    since = np.minimum.reduceat(np.where(delete, NEVER, records.ret), records.begin)
    until = np.minimum.reduceat(np.where(delete, records.column("t"), NEVER), records.begin)
    return since, until


def _caches(records: Records, record: Any, attempt: Any, since: Any, until: Any) -> None:
    """Doubt every record that some session's cache lacked after an answer that should have brought it.

    A *filling* is a session from one full answer to the next: a full answer replaces the cache.
    """
    operations = records.operations
    kind = operations.acts["kind"][operations.of]
    answering = ((kind == LIST) | (kind == SYNC)) & (operations.outcome == OK) & ((operations.flags & CACHED) == 0)
    answer = np.flatnonzero(answering)
    if not len(answer) or not records.size:
        return
    answer = answer[np.lexsort((operations.back[answer], operations.session[answer]))]
    session, invoked = operations.session[answer], operations.sent[answer]
    owner = operations.acts["owner"][operations.of[answer]]
    full = (operations.flags[answer] & FULL) > 0
    new_session = np.concatenate((np.ones(1, np.bool_), session[1:] != session[:-1]))
    backwards = ~new_session[1:] & ((invoked[1:] < invoked[:-1]) | (owner[1:] != owner[:-1]))
    records.doubtful |= np.isin(records.owner, owner[1:][backwards])
    filling = np.cumsum(new_session | full) - 1
    begin = np.flatnonzero(np.concatenate((np.ones(1, np.bool_), filling[1:] != filling[:-1])))
    ends = np.concatenate((begin[1:], [len(answer)]))
    # For each filling and record of its owner: the first answer that was asked for after the acknowledgement.
    by_owner = np.argsort(records.owner, kind="stable")
    left = np.searchsorted(records.owner[by_owner], owner[begin], "left")
    right = np.searchsorted(records.owner[by_owner], owner[begin], "right")
    count = right - left
    of_filling = np.repeat(np.arange(len(begin)), count)
    within = np.arange(len(of_filling)) - np.repeat(np.cumsum(count) - count, count)
    wanted = by_owner[left[of_filling] + within]
    order = np.sort(invoked)
    stride = len(answer) + 1
    rank = np.searchsorted(order, invoked, "left")
    first = np.searchsorted(
        filling * stride + rank, of_filling * stride + np.searchsorted(order, since[wanted], "right")
    )
    due = (first < ends[of_filling]) & (since[wanted] < NEVER)
    due &= operations.back[answer[np.minimum(first, len(answer) - 1)]] < until[wanted]
    of_filling, wanted, first = of_filling[due], wanted[due], first[due]
    # What each filling held, and since which answer.
    place = np.full(len(operations.of), -1)
    place[answer] = np.arange(len(answer))
    shown = place[attempt]
    held = [(filling[shown[shown >= 0]], record[shown >= 0], shown[shown >= 0])]
    held.append(_own(records, session, invoked, operations.back[answer], filling, begin, full))
    key = np.concatenate([(f * records.size + r) * stride + a for f, r, a in held])
    key.sort()
    asked = (of_filling * records.size + wanted) * stride
    at = np.searchsorted(key, asked)
    there = at < len(key)
    if len(key):
        there &= key[np.minimum(at, len(key) - 1)] <= asked + first
    records.doubt(wanted[~there])


def _own(records: Records, session: Any, invoked: Any, t: Any, filling: Any, begin: Any, full: Any) -> Any:
    """What a session created itself: (filling, record, first answer after its acknowledgement)."""
    operations = records.operations
    place = np.full(len(operations.first), -1)
    place[records.op] = np.arange(len(records.op))
    mine = np.flatnonzero((operations.outcome == OK) & (place[operations.of] >= 0))
    mine = mine[operations.acts["kind"][operations.of[mine]] == CREATE]
    sessions, first = np.unique(session, return_index=True)
    at = _find(sessions, operations.session[mine])
    mine, at = mine[at >= 0], at[at >= 0]
    ends = np.concatenate((first[1:], [len(session)]))
    order = np.sort(t)
    stride = len(t) + 1
    number = np.cumsum(np.concatenate((np.ones(1, np.bool_), session[1:] != session[:-1]))) - 1
    rank = np.searchsorted(order, t, "left")
    answer = np.searchsorted(
        number * stride + rank, at * stride + np.searchsorted(order, operations.back[mine], "left")
    )
    good = answer < ends[at]
    mine, answer = mine[good], answer[good]
    begun = begin[filling[answer]]
    kept = ~full[begun] | (operations.back[mine] > invoked[begun])
    mine, answer = mine[kept], answer[kept]
    return filling[answer], records.of[place[operations.of[mine]]], answer

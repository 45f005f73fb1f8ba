"""Creates, updates and deletes of some users as columns, by record: the outcome of each, and the last version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chaos.checks.bulk.columns.attempts import DELETE, FAIL, NEVER, OK, Operations
from chaos.checks.bulk.columns.compiled import compiled
from chaos.checks.bulk.columns.hashes import hash_of, indexed, numbered, paired, place_of, places_of
from chaos.checks.bulk.columns.scan import IrregularError
from chaos.checks.bulk.columns.tables import entries
from chaos.history.events import CANARY_OWNER

_OK_BLOB, _NO_BLOB, _CANARY = (np.uint64(hash_of(text)) for text in ("ok", "", CANARY_OWNER))


@dataclass(frozen=True, slots=True)
class Rules:
    """Settings that the columns need: policy, keys, doors to copies, when faults of the load struck by index."""

    conditional: bool
    keyed: bool
    copies: tuple[str, ...]
    struck: tuple[tuple[int, int], ...]
    first_struck: int


class Records:
    """The records; everything per operation stands in the order in which users acted.

    Attributes:
        acts: The acts; `op` are their places among all operations, `of` their records.
        names, owner: Per record: what it is called, and whose it is.
        doubtful: Records that need a closer look.
        ok, oks, fails, tries: Per operation: whether and how often it was acknowledged, refused and tried.
        ret, sent, ended, given_up: When it was first acknowledged, first sent, over, and when its last attempt was.
        final: Per record the acknowledged operation that it ends with, -1 if none; `deleted` if that is a delete.
        later_sent: Per operation: when the first acknowledged one after it left a device.
        since, until: Per record: from when to when nothing excuses its absence.
        acknowledged, over: Per record: when it was first acknowledged, and when the last thing happened to it.
        rows: Tables of rows that reads returned, each with the operations of which they are whole copies.
    """

    def __init__(self, operations: Operations, rules: Rules) -> None:
        changes = np.flatnonzero(operations.kind <= DELETE)
        t, line = operations.acts["t"][changes], operations.acts["line"][changes]
        if np.any((t[1:] < t[:-1]) | ((t[1:] == t[:-1]) & (line[1:] < line[:-1]))):
            changes = changes[np.lexsort((line, t))]
        self.operations = operations
        self.rules = rules
        self.op = changes
        self.acts = entries(operations.acts, self.op)
        self.kind = operations.kind[self.op]
        names = paired(self.acts["owner"], self.acts["record"])
        self.of, first = numbered(names)
        self.size = len(first)
        self.owner = self.acts["owner"][first]
        self.names = names[first]
        self._by_name = indexed(self.names)
        self.doubtful = self.owner == _CANARY
        self.rows: list[tuple[Any, Any]] = []
        self.foreign: list[Any] = []
        self.met_odd: list[Any] = []
        size = len(self.op)
        self.oks, self.fails, self.tries = (np.zeros(size, np.int32) for _ in range(3))
        self.ret, self.sent, self.ended, self.given_up = (np.empty(size, np.int64) for _ in range(4))
        self.acknowledged, self.over = np.full(self.size, NEVER), np.full(self.size, -1)
        _standing(
            operations.first, operations.count, operations.sent, operations.back, operations.outcome, self.op, self.of,
            self.acts["t"], self.oks, self.fails, self.tries, self.ret, self.sent, self.ended, self.given_up,
            self.acknowledged, self.over, rules.keyed, self.doubtful,
        )  # fmt: skip
        self.ok = self.oks > 0
        self.writes = np.ascontiguousarray(self.acts["write"])
        self._by_write = indexed(self.writes)
        _written_twice(self.writes, self._by_write, self.of, self.doubtful)
        keys = paired(self.acts["owner"], self.acts["key"])
        if _two_writes(keys, indexed(keys), self.writes):
            raise IrregularError("one key, two writes")
        self.final = np.full(self.size, -1)
        self.since, self.until = np.full(self.size, NEVER), np.full(self.size, NEVER)
        self.deleted = np.zeros(self.size, np.bool_)
        self.later_sent = np.full(size, NEVER)
        _chain(
            self.acts, self.of, self.kind, self.ok, self.ret, self.sent, rules.conditional, self.final, self.deleted,
            self.later_sent, self.since, self.until, self.doubtful,
        )  # fmt: skip

    def doubt(self, records: Any) -> None:
        """These records need a closer look; -1 stands for none."""
        self.doubtful[records[records >= 0]] = True

    def find(self, names: Any) -> Any:
        """The records of these names, -1 where there is none."""
        return places_of(self.names, self._by_name, names)

    def whole(self, rows: Any, owner: Any) -> Any:
        """For each row the operation of which it is a whole copy, -1 where it is none."""
        return _whole(rows, owner, self.writes, self._by_write, self.acts, self.kind)

    def note(self, rows: Any, op: Any, owner: Any) -> None:
        """Remember where rows are; what is odd among them needs a closer look, whatever it may be about."""
        self.rows.append((rows, op))
        # A line that was read by itself is taken whole, with every row that it has.
        self.doubt(self.of[op[(op >= 0) & (rows["at"] < 0)]])
        odd = op < 0
        if odd.any():
            self.met_odd.append(owner[odd])
            self._doubt_odd(entries(rows, np.flatnonzero(odd)), owner[odd])

    def _doubt_odd(self, rows: Any, owner: Any) -> None:
        asked = np.concatenate((rows["write"], paired(rows["owner"], rows["record"])))
        self.foreign.append(asked)
        self.doubt(self.find(paired(owner, rows["record"])))
        self.doubt_asked(asked)

    def doubt_asked(self, asked: Any) -> None:
        """Records of these names, and those of these write ids, need a closer look."""
        self.doubt(self.find(asked))
        place = places_of(self.writes, self._by_write, asked)
        self.doubt(self.of[place[place >= 0]])

    def involved(self) -> Any:
        """Owners with a record that needs a closer look, or who were shown an odd row."""
        return np.unique(np.concatenate([self.owner[self.doubtful], *self.met_odd]))

    def close(self) -> Any:
        """Doubt what doubtful records build on; returns names and write ids of other owners, if of anybody."""
        before = -1
        while before != (now := int(self.doubtful.sum())):
            before = now
            bases = self.acts["base"][self.doubtful[self.of]]
            bases = bases[bases != 0]
            self.doubt_asked(bases)
        asked = np.unique(np.concatenate([*self.foreign, bases]))
        return asked[(places_of(self.writes, self._by_write, asked) < 0) & (self.find(asked) < 0)]


def grouped(names: Any, one: Any, other: Any) -> tuple[Any, Any, Any]:
    """Things by name, and those of one name by two values.

    Returns:
        Each one's group, numbered as they first stand; the order; and where each group begins in it.
    """
    number, first = numbered(names)
    order, begin, right = in_groups(number, len(first), one, other)
    return number, order if right else np.lexsort((other, one, number)), begin


@compiled
def in_groups(number: Any, groups: int, one: Any, other: Any) -> tuple[Any, Any, bool]:
    """Things by group, else in their order; where each begins; and whether each is in the order of two values."""
    end = np.zeros(groups, np.int64)
    for i in range(len(number)):
        end[number[i]] += 1
    begin = np.empty(groups, np.int64)
    total = 0
    for group in range(groups):
        begin[group] = total
        total += end[group]
        end[group] = begin[group]
    order = np.empty(len(number), np.int64)
    right = True
    for i in range(len(number)):
        at = end[number[i]]
        if at > begin[number[i]]:
            last = order[at - 1]
            right &= one[last] < one[i] or (one[last] == one[i] and other[last] <= other[i])
        order[at] = i
        end[number[i]] = at + 1
    return order, begin, right


@compiled
def _standing(
    first: Any, count: Any, sent_at: Any, back: Any, outcome: Any, op: Any, of: Any, t: Any, oks: Any, fails: Any,
    tries: Any, ret: Any, sent: Any, ended: Any, given_up: Any, acknowledged: Any, over: Any, keyed: bool,
    doubtful: Any,
) -> None:  # fmt: skip
    """The outcome of each operation; records with an unknown one are doubtful."""
    for i in range(len(op)):
        begin = first[op[i]]
        tries[i] = count[op[i]]
        ret[i], sent[i], ended[i], given_up[i] = NEVER, NEVER, t[i], t[i]
        for at in range(begin, begin + tries[i]):
            if outcome[at] == OK:
                oks[i] += 1
                ret[i] = min(ret[i], back[at])
            elif outcome[at] == FAIL:
                fails[i] += 1
            sent[i] = min(sent[i], sent_at[at])
            ended[i] = max(ended[i], back[at])
            given_up[i] = back[at]
        known = fails[i] == tries[i]
        known |= oks[i] > 0 if keyed else (oks[i] == 1 and fails[i] + 1 == tries[i])
        acknowledged[of[i]] = min(acknowledged[of[i]], ret[i])
        over[of[i]] = max(over[of[i]], ended[i])
        if not known or ended[i] == NEVER:
            doubtful[of[i]] = True


@compiled
def _written_twice(writes: Any, slots: Any, of: Any, doubtful: Any) -> None:
    """Records of a write that was acted more than once are doubtful."""
    for i in range(len(writes)):
        place = place_of(writes, slots, writes[i])
        if place != i:
            doubtful[of[i]] = True
            doubtful[of[place]] = True


@compiled
def _two_writes(keys: Any, slots: Any, writes: Any) -> bool:
    """Whether one key stands for two writes."""
    found = False
    for i in range(len(keys)):
        found |= writes[place_of(keys, slots, keys[i])] != writes[i]
    return found


@compiled
def _chain(
    acts: Any, of: Any, kind: Any, ok: Any, ret: Any, sent: Any, conditional: bool, final: Any, deleted: Any,
    later_sent: Any, since: Any, until: Any, doubtful: Any,
) -> None:  # fmt: skip
    """Whether what is acknowledged of each record is one chain, which operation it ends with, and what comes later."""
    removed = np.full(len(final), -1)
    for i in range(len(acts)):
        act, record = acts[i], of[i]
        if kind[i] == DELETE:
            until[record] = min(until[record], act["t"])
        else:
            since[record] = min(since[record], ret[i])
        if not ok[i]:
            continue
        last = final[record]
        wanted = acts[last]["write"] if last >= 0 else np.uint64(0)
        if conditional and (act["base"] != wanted or deleted[record]):
            doubtful[record] = True
        if kind[i] == DELETE:
            removed[record] = max(removed[record], ret[i])
        elif removed[record] >= act["t"]:  # either of them may be the last
            doubtful[record] = True
        final[record] = i
        deleted[record] = kind[i] == DELETE
    least = np.full(len(final), NEVER)
    for i in range(len(acts) - 1, -1, -1):
        if ok[i]:
            later_sent[i] = least[of[i]]
            least[of[i]] = min(least[of[i]], sent[i])


@compiled
def _whole(rows: Any, owner: Any, writes: Any, slots: Any, acts: Any, kind: Any) -> Any:
    found = np.full(len(rows), -1, np.int64)
    for i in range(len(rows)):
        row = rows[i]
        op = place_of(writes, slots, row["write"])
        if op < 0 or kind[op] == DELETE or row["owner"] != owner[i]:
            continue
        act = acts[op]
        if row["line"] < act["line"]:  # nobody had acted yet
            continue
        blob = row["blob"]
        plain = blob in (np.uint64(0), _OK_BLOB, _NO_BLOB)
        if plain and row["hash"] == act["hash"] and row["record"] == act["record"] and row["owner"] == act["owner"]:
            found[i] = op
    return found

"""Records that need no closer look, found in columns: one chain of acknowledged writes, and its end at every door.

This is no second set of rules. A record is dismissed here only under conditions so plain that the exact rule cannot
find anything (tests hold the verdict with and without it against each other); every other record, and all that is odd,
goes to `verdict.judge` line by line. What is dismissed still counts: `Counts` has the counts.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from chaos.checks.bulk.caches import doubt_caches
from chaos.checks.bulk.columns.attempts import DELETE, NEVER, OK, RESET, Operations
from chaos.checks.bulk.columns.compiled import compiled
from chaos.checks.bulk.columns.hashes import hash_of, numbered, paired
from chaos.checks.bulk.columns.scan import Columns, DoorLine, IrregularError
from chaos.checks.bulk.columns.tables import CACHED
from chaos.checks.bulk.records import Records, Rules


class Doors:
    """The judged rounds of the final reads of each owner.

    Attributes:
        irregular: Hashes of owners with a door that was not read twice alike: all of theirs needs a closer look.
        count: By owner the number of doors; `begun` the earliest judged read.
        weight: By line with rows, how many judged doors showed exactly these; `shown_at` when the first round had.
        read: By owner the (step, door) that were read.
    """

    def __init__(self, lines: list[DoorLine]) -> None:
        rounds: dict[tuple[str, int, str], list[DoorLine]] = {}
        self.shown_at: dict[int, int] = {}
        for line in lines:
            rounds.setdefault((line.owner, line.step, line.door), []).append(line)
            self.shown_at[line.rows_of] = min(self.shown_at.get(line.rows_of, line.t), line.t)
        self.irregular: set[str] = set()
        self.count: Counter[str] = Counter()
        self.begun: dict[str, int] = {}
        self.weight: Counter[int] = Counter()
        self.read: dict[str, set[tuple[int, str]]] = {}
        for (owner, step, door), of_door in rounds.items():
            last = of_door[-1]
            alike = len(of_door) > 1 and last.settled and last.digest == of_door[-2].digest
            if not alike or not all(one.ok for one in of_door) or not _one_after_the_other(of_door):
                self.irregular.add(owner)
            self.count[owner] += 1
            self.begun[owner] = min(self.begun.get(owner, last.invoked), last.invoked)
            self.read.setdefault(owner, set()).add((step, door))
            if last.rows_of >= 0:
                self.weight[last.rows_of] += 1


def _one_after_the_other(rounds: list[DoorLine]) -> bool:
    ended = 0
    for number, one in enumerate(rounds, 1):
        if one.round != number or not ended <= one.invoked <= one.t < NEVER:
            return False
        ended = one.t
    return True


def look(columns: Columns, operations: Operations, rules: Rules) -> tuple[Records, Doors]:
    """Find the records that need a closer look among those of some owners; the others are as they must be.

    Raises:
        IrregularError: The history contradicts itself.
    """
    records = Records(operations, rules)
    doors = Doors(columns.doors)
    rows = columns.tables["row"]
    # What one read returned stands together.
    line = rows["line"]
    begin = np.flatnonzero(np.concatenate((np.ones(min(1, len(line)), np.bool_), line[1:] != line[:-1])))
    length = np.diff(np.append(begin, len(line)))
    lines = sorted(columns.doors, key=lambda door: door.line)
    door = _of_lines(np.array([each.line for each in lines], np.int64), line[begin])
    answer = _of_lines(operations.answer_line, line[begin])
    if np.any((door < 0) & (answer < 0)):
        raise IrregularError("rows without a read")
    attempt = _at(operations.answer, answer)
    act = _at(operations.of, attempt)
    if np.any(_at(operations.kind, act, RESET) <= DELETE):
        raise IrregularError("rows of a write")
    owners = np.array([hash_of(each.owner) for each in lines], np.uint64)
    of_row = np.repeat(np.where(door >= 0, _at(owners, door), _at(operations.acts["owner"], act)), length)
    op = records.whole(rows, of_row)
    records.note(rows, op, of_row)
    _at_doors(records, doors, lines, op, np.repeat(door, length))
    _in_the_load(records, op, attempt, length, columns.tables["gone"])
    return records, doors


def _at(values: Any, places: Any, otherwise: int = -1) -> Any:
    """The values at these places, another one for the place -1."""
    return np.append(values, np.array([otherwise]).astype(values.dtype))[places]


def _of_lines(lines: Any, wanted: Any) -> Any:
    """For each wanted line its place among lines in order, -1 where it is not there."""
    if not len(lines) or not len(wanted):
        return np.full(len(wanted), -1)
    place = np.minimum(np.searchsorted(lines, wanted), len(lines) - 1)
    return np.where(lines[place] == wanted, place, -1)


def _at_doors(records: Records, doors: Doors, lines: list[DoorLine], op: Any, door: Any) -> None:
    """Every record must be at all doors of its owner with the version that it ends with, or at none if deleted."""
    weight = np.array([doors.weight[line.line] for line in lines], np.int64)
    at = np.array([doors.shown_at[line.rows_of] for line in lines], np.int64)
    shown = _shown(op, door, weight, at, records.of, records.ok, records.sent, records.final, records.doubtful)
    number, first = numbered(records.owner)
    by_hash = {hash_of(owner): owner for owner in doors.count}
    known = [by_hash.get(name) for name in records.owner[first].tolist()]
    count = np.array([doors.count[o] if o is not None else -1 for o in known], np.int64)
    begun = np.array([doors.begun[o] if o is not None else -1 for o in known], np.int64)
    usual = np.array([o is not None and o not in doors.irregular for o in known], np.bool_)
    if records.size:
        must = (records.final >= 0) & ~records.deleted
        wrong = np.where(must, shown != count[number], shown != 0)
        records.doubtful |= wrong | ~usual[number] | (begun[number] < records.over)


@compiled
def _shown(
    op: Any, door: Any, weight: Any, at: Any, of: Any, ok: Any, sent: Any, final: Any, doubtful: Any
) -> Any:  # fmt: skip
    """At how many judged doors each record is; doubts those there twice, too early, or with another version."""
    shown = np.zeros(len(final), np.int64)
    met = np.full(len(final), -1, np.int64)
    for i in range(len(op)):
        if op[i] < 0 or door[i] < 0:
            continue
        record = of[op[i]]
        judged = weight[door[i]] > 0
        early = at[door[i]] < sent[op[i]]
        if early or not ok[op[i]] or met[record] == door[i] or (judged and final[record] != op[i]):
            doubtful[record] = True
        met[record] = door[i]
        shown[record] += weight[door[i]]
    return shown


def _in_the_load(records: Records, op: Any, attempt: Any, length: Any, gone: Any) -> None:
    """What reads of the load showed: whole copies, none before it was sent, none that may be stale, none missing.

    Args:
        records: The records.
        op: For each row the operation of which it is a whole copy.
        attempt: For each read the attempt that it was, -1 for a final read.
        length: How many rows each read returned.
        gone: What reads reported deleted.
    """
    operations = records.operations
    serves = (operations.outcome == OK) & ((operations.flags & CACHED) == 0)
    shown = np.flatnonzero(np.repeat(_at(serves, attempt, 0), length) & (op >= 0))
    op, attempt = op[shown], np.repeat(attempt, length)[shown]
    record = records.of[op]
    early = operations.back[attempt] < records.sent[op]
    stale = records.later_sent[op] < operations.sent[attempt]
    records.doubt(record[~records.ok[op] | early | stale])
    place = _of_lines(operations.answer_line, gone["line"])
    if np.any(place < 0):
        raise IrregularError("names without a read")
    by = operations.answer[place]
    absent = records.find(paired(operations.acts["owner"][operations.of[by]], gone["record"]))
    absent, by = absent[absent >= 0], by[absent >= 0]
    records.doubt(absent[operations.back[by] < records.until[absent]])
    doubt_caches(records, record, attempt)

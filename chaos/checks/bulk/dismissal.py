"""Sorts the records of some users: dismissed ones are counted, the others go to the exact rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from chaos.checks.bulk.columns.attempts import DELETE, RESET, Operations, operations_of
from chaos.checks.bulk.columns.excerpt import WHOLE, Excerpt
from chaos.checks.bulk.columns.hashes import hash_of, indexed, places_of
from chaos.checks.bulk.columns.scan import Columns
from chaos.checks.bulk.columns.tables import entries
from chaos.checks.bulk.dismissed import counted
from chaos.checks.bulk.plain import Doors, look
from chaos.checks.bulk.records import Records, Rules
from chaos.checks.conditions.coverage import not_read
from chaos.checks.counts import Counts


@dataclass(slots=True)
class Taken:
    """The result for some users.

    Attributes:
        wanted: The lines that need a closer look; `counts` are those of the rest.
        foreign: Names of records and write ids that are asked about and are nobody's here.
        operations: How many acts there are.
    """

    wanted: Excerpt
    counts: Counts
    foreign: Any
    operations: int


@dataclass(slots=True)
class _Share:
    operations: Operations
    records: Records
    doors: Doors
    columns: Columns


def look_at(path: Path, columns: Columns, rules: Rules, asked: Any = ()) -> Taken:
    """Look at some owners.

    Args:
        path: The history, for the names behind the hashes.
        columns: All that is theirs.
        rules: Settings that the columns need.
        asked: Names and write ids of which the records need a closer look.

    Raises:
        IrregularError: The history contradicts itself.
    """
    tables = columns.tables
    operations = operations_of(tables["act"], tables["send"], tables["back"])
    records, doors = look(columns, operations, rules)
    if len(asked):
        records.doubt_asked(asked)
    foreign = records.close()
    with _names(path) as names:
        counts = counted(records, names)
    wanted = _taken(_Share(operations, records, doors, columns), counts)
    return Taken(wanted, counts, foreign, len(tables["act"]["op"]))


@contextmanager
def _names(path: Path) -> Iterator[Callable[[int], tuple[str, str]]]:
    """What tells the owner and the device of the act in a line."""
    with path.open("rb") as file:

        def names(line: int) -> tuple[str, str]:
            file.seek(line)
            act = orjson.loads(file.readline())
            return act["owner"], act["device"]

        yield names


def _taken(share: _Share, counts: Counts) -> Excerpt:
    """The records that cannot be dismissed; users without any are only counted, with their doors."""
    operations, records, columns = share.operations, share.records, share.columns
    acts = operations.acts
    involved = records.involved()
    chosen = np.zeros(len(operations.first), np.bool_)
    chosen[records.op[records.doubtful[records.of]]] = True
    chosen |= operations.kind == RESET
    chosen |= (operations.kind > DELETE) & np.isin(acts["owner"], involved)
    some = chosen[operations.of]
    wanted = Excerpt()
    wanted.lines.update(acts["line"][chosen].tolist(), operations.send_line[some].tolist())
    answered = operations.back_line[some]
    wanted.lines.update(answered[answered >= 0].tolist())
    kept = _rows(share)
    for line in _with_rows(columns.tables["row"]["line"], wanted.lines):
        wanted.thinned[line] = kept.get(line, ())
        wanted.lines.discard(line)
    clean = _clean_owners(share, counts, set(involved.tolist()))
    for door in columns.doors:
        if door.owner in clean:
            continue
        if door.rows_of < 0 or not door.ok:  # one that does not count is read whole: its rows tell why
            wanted.lines.add(door.line)
        else:
            wanted.thinned[door.line] = kept.get(door.rows_of, ())
    return wanted


def _with_rows(lines: Any, wanted: set[int]) -> list[int]:
    """Those of some lines that have rows."""
    some = np.array(sorted(wanted), np.int64)
    met = np.zeros(len(some) + 1, np.bool_)
    met[places_of(some, indexed(some), lines)] = True
    found: list[int] = some[met[:-1]].tolist()
    return found


def _rows(share: _Share) -> dict[int, Any]:
    """The rows that are about doubtful records, or odd, by line; WHOLE where they have no places of their own."""
    records = share.records
    found: dict[int, Any] = {}
    for table, op in records.rows:
        keep = op < 0
        keep[~keep] = records.doubtful[records.of[op[~keep]]]
        for row in entries(table, np.flatnonzero(keep)):
            found.setdefault(int(row["line"]), []).append(int(row["at"]))
    for line, rows in found.items():
        found[line] = WHOLE if min(rows) < 0 else sorted(rows)
    return found


def _clean_owners(share: _Share, counts: Counts, involved: set[int]) -> set[str]:
    """Owners whose every record is plain and every door was read: their doors are only counted."""
    doors = share.doors
    clean = {
        owner
        for owner in doors.count
        if owner in counts.acknowledged
        and owner not in doors.irregular
        and hash_of(owner) not in involved
        and not not_read(counts.devices.get(owner, ()), share.records.rules.copies, doors.read[owner])
    }
    for owner in clean:
        counts.covered += counts.acknowledged.pop(owner)
        counts.devices.pop(owner, None)
        counts.doors += doors.count[owner]
        counts.steps.update(step for step, _ in doors.read[owner])
    return clean

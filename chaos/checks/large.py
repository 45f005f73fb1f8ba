"""The verdict on a history file of any size.

Columns first (`plain.py`): they dismiss the records that are plainly as they must be. What is left goes through the
exact reader and the exact rule as a history of its own. Where the columns meet anything that they do not understand,
the exact reader reads the whole file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chaos.checks.beside import Beside
from chaos.checks.coverage import not_read
from chaos.checks.plain import Doors, Records, Rules, counted, look
from chaos.checks.verdict import Judgement, judge
from chaos.errors import MalformedHistory
from chaos.history.attempts import DELETE, RESET, Operations, operations_of
from chaos.history.columns import Columns, IrregularError, scan
from chaos.history.excerpt import WHOLE, Excerpt, excerpt_of
from chaos.history.layout import hash_of
from chaos.history.model import INFINITY, History
from chaos.history.reader import read_history, read_lines


def judge_file(path: Path) -> tuple[History, Judgement]:
    """Read and judge a history.

    Returns:
        That part of the history which was judged line by line, with all its faults, phases and notes; and the verdict.

    Raises:
        MalformedHistory: It is missing, cut short, not of this format, or contradicts itself.
        HarnessError: The check itself failed.
    """
    try:
        history, beside = _looked(path)
    except (IrregularError, MalformedHistory, OSError, ValueError):
        # Whatever is wrong, the exact reader says it with its place; or nothing is.
        history, beside = read_history(path), Beside()
    return history, judge(history, beside)


def _looked(path: Path) -> tuple[History, Beside]:
    columns = scan(path, 0, path.stat().st_size)
    others = dict(columns.others)
    frame = _frame(path, columns)
    rules = _rules(frame)
    if rules is None:
        raise IrregularError("every record needs a closer look")
    share = look_at(columns, rules)
    names = Names(path)
    wanted, beside = take(share, names)
    history = read_lines(path, excerpt_of(path, wanted, others))
    history.operations = len(columns.tables["act"]["op"])
    return history, beside


@dataclass(slots=True)
class Share:
    """Some owners, looked at."""

    operations: Operations
    records: Records
    doors: Doors
    columns: Columns


def look_at(columns: Columns, rules: Rules) -> Share:
    """Look at the records of some owners."""
    tables = columns.tables
    operations = operations_of(tables["act"], tables["send"], tables["back"])
    records, doors = look(columns, operations, rules)
    return Share(operations, records, doors, columns)


class Names:
    """Texts behind hashes, read from a line that has them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def of(self, hashes: Any, lines: Any, field: str) -> Callable[[Any], list[str]]:
        """A function from hashes to texts; each is read once from one of its lines."""
        import orjson

        known, first = np.unique(hashes, return_index=True)
        texts: dict[int, str] = {}
        with self._path.open("rb") as file:
            for name, line in zip(known.tolist(), lines[first].tolist(), strict=True):
                file.seek(line)
                texts[name] = orjson.loads(file.readline())[field]
        return lambda wanted: [texts[each] for each in wanted.tolist()]


def take(share: Share, names: Names) -> tuple[Excerpt, Beside]:
    """What needs a closer look, and the counts of the rest."""
    operations, records, doors, columns = share.operations, share.records, share.doors, share.columns
    acts = operations.acts
    owner_name = names.of(acts["owner"], acts["line"], "owner")
    device_name = names.of(acts["device"], acts["line"], "device")
    beside = counted(records, owner_name, device_name)
    involved = records.involved()
    chosen = np.zeros(len(operations.first), np.bool_)
    chosen[records.op[records.doubtful[records.of]]] = True
    chosen |= acts["kind"] == RESET
    chosen |= (acts["kind"] > DELETE) & np.isin(acts["owner"], involved)
    some = chosen[operations.of]
    wanted = Excerpt()
    wanted.lines.update(acts["line"][chosen].tolist(), operations.send_line[some].tolist())
    answered = operations.back_line[some]
    wanted.lines.update(answered[answered >= 0].tolist())
    kept = _rows(share)
    with_rows = set(np.unique(columns.tables["row"]["line"]).tolist())
    for line in wanted.lines & with_rows:
        wanted.thinned[line] = kept.get(line, ())
    wanted.lines -= with_rows
    clean = _clean_owners(share, beside, set(involved.tolist()))
    for door in columns.doors:
        if door.owner in clean:
            continue
        if door.rows_of < 0:
            wanted.lines.add(door.line)
        else:
            wanted.thinned[door.line] = kept.get(door.rows_of, ())
    return wanted, beside


def _rows(share: Share) -> dict[int, Any]:
    """The rows that are about doubtful records, or odd, by line; WHOLE where they have no places of their own."""
    records = share.records
    found: dict[int, Any] = {}
    for line, at, end, op in records.rows:
        keep = op < 0
        keep[~keep] = records.doubtful[records.of[op[~keep]]]
        for one, begin, ended in zip(line[keep].tolist(), at[keep].tolist(), end[keep].tolist(), strict=True):
            found.setdefault(one, []).append((begin, ended))
    for line, rows in found.items():
        found[line] = WHOLE if any(begin < 0 for begin, _ in rows) else sorted(rows)
    return found


def _clean_owners(share: Share, beside: Beside, involved: set[int]) -> set[str]:
    """Owners whose every record is plain and every door was read: their doors are only counted."""
    doors = share.doors
    clean = {
        owner
        for owner in doors.count
        if owner in beside.acknowledged
        and owner not in doors.irregular
        and hash_of(owner) not in involved
        and not not_read(beside.devices.get(owner, ()), doors.read[owner])
    }
    for owner in clean:
        beside.covered += beside.acknowledged.pop(owner)
        beside.devices.pop(owner, None)
        beside.doors += doors.count[owner]
        beside.steps.update(step for step, _ in doors.read[owner])
    return clean


def _frame(path: Path, columns: Columns) -> History:
    """Header, faults, phases and notes, read exactly; and that nothing is missing at the end."""
    others = columns.others
    if not others or others[0][0] != 0:
        raise IrregularError("no header")
    frame = read_lines(path, excerpt_of(path, Excerpt(), dict(others)))
    import orjson

    if orjson.loads(others[-1][1]).get("events") != columns.lines - 1:
        raise IrregularError("cut short")
    last = max([int(t["line"].max(initial=0)) for t in columns.tables.values()] + [d.line for d in columns.doors] + [0])
    if last > others[-1][0]:
        raise IrregularError("a line after the end")
    return frame


def _rules(frame: History) -> Rules | None:
    """What the columns must know; None where no record can be dismissed by itself."""
    header = frame.header
    if any(event.exceeds for event in frame.faults):
        return None
    if not any(phase.name == "load" and phase.happened == "begun" for phase in frame.phases):
        return None
    injected = [event for event in frame.faults if event.happened == "injected"]
    struck: dict[int, int] = {}
    for event in injected:
        struck.setdefault(event.index, event.t)
    return Rules(
        conditional=header.policy != "last-writer-wins",
        keyed=header.idempotency == "keyed",
        struck=tuple(struck.items()),
        first_struck=injected[0].t if injected else INFINITY - 1,
    )

"""A history as columns: what can be decided about many records at once, with the places of the lines it came from.

Whole blocks of lines go through `layout.py`; lines of a shape that the recorder does not write go one by one through
the JSON parser. Whatever is doubtful raises `IrregularError`: then the exact reader reads the file, and says what is
wrong with it, if anything is. Nothing is ever refused or believed on the word of the columns alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from chaos.history.layout import Block, hash_of
from chaos.history.pieces import CACHED, FIELDS, FULL, OPERATIONS, REQUIRED, TYPES, USUAL, Known, Pieces, marks_of

BLOCK_BYTES: Final = 4 << 20


class IrregularError(Exception):
    """The history is not what the recorder writes, or contradicts itself: the exact reader has to look at it."""


Table = dict[str, Any]
"""Columns of equal length by name: texts as hashes (uint64, 0 where absent), numbers as int64."""


@dataclass(slots=True)
class DoorLine:
    """One round of a final read.

    `rows_of` is the line that has its rows, -1 if there are none; it is another line where the text is the same. Equal
    `digest`s mean equal rows wherever they were read.
    """

    line: int
    end: int
    step: int
    door: str
    owner: str
    round: int
    invoked: int
    t: int
    ok: bool
    settled: bool
    rows_of: int
    digest: bytes


@dataclass(slots=True)
class Columns:
    """A part of a history, or all of it."""

    tables: dict[str, Table] = field(default_factory=dict)
    doors: list[DoorLine] = field(default_factory=list)
    others: list[tuple[int, bytes]] = field(default_factory=list)
    lines: int = 0

    @property
    def last_line(self) -> int:
        """Where the last line begins that is an operation or a final read."""
        places = [int(table["line"].max(initial=0)) for table in self.tables.values()]
        return max(*places, *(door.line for door in self.doors), 0)


def scan(path: Path, begin: int, end: int) -> Columns:
    """Take apart the lines of a file from one place to another; both must be begins of lines.

    Raises:
        IrregularError: A line is not what the recorder writes.
        OSError: The file cannot be read.
    """
    scanner = _Scanner()
    with path.open("rb", buffering=0) as file:
        file.seek(begin)
        rest, at = b"", begin
        while at + len(rest) < end:
            read = file.read(min(BLOCK_BYTES, end - at - len(rest)))
            if not read:
                raise IrregularError("shorter than it was")
            content = rest + read
            cut = content.rfind(b"\n") + 1
            if cut:
                scanner.block(content[:cut], at)
            elif len(content) > 16 * BLOCK_BYTES:
                raise IrregularError("a very long line")
            rest, at = content[cut:], at + cut
    if rest:
        raise IrregularError("the last line has no end")
    return scanner.columns()


class _Scanner:
    def __init__(self) -> None:
        self._layouts: dict[tuple[int, int], list[Known]] = {}
        self._parts: dict[str, list[Table]] = {tag: [] for tag in TYPES}
        self._slow: dict[str, list[dict[str, int]]] = {tag: [] for tag in TYPES}
        self._rows_at: dict[tuple[str, bytes], int] = {}
        self._found = Columns()

    def columns(self) -> Columns:
        """Everything that was taken apart."""
        for tag, slow in self._slow.items():
            if slow:
                self._parts[tag].append(
                    {n: np.array([one.get(n, 0) for one in slow], t) for n, t in TYPES[tag].items()}
                )
            self._found.tables[tag] = joined(tag, self._parts[tag])
        return self._found

    def block(self, content: bytes, at: int) -> None:
        """Take whole lines that begin at a place of the file."""
        marks = marks_of(np.frombuffer(content, np.uint8))
        ends = marks.ends
        begins = np.concatenate((np.zeros(1, np.int64), ends[:-1] + 1))
        self._found.lines += len(ends)
        rest, with_rows = self._apart(content, begins, ends, at)
        pieces = Pieces(rest, begins, with_rows, marks if rest is content else None)
        pieces.match(self._layouts)
        for tag, piece, values in pieces.taken:
            good = ~pieces.bad[pieces.line_of[piece]]
            self._keep(tag, piece, values, good, pieces, begins, at)
        for number in np.flatnonzero(pieces.bad).tolist():
            line = content[begins[number] : ends[number]]
            if number in with_rows:
                self._rows(orjson.loads(b"[" + line[with_rows[number] - int(begins[number]) : -2] + b"]"),
                           at + int(begins[number]), at + with_rows[number], line)  # fmt: skip
            else:
                self._line(line, at + int(begins[number]))

    def _apart(self, content: bytes, begins: Any, ends: Any, at: int) -> tuple[bytes, dict[int, int]]:
        """Handle the lines that are no operation, and blank them out but for rows that were not met before.

        Returns:
            The block, and for each line with such rows the place of the first one.
        """
        words = Block(content).words(begins + 10) & np.uint64(0xFFFFFFFF)
        usual = np.isin(words, USUAL)
        special = np.flatnonzero(~usual).tolist()
        if not special:
            return content, {}
        rest, with_rows = bytearray(content), {}
        for number in special:
            begin, end = int(begins[number]), int(ends[number])
            line = content[begin:end]
            keep = 0
            if line.startswith(b'{"event":"door",'):
                keep = self._door(line, at + begin)
            elif (
                line.startswith((b'{"event":"act"', b'{"event":"send"', b'{"event":"back"'))
                or b'"event":"door"' in line
            ):
                raise IrregularError("an operation in another shape")
            else:
                self._found.others.append((at + begin, line))
            if keep:
                with_rows[number] = begin + keep
                rest[begin : begin + keep] = b" " * (keep - 1) + b"\n"
            else:
                rest[begin:end] = b" " * (end - begin)
        return bytes(rest), with_rows

    def _door(self, line: bytes, at: int) -> int:
        """Note a final read; returns where its rows begin, if they have to be taken apart."""
        head, opening, rows = line.partition(b'"rows":[{')
        try:
            event = orjson.loads(head + b'"rows":[]}' if opening else line)
        except orjson.JSONDecodeError:
            raise IrregularError("a final read that is no JSON") from None
        if opening and not rows.endswith(b"}]}"):
            raise IrregularError("a final read in another shape")
        digest = (str(event.get("owner")), blake2b(rows, digest_size=16).digest())
        rows_of = self._rows_at.setdefault(digest, at) if opening else -1
        try:
            door = DoorLine(
                at, at + len(line), event["step"], event["door"], event["owner"], event["round"], event["invoked"],
                event["t"], event["outcome"] == "ok", event.get("settled", False), rows_of, digest[1],
            )  # fmt: skip
        except KeyError:
            raise IrregularError("a final read without a field") from None
        if any(type(value) is not int for value in (door.step, door.round, door.invoked, door.t)):
            raise IrregularError("a final read with a field of another type")
        if type(door.door) is not str or type(door.owner) is not str or type(door.settled) is not bool:
            raise IrregularError("a final read with a field of another type")
        self._found.doors.append(door)
        return len(head) + len(opening) - 1 if opening and rows_of == at else 0

    def _keep(self, tag: str, piece: Any, values: Any, good: Any, pieces: Pieces, begins: Any, at: int) -> None:
        """Columns of the pieces of one layout, except of lines that are read by themselves."""
        if not good.any():
            return
        lines = at + begins[pieces.line_of[piece]]
        own: Table = {"line": lines}
        if tag == "row":
            own["at"], own["end"] = at + pieces.begins[piece], at + pieces.ends[piece]
        if tag == "back":
            own["flags"] = np.full(len(piece), values.flags, np.int64)
        columns = {**values.columns, **own}
        zeros = np.zeros(len(piece), np.int64)
        part = {n: columns.get(n, zeros).astype(t, copy=False)[good] for n, t in TYPES[tag].items()}
        self._parts[tag].append(part)
        for gone in (values.columns.get("gone"), *values.more.get("gone", ())):
            if gone is not None:
                self._parts["gone"].append({"line": lines[good], "record": gone[good]})

    def _line(self, line: bytes, at: int) -> None:
        """One line of an operation that the recorder would have written in another way, or with escapes."""
        try:
            event = orjson.loads(line)
            tag = event["event"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise IrregularError("no event") from None
        if tag not in OPERATIONS or not REQUIRED[tag] <= set(event) <= FIELDS[tag]:
            raise IrregularError("a line with other fields")
        own = {"line": at, "flags": CACHED * (event.get("cached") is True) + FULL * (event.get("full") is True)}
        self._slow[tag].append({**own, **_plain(tag, event)})
        self._rows(event.get("rows", []), at, at, line)
        for record in event.get("gone", []):
            if type(record) is not str:
                raise IrregularError("gone is no list of texts")
            self._slow["gone"].append({"line": at, "record": hash_of(record)})

    def _rows(self, rows: Any, at: int, first: int, line: bytes) -> None:
        """Rows that are read one by one; their places are those of the line, so none of them is ever left out."""
        if type(rows) is not list:
            raise IrregularError("rows is no list")
        for row in rows:
            if type(row) is not dict or not REQUIRED["row"] <= set(row) or row.get("stamps") not in (None, []):
                row = {"record": "", "owner": "", "write": "", "hash": "", **(row if type(row) is dict else {})}
                row["blob"] = "odd"
            self._slow["row"].append({"line": at, "at": -1, "end": -1, **_plain("row", row)})


def _plain(tag: str, event: Mapping[str, Any]) -> dict[str, int]:
    """The values of one event that the columns hold."""
    found: dict[str, int] = {}
    for name, of in TYPES[tag].items():
        value = event.get(name)
        if value is None or name in ("line", "at", "end", "flags"):
            continue
        if of is np.uint64:
            if type(value) is not str:
                raise IrregularError(f"{name} is no text")
            found[name] = hash_of(value.encode("utf-8", "surrogatepass").decode("utf-8", "replace"))
        else:
            if type(value) is not int or not 0 <= value < 1 << 62:
                raise IrregularError(f"{name} is no number")
            found[name] = value
    return found


def joined(tag: str, parts: list[Table]) -> Table:
    """Several tables of one kind as one."""
    return {
        name: np.concatenate([part[name] for part in parts]) if parts else np.empty(0, of)
        for name, of in TYPES[tag].items()
    }

"""A history as columns: what can be decided about many records at once, with the places of the lines it came from.

Lines of operations go through `lines.py`; those of a shape that the recorder does not write go one by one through
the JSON parser. Whatever is doubtful raises `IrregularError`: then the exact reader reads the file, and says what is
wrong with it, if anything is. Nothing is ever refused or believed on the word of the columns alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha1
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from chaos.checks.bulk.columns.hashes import hash_of
from chaos.checks.bulk.columns.lines import BEYOND, SPEC, operations_at, rows_at
from chaos.checks.bulk.columns.tables import CACHED, DTYPES, FIELDS, FULL, NUMBERS, OPERATIONS, REQUIRED, TYPES
from chaos.history.events import DoorRead, is_unasked

BLOCK_BYTES: Final = 4 << 20
_DOOR_FIELDS: Final = frozenset(part.name for part in dataclasses.fields(DoorRead)) | {"event"}
_LEAST: Final = {"act": 64, "send": 32, "back": 40, "row": 40, "gone": 16}
"""Bytes that one entry of each table takes at least; a line with shorter names gone is read by itself."""


class IrregularError(Exception):
    """The history is not what the recorder writes, or contradicts itself: the exact reader has to look at it."""


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

    tables: dict[str, Any] = field(default_factory=dict)
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
    scanner, at = _Scanner(end - begin), begin
    content, filled = bytearray(BLOCK_BYTES + BEYOND), 0
    with path.open("rb", buffering=0) as file:
        file.seek(begin)
        while at + filled < end:
            if filled == len(content) - BEYOND:
                if filled > 16 * BLOCK_BYTES:
                    raise IrregularError("a very long line")
                content = content + bytes(filled)
            room = memoryview(content)[filled : min(len(content) - BEYOND, filled + end - at - filled)]
            if not (read := file.readinto(room)):
                raise IrregularError("shorter than it was")
            filled += read
            cut = content.rfind(b"\n", 0, filled) + 1
            if cut:
                scanner.block(content, cut, at)
                content[: filled - cut] = content[cut:filled]
                filled, at = filled - cut, at + cut
    if filled:
        raise IrregularError("the last line has no end")
    return scanner.columns()


class _Scanner:
    def __init__(self, size: int) -> None:
        """Room for all that so many bytes can hold; what is not used of it takes no memory."""
        sizes = [(size // least + 1) * len(TYPES[tag]) for tag, least in _LEAST.items()]
        self._bounds = np.cumsum(sizes)
        self._begins = np.concatenate((np.zeros(1, np.int64), self._bounds[:-1]))
        self._ends = self._begins.copy()
        self._tables = np.empty(sum(sizes), np.int64)
        self._odd = np.empty((size // len(b'{"event":"act",') + 2, 2), np.int64)
        self._slow: dict[str, list[dict[str, int]]] = {tag: [] for tag in TYPES}
        self._rows_at: dict[tuple[str, bytes], int] = {}
        self._last = (b"", b"")
        self._found = Columns()

    def columns(self) -> Columns:
        """Everything that was taken apart."""
        for tag, begin, end in zip(TYPES, self._begins.tolist(), self._ends.tolist(), strict=True):
            parts = [self._tables[begin:end].view(DTYPES[tag])]
            if slow := self._slow[tag]:
                rows = [tuple(one.get(name, 0) for name in TYPES[tag]) for one in slow]
                parts.append(np.array(rows, DTYPES[tag]))
            self._found.tables[tag] = np.concatenate(parts) if len(parts) > 1 else parts[0]
        return self._found

    def block(self, content: bytearray, end: int, place: int) -> None:
        """Take whole lines, up to an end, that begin at a place of the file."""
        words = np.ndarray((len(content) - 8,), np.uint64, content, 0, (1,))
        self._odd[0], at = 0, 0
        while True:
            at, lines = operations_at(words, at, end, SPEC, place, self._tables, self._bounds, self._ends, self._odd)
            self._found.lines += lines
            if at == end:
                break
            ended = content.index(b"\n", at)
            self._other(bytes(memoryview(content)[at:ended]), words, at, place)
            at = ended + 1
            self._found.lines += 1
        for begun, ended in self._odd[1 : 1 + self._odd[0, 0]].tolist():
            self._line(bytes(memoryview(content)[begun:ended]), place + begun)

    def _other(self, line: bytes, words: Any, begin: int, place: int) -> None:
        """A line that is no operation as the recorder writes them; it begins there in the block at that place."""
        if line.startswith(b'{"event":"door",'):
            self._door(line, words, begin, place)
        elif line.startswith((b'{"event":"act"', b'{"event":"send"', b'{"event":"back"')) or b'"event":"door"' in line:
            raise IrregularError("an operation in another shape")
        else:
            self._found.others.append((place + begin, line))

    def _door(self, line: bytes, words: Any, begin: int, place: int) -> None:
        """Note a final read, and take its rows if they were not met before."""
        at = place + begin
        head, opening, rows = line.partition(b'"rows":[{')
        try:
            event = orjson.loads(head + b'"rows":[]}' if opening else line)
        except orjson.JSONDecodeError:
            raise IrregularError("a final read that is no JSON") from None
        if opening and not rows.endswith(b"}]}"):
            raise IrregularError("a final read in another shape")
        if rows != self._last[0]:  # most often a second round that showed the same
            self._last = (rows, sha1(rows, usedforsecurity=False).digest())
        digest = (str(event.get("owner")), self._last[1])
        rows_of = self._rows_at.setdefault(digest, at) if opening else -1
        if not _DOOR_FIELDS.issuperset(event) or type(event.get("why", "")) is not str:
            raise IrregularError("a final read with another field")
        counts = [event.get(name) for name in ("asked_bytes", "answered_bytes", "asked_packets")]
        if any(value is not None and (type(value) is not int or value < 0) for value in counts):
            raise IrregularError("a final read with a field of another type")
        ok = event.get("outcome") == "ok" and not is_unasked(counts[0], counts[1], line.count(b'{"record":'), counts[2])
        try:
            door = DoorLine(
                at, at + len(line), event["step"], event["door"], event["owner"], event["round"], event["invoked"],
                event["t"], ok, event.get("settled", False), rows_of, digest[1],
            )  # fmt: skip
        except KeyError:
            raise IrregularError("a final read without a field") from None
        if any(type(value) is not int for value in (door.step, door.round, door.invoked, door.t)):
            raise IrregularError("a final read with a field of another type")
        if type(door.door) is not str or type(door.owner) is not str or type(door.settled) is not bool:
            raise IrregularError("a final read with a field of another type")
        self._found.doors.append(door)
        if rows_of == at:
            first, end = begin + len(head) + len(opening) - 1, begin + len(line) - 1
            if not rows_at(words, first, end, SPEC, at, place, self._tables, self._bounds, self._ends):
                self._rows(orjson.loads(line)["rows"], at)

    def _line(self, line: bytes, at: int) -> None:
        """One line of an operation that the recorder would have written in another way, or with escapes."""
        try:
            event = orjson.loads(line)
            tag = event["event"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise IrregularError("no event") from None
        if tag not in OPERATIONS or not REQUIRED[tag] <= set(event) <= {*FIELDS[tag], "event"}:
            raise IrregularError("a line with other fields")
        if not all(_fits(name, value) for name, value in event.items()):
            raise IrregularError("a field of another type or range")
        own = {"line": at, "flags": CACHED * (event.get("cached") is True) + FULL * (event.get("full") is True)}
        self._slow[tag].append({**own, **_plain(tag, event)})
        self._rows(event.get("rows", []), at)
        for record in event.get("gone", []):
            self._slow["gone"].append({"line": at, "record": hash_of(record)})

    def _rows(self, rows: Any, at: int) -> None:
        """Rows that are read one by one; their places are those of the line, so none of them is ever left out."""
        for row in rows:
            if type(row) is not dict or not REQUIRED["row"] <= set(row):
                raise IrregularError("a row without a field")
            if not set(row) <= set(FIELDS["row"]) or type(row.get("row", "")) is not str:
                row = {**row, "blob": "odd"}
            self._slow["row"].append({"line": at, "at": -1, **_plain("row", row)})


def _fits(name: str, value: object) -> bool:
    """Whether a field of an operation is of its type."""
    if name in NUMBERS:
        return type(value) is int and 0 <= value < 1 << 62
    if name in ("cached", "full"):
        return type(value) is bool
    if name in ("rows", "gone"):
        return type(value) is list and (name == "rows" or all(type(member) is str for member in value))
    return type(value) is str or (name == "base" and value is None)


def _plain(tag: str, event: Mapping[str, Any]) -> dict[str, int]:
    """The values of one event that the columns hold."""
    found: dict[str, int] = {}
    for name, of in TYPES[tag].items():
        value = event.get(name)
        if name in NUMBERS:
            found[name] = value or 0
        elif of is np.uint64 and value is not None:
            if type(value) is not str:
                raise IrregularError(f"{name} is no text")
            found[name] = hash_of(value.encode("utf-8", "surrogatepass").decode("utf-8", "replace"))
    return found

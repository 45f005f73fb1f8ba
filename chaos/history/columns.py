"""A history as columns: what can be decided about many records at once, with the places of the lines it came from.

Whole blocks of lines go through `layout.py`; lines of a shape that the recorder does not write go one by one through
the JSON parser. Whatever is doubtful raises `IrregularError`: then the exact reader reads the file, and says what is
wrong with it, if anything is. Nothing is ever refused or believed on the word of the columns alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from chaos.history.events import TAGS
from chaos.history.layout import Block, Layout, fitting, hash_of, learned

BLOCK_BYTES: Final = 4 << 20
LAYOUTS_MAX: Final = 64
"""Layouts tried on a block before its other lines are read one by one."""

OPERATIONS: Final = ("act", "send", "back")
_U, _I = np.uint64, np.int64
TYPES: Final[Mapping[str, Mapping[str, Any]]] = {
    "act": {
        "line": _I, "op": _I, "t": _I, "session": _U, "device": _U, "owner": _U, "kind": _U, "record": _U, "type": _U,
        "write": _U, "hash": _U, "key": _U, "base": _U, "size_bytes": _I, "outbox": _I,
    },
    "send": {"line": _I, "op": _I, "n": _I, "t": _I, "session": _U},
    "back": {"line": _I, "op": _I, "n": _I, "t": _I, "outcome": _U, "flags": _I},
    "row": {"line": _I, "at": _I, "end": _I, "record": _U, "owner": _U, "write": _U, "hash": _U, "blob": _U},
    "gone": {"line": _I, "record": _U},
}  # fmt: skip
"""The columns of each table: texts as hashes, numbers as they are; `line`, `at` and `end` are places in the file."""

_REQUIRED: Final[Mapping[str, frozenset[str]]] = {
    "act": frozenset(("event", "op", "t", "session", "device", "owner", "kind")),
    "send": frozenset(("event", "op", "n", "t")),
    "back": frozenset(("event", "op", "n", "t", "outcome")),
    "row": frozenset(("record", "owner", "write", "hash")),
}
_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    **{tag: frozenset(f.name for f in dataclasses.fields(TAGS[tag])) | {"event"} for tag in OPERATIONS},
    "row": frozenset(("record", "owner", "write", "hash", "row", "blob", "gone")),
}
_WANTED: Final = {tag: frozenset((*TYPES[tag], "gone")) for tag in _FIELDS}
_RECORD: Final = np.uint64(int.from_bytes(b'record":', "little"))
_USUAL: Final = np.array([int.from_bytes(tag, "little") for tag in (b'act"', b"send", b"back")], np.uint64)
CACHED: Final = 1
FULL: Final = 2

# What a piece of a line is: see `_Pieces`.
_BLANK, _CLOSED, _OPENS, _ROW, _LAST_ROW, _UNKNOWN = range(6)


class IrregularError(Exception):
    """The history is not what the recorder writes, or contradicts itself: the exact reader has to look at it."""


Table = dict[str, Any]
"""Columns of equal length by name: texts as hashes (uint64, 0 where absent), numbers as int64."""


@dataclass(slots=True)
class DoorLine:
    """One round of a final read; `rows_of` is the line that has its rows, which is another one if they are equal."""

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


@dataclass(slots=True)
class Columns:
    """A part of a history, or all of it."""

    tables: dict[str, Table] = field(default_factory=dict)
    doors: list[DoorLine] = field(default_factory=list)
    others: list[tuple[int, bytes]] = field(default_factory=list)
    lines: int = 0


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
        self._layouts: dict[tuple[int, int], list[_Known]] = {}
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
        marks = _marks(np.frombuffer(content, np.uint8))
        ends = marks.ends
        begins = np.concatenate((np.zeros(1, np.int64), ends[:-1] + 1))
        self._found.lines += len(ends)
        rest, with_rows = self._apart(content, begins, ends, at)
        pieces = _Pieces(rest, begins, with_rows, marks if rest is content else None)
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
        usual = np.isin(words, _USUAL)
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
        owner, rows_of = event.get("owner"), at
        if opening:
            digest = (str(owner), blake2b(rows, digest_size=16).digest())
            rows_of = self._rows_at.setdefault(digest, at)
        try:
            door = DoorLine(
                at, at + len(line), event["step"], event["door"], event["owner"], event["round"], event["invoked"],
                event["t"], event["outcome"] == "ok", event.get("settled", False), rows_of if opening else -1,
            )  # fmt: skip
        except KeyError:
            raise IrregularError("a final read without a field") from None
        if any(type(value) is not int for value in (door.step, door.round, door.invoked, door.t)):
            raise IrregularError("a final read with a field of another type")
        if type(door.door) is not str or type(door.owner) is not str or type(door.settled) is not bool:
            raise IrregularError("a final read with a field of another type")
        self._found.doors.append(door)
        return len(head) + len(opening) - 1 if opening and rows_of == at else 0

    def _keep(self, tag: str, piece: Any, values: Any, good: Any, pieces: _Pieces, begins: Any, at: int) -> None:
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
        if tag not in OPERATIONS or not _REQUIRED[tag] <= set(event) <= _FIELDS[tag]:
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
            if type(row) is not dict or not _REQUIRED["row"] <= set(row) or row.get("stamps") not in (None, []):
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


@dataclass(frozen=True, slots=True)
class _Known:
    """A layout of the recorder: of which event, and what a piece of it is."""

    tag: str
    layout: Layout
    piece: int
    flags: int


@dataclass(frozen=True, slots=True)
class _Marks:
    """Where a block's lines end, and where its commas and opening brackets are."""

    ends: Any
    commas: Any
    brackets: Any


def _marks(text: Any) -> _Marks:
    # To look for all at once costs as much as to look for one.
    places = np.flatnonzero((text == 10) | (text == 44) | (text == 91))
    found = text[places]
    return _Marks(places[found == 10], places[found == 44], places[found == 91])


class _Pieces:
    """The lines of a block, cut where a row begins: a piece is an operation up to its rows, or one row.

    The cuts keep every byte in its place: they overwrite the `[` before a first row and the comma between two.
    """

    def __init__(
        self, content: bytes, line_begins: Any, with_rows: Mapping[int, int], marks: _Marks | None = None
    ) -> None:
        self.block = Block(content)
        self._odd = not content.isascii() or b"\\" in content
        text = self.block.bytes
        marks = marks or _marks(text)
        after = self.block.byte(marks.commas + 1)
        between = (after == 123) & (text[marks.commas - 1] == 125)
        opening = marks.brackets[self.block.byte(marks.brackets + 1) == 123]
        # Other commas stand in texts.
        self._commas = marks.commas[(after == 34) | ((after == 123) & ~between)]
        text[opening] = 10
        text[marks.commas[between]] = 10
        self.ends = np.sort(np.concatenate((marks.ends, opening, marks.commas[between])), kind="stable")
        self.begins = np.concatenate((np.zeros(1, np.int64), self.ends[:-1] + 1))
        self.line_of = np.searchsorted(line_begins, self.begins, "right") - 1
        self.bad = np.zeros(len(line_begins), np.bool_)
        self.taken: list[tuple[str, Any, Any]] = []
        self._what = np.full(len(self.begins), _UNKNOWN, np.int8)
        self._quotes = np.zeros(len(self.begins), np.int64)
        blank = self.block.bytes[self.begins] == 32
        self._what[blank] = _BLANK
        if with_rows:
            opening = blank & np.isin(self.ends + 1, np.fromiter(with_rows.values(), np.int64))
            self._what[opening] = _OPENS

    def match(self, layouts: dict[tuple[int, int], list[_Known]]) -> None:
        """Find the layout of every piece; lines of which a piece has none are `bad`."""
        commas = self._commas
        first = np.searchsorted(commas, self.begins)
        count = np.searchsorted(commas, self.ends) - first
        tags = self.block.words(self.begins + 2)
        event = tags != _RECORD
        tags[event] = self.block.words(self.begins[event] + 8)
        left = np.flatnonzero(self._what == _UNKNOWN)
        rounds = 0
        while len(left) and rounds < LAYOUTS_MAX:
            rounds += 1
            number = int(count[left[0]])
            tag = tags[left[0]]
            same = (tags[left] == tag) & (count[left] == number)
            group = left[same]
            bounds = np.empty((len(group), number + 2), np.int64)
            bounds[:, 0] = self.begins[group] - 1
            bounds[:, 1:-1] = commas[first[group][:, None] + np.arange(number)]
            bounds[:, -1] = self.ends[group]
            self._match(group, bounds, layouts.setdefault((int(tag), number), []))
            left = left[~same]
        self._doubt(self._what == _UNKNOWN)
        self._check()

    def _match(self, group: Any, bounds: Any, known: list[_Known]) -> None:
        tried = 0
        while len(group):
            if tried == len(known):
                piece = int(group[0])
                learnt = _recorded(self.block.bytes[int(self.begins[piece]) : int(self.ends[piece])].tobytes())
                if learnt is None or len(known) == LAYOUTS_MAX:
                    group, bounds = group[1:], bounds[1:]
                    if tried == LAYOUTS_MAX or (learnt is None and tried > 0 and len(group) > LAYOUTS_MAX):
                        return
                    continue
                known.append(learnt)
            one = known[tried]
            tried += 1
            values = fitting(self.block, one.layout, bounds, _WANTED[one.tag])
            if not len(values.lines):
                continue
            hit = group[values.lines]
            self._what[hit] = one.piece
            self._quotes[hit] = one.layout.quotes
            values.flags = one.flags
            self.taken.append((one.tag, hit, values))
            keep = np.ones(len(group), np.bool_)
            keep[values.lines] = False
            group, bounds = group[keep], bounds[keep]

    def _doubt(self, pieces: Any) -> None:
        self.bad[self.line_of[pieces]] = True

    def _check(self) -> None:
        """What the layouts do not show: quotes and odd bytes inside of texts, and rows in the wrong place."""
        content = self.block.bytes
        quotes = content == 34
        fits = self._what != _UNKNOWN
        if np.count_nonzero(quotes) != self._quotes.sum() or not fits.all():
            found = np.add.reduceat(quotes, self.begins, dtype=np.int64)
            self._doubt(found != self._quotes)
        if np.count_nonzero(content < 32) != len(self.ends) or self._odd:
            odd = np.flatnonzero(((content < 32) & (content != 10)) | (content > 127) | (content == 92))
            self._doubt(np.searchsorted(self.begins, odd, "right") - 1)
        opens = (self._what == _OPENS) | (self._what == _ROW)
        row = (self._what == _ROW) | (self._what == _LAST_ROW)
        same_line = self.line_of[1:] == self.line_of[:-1]
        expected = np.concatenate((np.zeros(1, np.bool_), opens[:-1] & same_line))
        self._doubt(row != expected)
        self._doubt(opens & ~np.concatenate((same_line, np.zeros(1, np.bool_))))


def _recorded(piece: bytes) -> _Known | None:
    """The layout of a piece as the recorder writes it; None for anything else."""
    layout = learned(piece)
    if layout is None:
        return None
    first, last = layout.fields[0], layout.fields[-1]
    tag = "row" if first.name == "record" else first.before[len('{"event":"') : -1].decode()
    if tag not in _FIELDS or (tag != "row" and first.name != "event"):
        return None
    names = [field.name for field in layout.fields if field.name]
    if len(set(names)) != len(names) or not _REQUIRED[tag] <= set(names) <= _FIELDS[tag]:
        return None
    unnamed = names.index("gone") + 1 if "gone" in names else len(layout.fields)
    for number, field in enumerate(layout.fields):
        if field.name == "" and number < unnamed:
            return None
        wanted = b'"%s":' % field.name.encode() if field.name else b""
        before = field.before.removeprefix(b"{") if number == 0 else field.before
        of = TYPES["row" if tag == "row" else tag].get(field.name)
        texts = field.name in ("row", "by", "why", "outcome", "session") or of is np.uint64
        if field.name in ("event", "rows"):
            right = field.name == "event" or (field is last and before == b'"rows":')
        elif field.name in ("gone", ""):
            right = before == wanted + (b'["' if field.name else b'"') and field.kind == "text"
        elif field.name in ("cached", "full"):
            right = before in (wanted + b"true", wanted + b"true}")
        elif texts:
            right = before == wanted + b'"' and field.kind == "text"
        else:
            right = before == wanted and field.kind == "number"
        if not right:
            return None
    piece_is = _piece(tag, layout, piece)
    flags = CACHED * ("cached" in names) + FULL * ("full" in names)
    return None if piece_is is None else _Known(tag, layout, piece_is, flags)


def _piece(tag: str, layout: Layout, piece: bytes) -> int | None:
    """What the brackets at the end of a piece make of it."""
    closing = [field.after.strip(b'"') for field in layout.fields]
    names = [field.name for field in layout.fields]
    if names[-1] in ("cached", "full") or names[-1] == "rows":
        closing[-1] = b"}" if piece.endswith(b"}") else b""
    if any(closing[: names.index("gone") - 1 if "gone" in names else -1]):
        return None
    gone = "gone" in names
    ending = b"".join(closing)
    if tag == "row":
        if gone:
            before = closing[names.index("gone") - 1]
            return _LAST_ROW if before == b"}]" and closing[-1] == b"]}" and ending == b"}]]}" else None
        return {b"}": _ROW, b"}]}": _LAST_ROW}.get(ending)
    if names[-1] == "rows":
        return _OPENS if tag == "back" and not ending else None
    return _CLOSED if ending == (b"]}" if gone else b"}") else None

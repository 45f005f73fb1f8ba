"""The lines of a block, cut into pieces that layouts fit: an operation up to its rows, or one row."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from chaos.history.events import TAGS
from chaos.history.layout import Block, Layout, fitting, learned

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

REQUIRED: Final[Mapping[str, frozenset[str]]] = {
    "act": frozenset(("event", "op", "t", "session", "device", "owner", "kind")),
    "send": frozenset(("event", "op", "n", "t")),
    "back": frozenset(("event", "op", "n", "t", "outcome")),
    "row": frozenset(("record", "owner", "write", "hash")),
}
FIELDS: Final[Mapping[str, frozenset[str]]] = {
    **{tag: frozenset(f.name for f in dataclasses.fields(TAGS[tag])) | {"event"} for tag in OPERATIONS},
    "row": frozenset(("record", "owner", "write", "hash", "row", "blob", "gone")),
}
_WANTED: Final = {tag: frozenset((*TYPES[tag], "gone")) for tag in FIELDS}
_RECORD: Final = np.uint64(int.from_bytes(b'record":', "little"))
USUAL: Final = np.array([int.from_bytes(tag, "little") for tag in (b'act"', b"send", b"back")], np.uint64)
CACHED: Final = 1
FULL: Final = 2

# What a piece of a line is: see `Pieces`.
_BLANK, _CLOSED, _OPENS, _ROW, _LAST_ROW, _UNKNOWN = range(6)


@dataclass(frozen=True, slots=True)
class Known:
    """A layout of the recorder: of which event, and what a piece of it is."""

    tag: str
    layout: Layout
    piece: int
    flags: int


@dataclass(frozen=True, slots=True)
class Marks:
    """Where a block's lines end, and where its commas and opening brackets are."""

    ends: Any
    commas: Any
    brackets: Any


def marks_of(text: Any) -> Marks:
    """Find them in the bytes of a block."""
    # To look for all at once costs as much as to look for one.
    places = np.flatnonzero((text == 10) | (text == 44) | (text == 91))
    found = text[places]
    return Marks(places[found == 10], places[found == 44], places[found == 91])


class Pieces:
    """The lines of a block, cut where a row begins: a piece is an operation up to its rows, or one row.

    The cuts keep every byte in its place: they overwrite the `[` before a first row and the comma between two.
    """

    def __init__(
        self, content: bytes, line_begins: Any, with_rows: Mapping[int, int], marks: Marks | None = None
    ) -> None:
        self.block = Block(content)
        self._odd = not content.isascii() or b"\\" in content
        text = self.block.bytes
        marks = marks or marks_of(text)
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

    def match(self, layouts: dict[tuple[int, int], list[Known]]) -> None:
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

    def _match(self, group: Any, bounds: Any, known: list[Known]) -> None:
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


def _recorded(piece: bytes) -> Known | None:
    """The layout of a piece as the recorder writes it; None for anything else."""
    layout = learned(piece)
    if layout is None:
        return None
    first, last = layout.fields[0], layout.fields[-1]
    tag = "row" if first.name == "record" else first.before[len('{"event":"') : -1].decode()
    if tag not in FIELDS or (tag != "row" and first.name != "event"):
        return None
    names = [field.name for field in layout.fields if field.name]
    if len(set(names)) != len(names) or not REQUIRED[tag] <= set(names) <= FIELDS[tag]:
        return None
    unnamed = names.index("gone") + 1 if "gone" in names else len(layout.fields)
    for number, part in enumerate(layout.fields):
        if part.name == "" and number < unnamed:
            return None
        wanted = b'"%s":' % part.name.encode() if part.name else b""
        before = part.before.removeprefix(b"{") if number == 0 else part.before
        of = TYPES["row" if tag == "row" else tag].get(part.name)
        texts = part.name in ("row", "by", "why", "outcome", "session") or of is np.uint64
        if part.name in ("event", "rows"):
            right = part.name == "event" or (part is last and before == b'"rows":')
        elif part.name in ("gone", ""):
            right = before == wanted + (b'["' if part.name else b'"') and part.kind == "text"
        elif part.name in ("cached", "full"):
            right = before in (wanted + b"true", wanted + b"true}")
        elif texts:
            right = before == wanted + b'"' and part.kind == "text"
        else:
            right = before == wanted and part.kind == "number"
        if not right:
            return None
    piece_is = _piece(tag, layout, piece)
    flags = CACHED * ("cached" in names) + FULL * ("full" in names)
    return None if piece_is is None else Known(tag, layout, piece_is, flags)


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

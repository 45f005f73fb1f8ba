"""Lines of operations taken apart, as fast as they can be looked at: from bytes to columns in one pass.

The recorder writes every event with its fields in one order and nothing between them. A line that reads exactly so is
JSON by construction, with every field known, at most once, and of its type; its values go to the tables. Any other
line is handed back to be read by itself. So nothing is believed here that a JSON parser would refuse.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from chaos.checks.bulk.columns.compiled import compiled, inlined
from chaos.checks.bulk.columns.hashes import SEED, mixed
from chaos.checks.bulk.columns.tables import CACHED, FIELDS, FULL, NUMBERS, OPERATIONS, REQUIRED, TYPES

BEYOND: Final = 32
"""So far beyond the end of a block it is looked at."""

U = np.uint64
_TEXT, _NUMBER, _FLAG = range(3)
_ROW: Final = len(OPERATIONS)
_SKIPPED: Final = -1
_ROW_WIDTH: Final = len(TYPES["row"])


def _word(text: bytes) -> int:
    return int.from_bytes(text[:8], "little")


def _fields() -> tuple[Any, Any, Any, Any]:
    """What to look for.

    Returns:
        Per field two words and their masks; its length, kind, column and whether it is required; where the fields of
        each tag begin; and how many columns its table has.
    """
    words, numbers, bounds = [], [], [0]
    for tag in (*OPERATIONS, "row"):
        for bit, name in enumerate(FIELDS[tag]):
            if name in ("rows", "gone"):
                continue
            kind = _FLAG if name in ("cached", "full") else _NUMBER if name in NUMBERS else _TEXT
            text = b'%b"%b":%b' % (
                b"{" if tag == "row" and bit == 0 else b",", name.encode(), (b'"', b"", b"true")[kind],
            )  # fmt: skip
            mask = b"\xff" * len(text)
            column = list(TYPES[tag]).index(name) if name in TYPES[tag] else _SKIPPED
            if kind == _FLAG:
                column = CACHED if name == "cached" else FULL
            words.append((_word(text), _word(text[8:]), _word(mask), _word(mask[8:])))
            numbers.append((len(text), kind, column, name in REQUIRED[tag]))
        bounds.append(len(words))
    widths = np.array([len(TYPES[tag]) for tag in (*OPERATIONS, "row")], np.int64)
    return np.array(words, np.uint64), np.array(numbers, np.int64), np.array(bounds, np.int64), widths


SPEC: Final = _fields()
"""For `operations_at` and `rows_at`."""
_FLAGS_COLUMN: Final = list(TYPES["back"]).index("flags")
_EVENT: Final = U(_word(b'{"event"'))
_ACT, _SEND, _BACK = (U(_word(text)) for text in (b':"act",\0', b':"send",', b':"back",'))
_ACT_MASK: Final = U((1 << 56) - 1)
_ROWS, _GONE = U(_word(b',"rows":')), U(_word(b',"gone":'))
_LIST_OF_ROWS, _LIST_OF_TEXTS = U(_word(b"[{")), U(_word(b'["'))
_ANOTHER, _LAST = U(_word(b"},")), U(_word(b"}]"))
_CLOSED, _NEXT_TEXT = U(_word(b"}\n")), U(_word(b',"'))
_TWO: Final = U(0xFFFF)

_ONES: Final = U(0x0101010101010101)
_HIGH: Final = U(0x8080808080808080)
_QUOTES: Final = U(0x2222222222222222)
_ESCAPES: Final = U(0x5C5C5C5C5C5C5C5C)
_SPACES: Final = U(0x2020202020202020)
_ZEROS: Final = U(0x3030303030303030)
_NIBBLES: Final = U(0xF0F0F0F0F0F0F0F0)
_SIX: Final = U(0x0606060606060606)
_LOW: Final = U(0x7F7F7F7F7F7F7F7F)
_TENS: Final = np.array([10**n for n in range(9)], np.uint64)
_PLACES: Final = U(0x0001020304050607)


@inlined
def _first(marks: Any) -> Any:
    """Which byte is the first with its high bit set; only high bits may be set."""
    lowest = marks & (U(0) - marks)
    return np.int64(((lowest >> U(7)) * _PLACES) >> U(56))


@inlined
def _text(words: Any, at: int) -> tuple[int, Any]:
    """The end of a text that begins here and its hash; -1 where it has anything but plain ASCII."""
    found, begin = SEED, at
    while True:
        word = words[at]
        quotes, escapes = word ^ _QUOTES, word ^ _ESCAPES
        # A byte that is none of these may be marked, but only behind one that is.
        marks = ((quotes - _ONES) & ~quotes) | ((escapes - _ONES) & ~escapes) | ((word - _SPACES) & ~word) | word
        marks &= _HIGH
        if marks != U(0):
            break
        found = mixed(found, word)
        at += 8
    count = _first(marks)
    found = mixed(found, word & ((U(1) << U(8 * count)) - U(1)))
    at += count
    found = mixed(found, U(at - begin))
    if (word >> U(8 * count)) & U(255) != U(34):
        at = -1
    return at, found


@inlined
def _number(words: Any, at: int) -> tuple[int, Any]:
    """The end of a number that begins here and its value; -1 unless it has 1 to 18 digits and no leading zero."""
    total, begin = U(0), at
    zero = words[at] & U(255) == U(48)
    while True:
        word = words[at]
        odd = ((word & _NIBBLES) ^ _ZEROS) | (((word + _SIX) & _NIBBLES) ^ _ZEROS)
        marks = ((odd >> U(4)) + _LOW) & _HIGH
        count = 8 if marks == U(0) else _first(marks)
        if count:
            if count < 8:
                word = (word << U(64 - 8 * count)) | (_ZEROS & ((U(1) << U(64 - 8 * count)) - U(1)))
            value = word - _ZEROS
            value = (value * U(10) + (value >> U(8))) & U(0x00FF00FF00FF00FF)
            value = (value * U(100) + (value >> U(16))) & U(0x0000FFFF0000FFFF)
            value = (value * U(10000) + (value >> U(32))) & U(0xFFFFFFFF)
            total = total * _TENS[count] + value
            at += count
        if count < 8 or at - begin > 16:
            break
    length = at - begin
    if length == 0 or length > 18 or (zero and length > 1):
        at = -1
    return at, np.int64(total)


@inlined
def _object(words: Any, at: int, spec: Any, tag: int, out: Any, to: int) -> int:
    """Take the values of one flat object; returns where its fields end, -1 where they are not as they should be."""
    wanted, how, bounds, _ = spec
    field, last = bounds[tag], bounds[tag + 1]
    while field < last and at >= 0:
        first, second = words[at], words[at + 8]
        if first & wanted[field, 2] == wanted[field, 0] and second & wanted[field, 3] == wanted[field, 1]:
            at += how[field, 0]
            kind, column = how[field, 1], how[field, 2]
            if kind == _TEXT:
                at, found = _text(words, at)
                if column >= 0:
                    out[to + column] = np.int64(found)
                at += at >= 0
            elif kind == _NUMBER:
                at, value = _number(words, at)
                if column >= 0:
                    out[to + column] = value
            else:
                out[to + _FLAGS_COLUMN] |= column
        elif how[field, 3]:
            at = -1
        field += 1
    return at


@inlined
def _rows(words: Any, at: int, spec: Any, line: int, place: int, out: Any, to: int, end: int) -> tuple[int, int]:
    """Take rows up to the end of their list, or of the room; returns the place behind and the end of the rows."""
    more = True
    while more:
        more = False
        if to + _ROW_WIDTH > end:
            at = -1
        else:
            out[to : to + _ROW_WIDTH] = 0
            out[to], out[to + 1] = line, place + at
            at = _object(words, at, spec, _ROW, out, to)
        if at >= 0:
            after = words[at] & _TWO
            at += 1
            to += _ROW_WIDTH
            more = after == _ANOTHER
            at = at + 1 if more or after == _LAST else -1
    return at, to


@compiled
def rows_at(
    words: Any, at: int, end: int, spec: Any, line: int, place: int, tables: Any, bounds: Any, ends: Any
) -> bool:
    """Take the list of rows of a line that is no operation.

    Args:
        words: The block, eight bytes from each place.
        at: Where the first row begins.
        end: Where the list ends.
        spec: SPEC.
        line: The place of the line in the file.
        place: The place of the block in the file.
        tables: As in `operations_at`.
        bounds: Likewise.
        ends: Likewise.

    Returns:
        Whether all of them were taken; else none is, for one is in another shape.
    """
    behind, to = _rows(words, at, spec, line, place, tables, ends[3], bounds[3])
    if behind == end:
        ends[3] = to
    return bool(behind == end)


@compiled
def operations_at(
    words: Any, at: int, end: int, spec: Any, place: int, tables: Any, bounds: Any, ends: Any, odd: Any
) -> tuple[int, int]:
    """Take lines of operations up to the first line that is none.

    Args:
        words: The block, eight bytes from each place.
        at: Where to begin.
        end: Where the block's last line ends.
        spec: SPEC.
        place: The place of the block in the file.
        tables: Room for acts, sends, backs, rows and records gone, one after the other.
        bounds: Where the room of each ends.
        ends: Where what is taken of each ends so far.
        odd: (begin, end) of lines in another shape; the first has how many there are.

    Returns:
        The begin of a line that is no operation, or `end`; and how many lines were met.
    """
    lines = 0
    while at < end and words[at] == _EVENT:
        word = words[at + 8]
        tag = 0 if word & _ACT_MASK == _ACT else 1 if word == _SEND else 2 if word == _BACK else -1
        if tag < 0:
            break
        begin, line = at, place + at
        at += 15 if tag else 14
        to, width = ends[tag], spec[3][tag]
        row, gone = ends[3], ends[4]
        if to + width > bounds[tag]:
            at = -1
        else:
            tables[to : to + width] = 0
            tables[to] = line
            at = _object(words, at, spec, tag, tables, to)
        if at >= 0 and words[at] == _ROWS and words[at + 8] & _TWO == _LIST_OF_ROWS and tag == 2:
            at, row = _rows(words, at + 9, spec, line, place, tables, row, bounds[3])
        if at >= 0 and words[at] == _GONE and words[at + 8] & _TWO == _LIST_OF_TEXTS and tag == 2:
            at += 8
            more = True
            while more:
                at, found = _text(words, at + 2)
                more = False
                if at >= 0 and gone + 2 <= bounds[4]:
                    tables[gone], tables[gone + 1] = line, np.int64(found)
                    gone += 2
                    more = words[at + 1] & _TWO == _NEXT_TEXT
                    at = at + 1 if more else at + 2 if words[at + 1] & U(255) == U(93) else -1
                else:
                    at = -1
        if at >= 0 and words[at] & _TWO == _CLOSED:
            ends[tag] = to + width
            ends[3], ends[4] = row, gone
            at += 2
        else:
            at = begin
            while words[at] & U(255) != U(10):
                at += 1
            odd[0, 0] += 1
            odd[odd[0, 0], 0], odd[odd[0, 0], 1] = begin, at
            at += 1
        lines += 1
    return at, lines

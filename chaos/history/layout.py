"""Lines of one layout taken apart together: a block of JSON Lines to columns, without looking at a line by itself.

The recorder writes every event with its fields in one order, so most lines of a block differ in their values alone. A
*layout* is learned from one line: for each field between two commas what stands before its value, what stands after
it, and whether the value is a text or a number. Then every other line of as many fields is checked against it, byte
for byte, and its values are taken. A line that fits is JSON by construction; one that does not is left to be read by
itself. So nothing is believed here that a JSON parser would refuse.

Texts become 64-bit hashes, the same ones as `hash_of`. They stand for equality only, and what is told of a record
is read from its lines again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]

DIGITS_MAX: Final = 18
_BEYOND: Final = 64
"""So far beyond the end of a block it may be looked: a layout's texts are shorter."""
_COMMA = re.compile(rb',(?=["{])')
_FIELD = re.compile(rb'(\{?(?:"([a-z_]+)":)?\[?(?:true|false)?)(?:(")[^"]*"|(\d+))?([\]}]*)')
_PRIME: Final = np.uint64(0x9E3779B97F4A7C15)
_OTHER_PRIME: Final = np.uint64(0xC2B2AE3D27D4EB4F)
_SHIFT: Final = np.uint64(29)
_MASKS: Final = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)
_ZEROS: Final = np.uint64(0x3030303030303030)
_HIGH: Final = np.uint64(0xF0F0F0F0F0F0F0F0)
_SIX: Final = np.uint64(0x0606060606060606)


class Block:
    """Bytes that can be looked at sixteen at a time, from any place."""

    def __init__(self, content: bytes | NDArray[np.uint8]) -> None:
        padded = np.empty(len(content) + _BEYOND + 16, np.uint8)
        padded[len(content) :] = 0
        padded[: len(content)] = np.frombuffer(content, np.uint8)
        self.bytes = padded[: len(content)]
        self._padded = padded
        # Any type of sixteen bytes will do: fetching one costs no more than fetching eight.
        self._pairs = np.ndarray((len(content) + _BEYOND,), np.complex128, padded.data, 0, (1,))
        self._words: U64 = np.ndarray((len(content) + _BEYOND,), np.uint64, padded.data, 0, (1,))

    def byte(self, at: I64) -> NDArray[np.uint8]:
        """The byte at each place."""
        return self._padded[at]

    def words(self, at: I64) -> U64:
        """The eight bytes from each place, the first one lowest; zeros beyond the end."""
        return self._words[at]

    def pairs(self, at: I64) -> U64:
        """The sixteen bytes from each place, as an array of two columns."""
        return self._pairs[at].view(np.uint64).reshape(-1, 2)

    def hashes(self, at: I64, lengths: I64) -> U64:
        """`hash_of` of the text at each place."""
        found = lengths.astype(np.uint64) * _OTHER_PRIME
        pairs = self.pairs(at)
        found = _mixed(found, pairs[:, 0] & _MASKS[np.minimum(lengths, 8)])
        done, longest = 8, int(lengths.max(initial=0))
        while done < longest:
            left = lengths - done
            some = np.flatnonzero(left > 0)
            words = pairs[some, 1] if done == 8 else self.words(at[some] + done)
            found[some] = _mixed(found[some], words & _MASKS[np.minimum(left[some], 8)])
            done += 8
        return found

    def numbers(self, at: I64, ends: I64) -> tuple[I64, Mask]:
        """The number at each place, and whether it is one: 1 to 18 digits, no leading zero."""
        lengths = ends - at
        good = (lengths >= 1) & (lengths <= DIGITS_MAX)
        first = self.bytes[np.minimum(at, len(self.bytes) - 1)]
        good &= (first != 48) | (lengths == 1)
        total = np.zeros(len(at), np.uint64)
        for chunk in range(3):
            digits = np.clip(lengths - 8 * chunk, 0, 8)
            if chunk and not digits.any():
                break
            begun = np.maximum(ends - 8 * chunk - digits, 0)
            value, right = _digits(self.words(begun), digits)
            total += value * np.uint64(10 ** (8 * chunk))
            good &= right
        return total.astype(np.int64), good


def _mixed(found: U64, words: U64) -> U64:
    found = (found ^ words) * _PRIME
    found ^= found >> _SHIFT
    found *= _OTHER_PRIME
    found ^= found >> _SHIFT
    return found


def _digits(words: U64, count: I64) -> tuple[U64, Mask]:
    """The first `count` (0 to 8) bytes of each word as a number, and whether they are digits."""
    shift = ((8 - count) * 8).astype(np.uint64)
    empty = count == 0
    shift[empty] = 0
    words = (words << shift) | (_ZEROS & _MASKS[8 - count])
    words[empty] = _ZEROS
    right = ((words & _HIGH) == _ZEROS) & (((words + _SIX) & _HIGH) == _ZEROS)
    value = words - _ZEROS
    value = (value * np.uint64(10) + (value >> np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
    value = (value * np.uint64(100) + (value >> np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    value = (value * np.uint64(10000) + (value >> np.uint64(32))) & np.uint64(0xFFFFFFFF)
    return value, right


def hash_of(text: str) -> int:
    """The hash that stands for a text in the columns."""
    content = text.encode()
    return int(Block(content).hashes(np.zeros(1, np.int64), np.array([len(content)], np.int64))[0])


def paired(one: U64, other: U64) -> U64:
    """A hash of two hashes, in this order."""
    return _mixed(one * _OTHER_PRIME, other)


@dataclass(frozen=True, slots=True)
class _Field:
    """What stands round one value; `kind` is text, number or nothing."""

    name: str
    before: bytes
    after: bytes
    kind: str


@dataclass(frozen=True, slots=True)
class Layout:
    """The fields of a line, in order."""

    fields: tuple[_Field, ...]
    quotes: int

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the fields that carry a value, or are true."""
        return tuple(field.name for field in self.fields)


def learned(line: bytes) -> Layout | None:
    """The layout of a line, without its end; None where it is not one that the recorder writes."""
    fields: list[_Field] = []
    for number, part in enumerate(_COMMA.split(line)):
        match = _FIELD.fullmatch(part)
        if match is None or (number == 0) != part.startswith(b"{"):
            return None
        name = (match[2] or b"").decode()
        before, after, kind = match[1], match[5], "nothing"
        if name == "event" or (match[3] is None and match[4] is None):
            before, after = part, b""
        elif match[3] is not None:
            before, after, kind = before + b'"', b'"' + after, "text"
        else:
            kind = "number"
        if len(after) > 8 or len(before) > 32:
            return None
        fields.append(_Field(name, before, after, kind))
    return Layout(tuple(fields), line.count(b'"'))


@dataclass(slots=True)
class Values:
    """Columns of the lines that fit a layout.

    Attributes:
        lines: Which of the given lines they are.
        columns: By field name: hashes of texts, or numbers.
        more: Further texts of a list, by the name of the field that the list belongs to.
        flags: What the layout itself says, for whoever knows it.
    """

    lines: I64
    columns: Mapping[str, Any]
    more: Mapping[str, Sequence[U64]]
    flags: int = 0


def fitting(block: Block, layout: Layout, bounds: I64, wanted: frozenset[str]) -> Values:
    """Those lines that fit the layout, taken apart.

    Args:
        block: Where they are.
        layout: What they should look like.
        bounds: For each line the place before it, that of each comma, and that of its end.
        wanted: Names of the fields whose values are needed.
    """
    good = np.ones(len(bounds), np.bool_)
    numbers: dict[str, I64] = {}
    texts: list[tuple[str, I64, I64]] = []
    for number, field in enumerate(layout.fields):
        at, end = bounds[:, number] + 1, bounds[:, number + 1]
        good &= end - at >= len(field.before) + len(field.after)
        good &= _stands(block, field.before, at)
        if field.after:
            good &= _stands(block, field.after, np.maximum(end - len(field.after), 0))
        if field.kind == "number":
            numbers[field.name], right = block.numbers(at + len(field.before), end - len(field.after))
            good &= right
        elif field.kind == "text" and field.name in wanted:
            texts.append((field.name, at + len(field.before), end - len(field.after)))
        elif field.kind == "text" and not field.name:
            texts.append(("", at + len(field.before), end - len(field.after)))
    lines = np.flatnonzero(good)
    every = len(lines) == len(good)
    columns: dict[str, Any] = {n: v if every else v[lines] for n, v in numbers.items() if n in wanted}
    more: dict[str, list[U64]] = {}
    last = ""
    for name, at, end in texts:
        if not every:
            at, end = at[lines], end[lines]
        if name:
            columns[name] = block.hashes(at, end - at)
            last = name
        else:
            more.setdefault(last, []).append(block.hashes(at, end - at))
    return Values(lines, columns, more)


def _stands(block: Block, text: bytes, at: I64) -> Mask:
    """Whether the text stands at each place."""
    if len(text) == 1:
        only: Mask = block.byte(at) == text[0]
        return only
    good: Mask | None = None
    for begun in range(0, len(text), 16):
        pairs = block.pairs(at + begun if begun else at)
        for number in range(2):
            part = text[begun + 8 * number : begun + 8 * number + 8]
            if part:
                words = pairs[:, number] if len(part) == 8 else pairs[:, number] & _MASKS[len(part)]
                same: Mask = words == np.uint64(int.from_bytes(part, "little"))
                good = same if good is None else good & same
    return good if good is not None else np.ones(len(at), np.bool_)

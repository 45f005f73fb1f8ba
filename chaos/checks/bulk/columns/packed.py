"""Columns of a part of a history in a file: share after share, each column in as few bytes as its values need.

What goes through files is the greatest cost of a large history, since every byte of it takes fresh memory of the
kernel's. Places, times and numbers lie near each other within a chunk, and of names there are few.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from chaos.checks.bulk.columns.compiled import compiled
from chaos.checks.bulk.columns.hashes import place_of, slot_of
from chaos.checks.bulk.columns.tables import DTYPES, TYPES

_FEW: Final = np.isin(
    [name for types in TYPES.values() for name in types],
    ("session", "device", "owner", "kind", "type", "outcome", "blob"),
)
"""Columns of texts that are kept once each, and as numbers wherever they stand; unless there are very many."""
_NAMES_MAX: Final = 1 << 15
_BESIDE: Final = 8
"""Bytes that are looked at, and may be written, behind a value."""

_WIDTHS: Final = np.array([len(types) for types in TYPES.values()])
"""The columns of each table."""
_BOUNDS: Final = np.concatenate(([0], np.cumsum(_WIDTHS)))
_LEAST, _BYTES, _MASK, _NAMED = range(4)
"""How a column is packed: what to add, how many bytes, which bits, and whether the number is that of a name."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A part of the columns of one share, in a file.

    Attributes:
        head: How many bytes of the file tell how the columns are packed.
        begin, size: Where the part is, in bytes.
        counts: How many entries of each table it has.
    """

    path: Path
    head: int
    begin: int
    size: int
    counts: tuple[int, ...]

    def read(self, numbers: Any, ends: Any) -> None:
        """Append the part to tables that lie one after the other in an array, and move their ends.

        Raises:
            OSError: The file cannot be read, or is shorter than it was.
        """
        content: Any = np.empty(self.head + self.size, np.uint8)
        with self.path.open("rb", buffering=0) as file:
            read = file.readinto(content[: self.head])
            file.seek(self.begin)
            if read + file.readinto(content[self.head :]) != len(content):
                raise OSError(f"{self.path} is shorter than it was")
        head = content[: self.head].view(np.int64)
        how, names = head[: 4 * _BOUNDS[-1]].reshape(-1, 4), head[4 * _BOUNDS[-1] :]
        _unpack(_words(content), self.head, np.array(self.counts), how, names, _BOUNDS, numbers, ends)


def pack(path: Path, tables: Mapping[str, Any], share: Mapping[str, Any], shares: int) -> list[Packed]:
    """Write tables to a file by share; returns the part of each.

    Args:
        path: The file.
        tables: All tables.
        share: For each table the share of every entry, from 0.
        shares: How many there are.

    Raises:
        OSError: The file cannot be written.
    """
    flat = [table.view(np.int64).reshape(len(table), len(TYPES[tag])) for tag, table in tables.items()]
    how, names, slots = _measured(flat)
    counts = np.array([np.bincount(share[tag], minlength=shares) for tag in tables]).T
    bytes_of_each = np.add.reduceat(how[:, _BYTES], _BOUNDS[:-1])
    head = np.concatenate((how.ravel(), names)).view(np.uint8)
    places = len(head) + np.cumsum(np.concatenate(([0], (counts * bytes_of_each + _BESIDE).ravel())))
    content = np.empty(places[-1], np.uint8)
    content[: len(head)] = head
    for n, (tag, numbers) in enumerate(zip(tables, flat, strict=True)):
        of = how[_BOUNDS[n] : _BOUNDS[n + 1]]
        _pack(numbers, share[tag], places[n : -1 : len(flat)].copy(), of, names, slots, _words(content))
    content.tofile(path)
    begins = places[:: len(flat)].tolist()
    return [
        Packed(path, len(head), begin, end - begin, tuple(of_share))
        for begin, end, of_share in zip(begins, begins[1:], counts.tolist(), strict=False)
    ]


def _measured(flat: Sequence[Any]) -> tuple[Any, Any, Any]:
    """How each column is packed, the names of all, and the slots in which they are found."""
    names, slots = np.empty(_NAMES_MAX, np.int64), np.full(4 * _NAMES_MAX, -1, np.int32)
    how, count = np.zeros((_BOUNDS[-1], 4), np.int64), 0
    how[_FEW, _NAMED] = 1
    for numbers, begin, end in zip(flat, _BOUNDS, _BOUNDS[1:], strict=False):
        count = _measure(numbers, how[begin:end], names, slots, count)
    if count <= _NAMES_MAX:
        return how, names[:count], slots
    how[_FEW, _NAMED] = 0
    for numbers, begin, end in zip(flat, _BOUNDS, _BOUNDS[1:], strict=False):
        _measure(numbers, how[begin:end], names, slots, 0)
    return how, names[:0], slots


def together(parts: Sequence[Packed], more: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """Tables of several parts as one, with more entries at the end of each."""
    counts = np.array([len(more.get(tag, ())) for tag in TYPES]) + np.sum([part.counts for part in parts], axis=0)
    begins = np.concatenate(([0], np.cumsum(counts * _WIDTHS)))
    numbers, ends = np.empty(begins[-1], np.int64), begins[:-1].copy()
    for part in parts:
        part.read(numbers, ends)
    tables = {}
    for n, tag in enumerate(TYPES):
        tables[tag] = numbers[begins[n] : begins[n + 1]].view(DTYPES[tag])
        if tag in more:
            tables[tag][counts[n] - len(more[tag]) :] = more[tag]
    return tables


def _words(content: Any) -> Any:
    """Eight bytes from each place."""
    return np.ndarray((len(content) - _BESIDE + 1,), np.uint64, content, 0, (1,))


@compiled
def _measure(numbers: Any, how: Any, names: Any, slots: Any, count: int) -> int:
    """Find how each column is packed, and add to the names; returns how many there are, or one too many."""
    least, greatest = np.zeros(len(how), np.int64), np.zeros(len(how), np.int64)
    for i in range(len(numbers)):
        for column in range(len(how)):
            value = numbers[i, column]
            if how[column, _NAMED]:
                slot = slot_of(names, slots, value)
                if slots[slot] < 0:
                    if count >= len(names):
                        return len(names) + 1
                    slots[slot], names[count] = count, value
                    count += 1
                value = np.int64(slots[slot])
            least[column] = value if i == 0 else min(least[column], value)
            greatest[column] = value if i == 0 else max(greatest[column], value)
    for column in range(len(how)):
        span = np.uint64(greatest[column]) - np.uint64(least[column])
        size, mask = 0, np.uint64(0)
        while span:
            span >>= np.uint64(8)
            mask = (mask << np.uint64(8)) | np.uint64(255)
            size += 1
        how[column, _LEAST], how[column, _BYTES], how[column, _MASK] = least[column], size, np.int64(mask)
    return count


@compiled
def _pack(numbers: Any, share: Any, places: Any, how: Any, names: Any, slots: Any, words: Any) -> None:
    """Write every entry to the place of its share, and move that."""
    for i in range(len(numbers)):
        at = places[share[i]]
        for column in range(len(how)):
            value = numbers[i, column]
            if how[column, _NAMED]:
                value = place_of(names, slots, value)
            words[at] = np.uint64(value) - np.uint64(how[column, _LEAST])
            at += how[column, _BYTES]
        places[share[i]] = at


@compiled
def _unpack(words: Any, at: int, counts: Any, how: Any, names: Any, bounds: Any, numbers: Any, ends: Any) -> None:
    """Append what begins there to each table."""
    for table in range(len(counts)):
        to = ends[table]
        for _ in range(counts[table]):
            for column in range(bounds[table], bounds[table + 1]):
                value = np.int64(words[at] & np.uint64(how[column, _MASK])) + how[column, _LEAST]
                if how[column, _NAMED]:
                    value = names[value]
                numbers[to] = value
                at += how[column, _BYTES]
                to += 1
        ends[table] = to
        at += _BESIDE

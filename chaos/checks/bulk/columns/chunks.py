"""Columns of a large history in files: taken apart in chunks of the file, gathered by owner."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chaos.checks.bulk.columns.hashes import hash_of, places_near
from chaos.checks.bulk.columns.packed import Packed, pack, together
from chaos.checks.bulk.columns.scan import Columns, DoorLine, IrregularError, scan
from chaos.checks.bulk.columns.tables import DTYPES, entries


@dataclass(frozen=True, slots=True)
class Chunk:
    """The columns of one chunk, in a file by share; what belongs to an act of another chunk comes last.

    Attributes:
        parts: The columns of each share, and of what belongs to acts of other chunks.
        doors: Final reads by share.
        others: Lines that are neither operations nor final reads.
    """

    parts: list[Packed]
    doors: tuple[list[DoorLine], ...]
    others: list[tuple[int, bytes]]
    lines: int
    last_line: int


@dataclass(frozen=True, slots=True)
class Acts:
    """The acts of one chunk: number, write id and share of each."""

    number: Any
    write: Any
    share: Any


def chunks_of(path: Path, size: int, chunk_bytes: int) -> Iterator[tuple[int, int]]:
    """The (begin, end) of chunks of whole lines."""
    begin = 0
    with path.open("rb") as file:
        while begin < size:
            end = min(begin + chunk_bytes, size)
            if end < size:
                file.seek(end - 1)
                file.readline()
                end = file.tell()
            yield begin, end
            begin = end


def split(path: Path, begin: int, end: int, to: Path, shares: int) -> tuple[Chunk, Acts]:
    """Take one chunk apart and keep its columns by share, in a file.

    Raises:
        IrregularError: A line is not what the recorder writes.
    """
    columns = scan(path, begin, end)
    tables = columns.tables
    acts, sends, backs = tables["act"], tables["send"], tables["back"]
    share: dict[str, Any] = {"act": (acts["owner"] % np.uint64(shares)).astype(np.int64)}
    share["send"] = _looked_up(acts["op"], share["act"], sends["op"], shares)
    share["back"] = _looked_up(acts["op"], share["act"], backs["op"], shares)
    share_of_owner = {door.owner: hash_of(door.owner) % shares for door in columns.doors}
    lines = np.concatenate((backs["line"], np.array([door.line for door in columns.doors], np.int64)))
    of_lines = np.concatenate(
        (share["back"], np.array([share_of_owner[door.owner] for door in columns.doors], np.int64))
    )
    for tag in ("row", "gone"):
        share[tag] = _looked_up(lines, of_lines, tables[tag]["line"], -1)
        if np.any(share[tag] < 0):
            raise IrregularError("rows without a read")
    doors: tuple[list[DoorLine], ...] = tuple([] for _ in range(shares))
    for door in columns.doors:
        doors[share_of_owner[door.owner]].append(door)
    chunk = Chunk(pack(to, tables, share, shares + 1), doors, columns.others, columns.lines, columns.last_line)
    return chunk, Acts(acts["op"].copy(), acts["write"].copy(), share["act"].astype(np.int16))


def _looked_up(names: Any, values: Any, wanted: Any, otherwise: int) -> Any:
    names = np.ascontiguousarray(names)
    if np.any(names[1:] < names[:-1]):
        order = np.argsort(names, kind="stable")
        names, values = names[order], values[order]
    return np.append(values, otherwise)[places_near(names, wanted)]


class Acted:
    """All acts: the share of each number, and the write ids."""

    def __init__(self) -> None:
        self._share_of = np.full(1 << 16, -1, np.int16)
        self._writes = np.empty(1 << 16, np.uint64)
        self._total = 0

    def add(self, acts: Acts) -> None:
        """Note the acts of one chunk.

        Raises:
            IrregularError: Their numbers lie far apart.
        """
        before, self._total = self._total, self._total + len(acts.number)
        greatest, size = int(acts.number.max(initial=0)), len(self._share_of)
        if greatest > 16 * self._total + (1 << 24):
            raise IrregularError("numbers far apart")
        self._writes = _with_room(self._writes, self._total)
        self._writes[before : self._total] = acts.write
        self._share_of = _with_room(self._share_of, greatest + 1)
        self._share_of[size:] = -1
        self._share_of[acts.number] = acts.share

    def check(self) -> None:
        """Every act has a number of its own.

        Raises:
            IrregularError: Two have the same.
        """
        if np.count_nonzero(self._share_of >= 0) != self._total:
            raise IrregularError("an operation acts twice")

    def share_of(self, numbers: Any) -> Any:
        """The share of each of these acts.

        Raises:
            IrregularError: None acted with one of these numbers.
        """
        share = self._share_of[np.minimum(numbers, len(self._share_of) - 1)]
        if np.any((share < 0) | (numbers >= len(self._share_of))):
            raise IrregularError("attempts at an operation that never acted")
        return share

    def written_twice(self) -> Any:
        """Write ids that were acted more than once, maybe by several owners."""
        writes = self._writes[: self._total]
        writes.sort()
        twice = writes[1:][writes[1:] == writes[:-1]]
        return np.unique(twice[twice != 0])


def _with_room(values: Any, size: int) -> Any:
    """The same values in an array of at least this size."""
    if size <= len(values):
        return values
    found = np.empty(max(size, 2 * len(values)), values.dtype)
    found[: len(values)] = values
    return found


def strays(chunks: Sequence[Chunk], acted: Acted) -> list[dict[str, Any]]:
    """What belongs to acts of other chunks, by share.

    Raises:
        IrregularError: It belongs to no act.
    """
    none = {tag: [np.empty(0, of)] for tag, of in DTYPES.items()}
    found = [{tag: list(tables) for tag, tables in none.items()} for _ in chunks[0].doors]
    for chunk in chunks:
        tables = together(chunk.parts[-1:])
        share = {tag: acted.share_of(tables[tag]["op"]) for tag in ("send", "back")}
        for tag in ("row", "gone"):
            share[tag] = _looked_up(tables["back"]["line"], share["back"], tables[tag]["line"], -1)
        for tag, of_tag in share.items():
            for n in np.unique(of_tag).tolist():
                found[n][tag].append(entries(tables[tag], np.flatnonzero(of_tag == n)))
    return [{tag: np.concatenate(tables) for tag, tables in of_share.items()} for of_share in found]


def gathered(parts: Sequence[Packed], doors: Sequence[Sequence[DoorLine]], more: Mapping[str, Any]) -> Columns:
    """All columns of one share: its parts of the chunks with their final reads, and what else belongs to it."""
    return Columns(together(parts, more), [door for of_part in doors for door in of_part])

"""Columns of a large history in files: taken apart in chunks of the file, gathered by owner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chaos.history.columns import Columns, DoorLine, IrregularError, scan
from chaos.history.hashes import hash_of, places_near
from chaos.history.tables import DTYPES, TYPES, entries


@dataclass(frozen=True, slots=True)
class Chunk:
    """The columns of one chunk, in a folder, sorted by share; what belongs to an act of another chunk comes last.

    Attributes:
        bounds: For each table where each share begins, and where the last one ends.
        doors: Final reads by share.
        others: Lines that are neither operations nor final reads.
        strays: How many sends and backs belong to an act of another chunk.
    """

    folder: Path
    bounds: dict[str, list[int]]
    doors: tuple[list[DoorLine], ...]
    others: list[tuple[int, bytes]]
    lines: int
    last_line: int
    strays: int

    def of_acts(self, name: str) -> Any:
        """The numbers (`op`) or the write ids (`write`) of all acts."""
        return np.fromfile(self.folder / f"act.{name}", TYPES["act"][name])

    def part(self, share: int) -> Part:
        """What belongs to one share, and what may."""
        shares = len(self.doors)
        bounds = {tag: (at[share], at[share + 1], at[shares], at[shares + 1]) for tag, at in self.bounds.items()}
        return Part(self.folder, bounds, self.doors[share])


@dataclass(frozen=True, slots=True)
class Part:
    """What a chunk has of one share.

    Attributes:
        bounds: For each table begin and end of what belongs to the share, and of what belongs to any.
        doors: Final reads of the share.
    """

    folder: Path
    bounds: dict[str, tuple[int, int, int, int]]
    doors: list[DoorLine]

    def size(self, tag: str) -> int:
        """How much of a table belongs to the share."""
        begin, end, _, _ = self.bounds[tag]
        return end - begin

    def read(self, tag: str, into: Any) -> None:
        """Read that."""
        if len(into):
            with (self.folder / tag).open("rb", buffering=0) as file:
                file.seek(self.bounds[tag][0] * into.itemsize)
                if file.readinto(into.view(np.uint8)) != into.nbytes:
                    raise OSError(f"{file.name} is shorter than it was")

    def strays(self, tag: str) -> Any:
        """What of a table belongs to an act of another chunk, of whichever share."""
        _, _, begin, end = self.bounds[tag]
        of = DTYPES[tag]
        return np.fromfile(self.folder / tag, of, end - begin, offset=begin * of.itemsize) if begin < end else ()


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


def split(path: Path, begin: int, end: int, folder: Path, shares: int) -> Chunk:
    """Take one chunk apart and keep its columns by share.

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
    folder.mkdir()
    for name in ("op", "write"):
        np.ascontiguousarray(acts[name]).tofile(folder / f"act.{name}")
    bounds = {tag: _kept(folder, tag, table, share[tag], shares) for tag, table in tables.items()}
    doors: tuple[list[DoorLine], ...] = tuple([] for _ in range(shares))
    for door in columns.doors:
        doors[share_of_owner[door.owner]].append(door)
    strays = int((share["send"] == shares).sum() + (share["back"] == shares).sum())
    return Chunk(folder, bounds, doors, columns.others, columns.lines, columns.last_line, strays)


def _looked_up(names: Any, values: Any, wanted: Any, otherwise: int) -> Any:
    names = np.ascontiguousarray(names)
    if np.any(names[1:] < names[:-1]):
        order = np.argsort(names, kind="stable")
        names, values = names[order], values[order]
    return np.append(values, otherwise)[places_near(names, wanted)]


def _kept(folder: Path, tag: str, table: Any, share: Any, shares: int) -> list[int]:
    order = np.argsort(share.astype(np.int16), kind="stable")
    entries(table, order).tofile(folder / tag)
    found: list[int] = np.concatenate(([0], np.cumsum(np.bincount(share, minlength=shares + 1)))).tolist()
    return found


def gathered(parts: Sequence[Part]) -> tuple[Columns, int]:
    """All columns of one share, and how many sends and backs of other chunks are among them."""
    tables = {tag: _gathered(parts, tag) for tag in TYPES}
    numbers = np.sort(tables["act"]["op"])
    more: dict[str, list[Any]] = {tag: [] for tag in TYPES}
    for part in parts:
        for tag in ("send", "back"):
            if len(strays := part.strays(tag)):
                ours = places_near(numbers, strays["op"]) >= 0
                more[tag].append(entries(strays, np.flatnonzero(ours)))
        answers = [np.zeros(0, np.int64), *(backs["line"] for backs in more["back"])]
        for tag in ("row", "gone"):
            if len(strays := part.strays(tag)):
                ours = np.isin(strays["line"], np.concatenate(answers))
                more[tag].append(entries(strays, np.flatnonzero(ours)))
    found = Columns({tag: np.concatenate((table, *more[tag])) if more[tag] else table for tag, table in tables.items()})
    found.doors = [door for part in parts for door in part.doors]
    return found, sum(len(table) for tag in ("send", "back") for table in more[tag])


def _gathered(parts: Sequence[Part], tag: str) -> Any:
    table, at = np.empty(sum(part.size(tag) for part in parts), DTYPES[tag]), 0
    for part in parts:
        end = at + part.size(tag)
        part.read(tag, table[at:end])
        at = end
    return table

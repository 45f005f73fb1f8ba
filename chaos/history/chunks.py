"""Columns of a large history in files: taken apart in chunks of the file, gathered by owner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chaos.history.columns import Columns, DoorLine, IrregularError, Table, scan
from chaos.history.layout import hash_of
from chaos.history.pieces import TYPES


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

    def column(self, tag: str, name: str, share: int | None = None) -> Any:
        """A column, or that part of it which belongs to a share."""
        column = np.load(self.folder / f"{tag}.{name}.npy", mmap_mode="r" if share is not None else None)
        if share is None:
            return column
        bounds = self.bounds[tag]
        return np.array(column[bounds[share] : bounds[share + 1]])


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
    order = np.argsort(acts["op"], kind="stable")
    numbers, share_of_act = acts["op"][order], share["act"][order]
    share["send"] = _looked_up(numbers, share_of_act, sends["op"], shares)
    share["back"] = _looked_up(numbers, share_of_act, backs["op"], shares)
    share_of_owner = {door.owner: hash_of(door.owner) % shares for door in columns.doors}
    lines = np.concatenate((backs["line"], np.array([door.line for door in columns.doors], np.int64)))
    of_lines = np.concatenate(
        (share["back"], np.array([share_of_owner[door.owner] for door in columns.doors], np.int64))
    )
    order = np.argsort(lines)
    for tag in ("row", "gone"):
        share[tag] = _looked_up(lines[order], of_lines[order], tables[tag]["line"], -1)
        if np.any(share[tag] < 0):
            raise IrregularError("rows without a read")
    folder.mkdir()
    bounds = {tag: _kept(folder, tag, table, share[tag], shares) for tag, table in tables.items()}
    doors: tuple[list[DoorLine], ...] = tuple([] for _ in range(shares))
    for door in columns.doors:
        doors[share_of_owner[door.owner]].append(door)
    strays = int((share["send"] == shares).sum() + (share["back"] == shares).sum())
    return Chunk(folder, bounds, doors, columns.others, columns.lines, columns.last_line, strays)


def _looked_up(names: Any, values: Any, wanted: Any, otherwise: int) -> Any:
    if not len(names):
        return np.full(len(wanted), otherwise)
    place = np.minimum(np.searchsorted(names, wanted), len(names) - 1)
    return np.where(names[place] == wanted, values[place], otherwise)


def _kept(folder: Path, tag: str, table: Table, share: Any, shares: int) -> list[int]:
    order = np.argsort(share, kind="stable")
    for name, column in table.items():
        np.save(folder / f"{tag}.{name}.npy", column[order])
    found: list[int] = np.searchsorted(share[order], np.arange(shares + 2)).tolist()
    return found


def gathered(chunks: Sequence[Chunk], share: int) -> tuple[Columns, int]:
    """All columns of one share, and how many sends and backs of other chunks are among them."""
    found = Columns()
    for tag, types in TYPES.items():
        found.tables[tag] = {
            name: np.concatenate([chunk.column(tag, name, share) for chunk in chunks]) for name in types
        }
    found.doors = [door for chunk in chunks for door in chunk.doors[share]]
    claimed = 0
    numbers = np.sort(found.tables["act"]["op"])
    claimed_backs: list[Any] = []
    strays = len(chunks[0].doors)
    for chunk in chunks:
        for tag in ("send", "back"):
            if chunk.bounds[tag][strays] == chunk.bounds[tag][strays + 1]:
                continue
            ours = _looked_up(numbers, np.ones(len(numbers), np.int64), chunk.column(tag, "op", strays), 0) > 0
            claimed += int(ours.sum())
            part = {name: chunk.column(tag, name, strays)[ours] for name in TYPES[tag]}
            found.tables[tag] = _more(found.tables[tag], part)
            if tag == "back":
                claimed_backs.append(part["line"])
        for tag in ("row", "gone"):
            if claimed_backs and chunk.bounds[tag][strays] < chunk.bounds[tag][strays + 1]:
                ours = np.isin(chunk.column(tag, "line", strays), np.concatenate(claimed_backs))
                part = {name: chunk.column(tag, name, strays)[ours] for name in TYPES[tag]}
                found.tables[tag] = _more(found.tables[tag], part)
    return found, claimed


def _more(table: Table, part: Table) -> Table:
    return {name: np.concatenate((column, part[name])) for name, column in table.items()}

"""Large histories: what of them needs a closer look.

Columns first (`plain.py`): they dismiss the records that are plainly as they must be. What is left goes through the
exact reader and the exact rule as a history of its own. Where the columns meet anything that they do not understand,
the exact reader reads the whole file.

A large file is taken apart in chunks, and its columns are kept in files by *share*: some owners with all that is
theirs. Then share after share is looked at, so that memory grows with what is left for the exact rule and not with the
operations. Chunks and shares are worked on by as many processes as are asked for.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import orjson

from chaos.checks.bulk.columns.chunks import Acted, Acts, Chunk, chunks_of, gathered, split, strays
from chaos.checks.bulk.columns.excerpt import Excerpt, excerpt_of
from chaos.checks.bulk.columns.scan import Columns, IrregularError, scan
from chaos.checks.bulk.dismissal import Taken, look_at
from chaos.checks.bulk.records import Rules
from chaos.checks.counts import Counts, summed
from chaos.faults.felt import is_felt
from chaos.history.model import INFINITY, History
from chaos.history.reader import read_lines

CHUNK_BYTES: Final = 32 << 20
SHARE_BYTES: Final = 64 << 20
"""Of the history file, for each share."""

T = TypeVar("T")


def looked(path: Path, *, processes: int | None = None) -> tuple[History, Counts]:
    """That part of a history which needs a closer look, and the counts of the rest.

    Raises:
        IrregularError: The whole history needs a closer look.
        MalformedHistory: The part contradicts itself.
    """
    size = path.stat().st_size
    if size <= CHUNK_BYTES:
        return from_columns(path, scan(path, 0, size))
    with tempfile.TemporaryDirectory(prefix="holdfast-") as folder, _pool(processes) as each:
        apart = _taken_apart(path, size, Path(folder), each)
        others = [other for chunk in apart.chunks for other in chunk.others]
        lines = sum(chunk.lines for chunk in apart.chunks)
        rules = _rules(_frame(path, others, lines, max(chunk.last_line for chunk in apart.chunks)))
        return _rest(path, others, _looked_at(path, apart, rules, each))


def from_columns(path: Path, columns: Columns) -> tuple[History, Counts]:
    """As `looked`, from the columns of the whole file."""
    rules = _rules(_frame(path, columns.others, columns.lines, columns.last_line))
    return _rest(path, columns.others, [look_at(path, columns, rules)])


def _rest(path: Path, others: Sequence[tuple[int, bytes]], taken: Sequence[Taken]) -> tuple[History, Counts]:
    """What is left for the exact rule, and the counts of all that is not."""
    wanted = Excerpt()
    for one in taken:
        wanted.add(one.wanted)
    history = read_lines(path, excerpt_of(path, wanted, dict(others)))
    history.operations = sum(one.operations for one in taken)
    return history, summed(one.counts for one in taken)


Each = Callable[[Callable[..., T], Iterable[tuple[Any, ...]]], Iterator[T]]


@contextmanager
def _pool(processes: int | None) -> Iterator[Each[Any]]:
    """Something that calls a function with each of many arguments, in processes if there are several."""
    count = processes or len(os.sched_getaffinity(0))
    if count == 1:
        yield lambda call, many: (call(*arguments) for arguments in many)
        return
    # Spawned, since whoever judges has threads by then.
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        yield lambda call, many: pool.map(call, *zip(*many, strict=True))


@dataclass(frozen=True, slots=True)
class _Apart:
    """A history that is taken apart in chunks.

    Attributes:
        shares: What `gathered` makes the columns of each share from.
        asked: Write ids that were acted more than once.
    """

    chunks: list[Chunk]
    shares: list[tuple[Any, ...]]
    asked: Any


def _taken_apart(path: Path, size: int, folder: Path, each: Each[tuple[Chunk, Acts]]) -> _Apart:
    count = size // SHARE_BYTES + 1
    spans = chunks_of(path, size, CHUNK_BYTES)
    chunks, acted = [], Acted()
    for chunk, acts in each(split, [(path, *span, folder / str(n), count) for n, span in enumerate(spans)]):
        chunks.append(chunk)
        acted.add(acts)
    acted.check()
    shares = [
        ([chunk.parts[n] for chunk in chunks], [chunk.doors[n] for chunk in chunks], more)
        for n, more in enumerate(strays(chunks, acted))
    ]
    return _Apart(chunks, shares, acted.written_twice())


def _looked_at(path: Path, apart: _Apart, rules: Rules, each: Each[Taken]) -> list[Taken]:
    """Look at every share; once more where one asks about writes of another."""
    taken = list(each(_share, [(path, share, rules, apart.asked) for share in apart.shares]))
    foreign = [one.foreign for one in taken if len(one.foreign)]
    if foreign:
        asked = np.unique(np.concatenate([apart.asked, *foreign]))
        taken = list(each(_share, [(path, share, rules, asked) for share in apart.shares]))
    return taken


def _share(path: Path, share: tuple[Any, ...], rules: Rules, asked: Any) -> Taken:
    return look_at(path, gathered(*share), rules, asked)


def _frame(path: Path, others: Sequence[tuple[int, bytes]], lines: int, last_line: int) -> History:
    """Header, faults, phases and notes, read exactly; and nothing is missing before the end."""
    if not others or others[0][0] != 0:
        raise IrregularError("no header")
    frame = read_lines(path, excerpt_of(path, Excerpt(), dict(others)))
    if orjson.loads(others[-1][1]).get("events") != lines - 1:
        raise IrregularError("cut short")
    if last_line > others[-1][0]:
        raise IrregularError("a line after the end")
    return frame


def _rules(frame: History) -> Rules:
    """The settings that the columns need.

    Raises:
        IrregularError: No record can be dismissed by itself.
    """
    if any(event.exceeds for event in frame.faults):
        raise IrregularError("a declared loss: all records of a store are judged together")
    if any(is_felt(event.fault) for event in frame.faults):
        raise IrregularError("a fault whose evidence is what became of every attempt")
    if not any(phase.name == "load" and phase.happened == "begun" for phase in frame.phases):
        raise IrregularError("no load: stories begin with the first act")
    injected = [event for event in frame.faults if event.happened == "injected"]
    struck: dict[int, int] = {}
    for event in injected:
        struck.setdefault(event.index, event.t)
    return Rules(
        conditional=frame.header.policy != "last-writer-wins",
        keyed=frame.header.idempotency == "keyed",
        copies=frame.header.copies,
        struck=tuple(struck.items()),
        first_struck=injected[0].t if injected else INFINITY - 1,
    )

"""The lines of a history that are about some records, as a history of their own."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

WHOLE = None
"""In place of a line's rows: the line is taken as it is."""


@dataclass(slots=True)
class Excerpt:
    """What is taken.

    Attributes:
        lines: Places of lines that are taken as they are.
        thinned: For each line with rows the begins of those that are taken; WHOLE for all of them.
    """

    lines: set[int] = field(default_factory=set)
    thinned: dict[int, Sequence[int] | None] = field(default_factory=dict)

    def add(self, other: Excerpt) -> None:
        """Take what the other one takes, too."""
        self.lines |= other.lines
        self.thinned |= other.thinned


def excerpt_of(path: Path, wanted: Excerpt, others: Mapping[int, bytes]) -> Iterator[bytes]:
    """The lines of an excerpt in order, with an end that counts them.

    Args:
        path: The history.
        wanted: What is taken.
        others: Further lines by place; the last of them is the end.
    """
    count = 0
    places = sorted({*wanted.lines, *wanted.thinned, *others})
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for place in places:
            line = others.get(place)
            if line is None:
                line = content[place : content.find(b"\n", place)]
            elif place == places[-1]:
                line = orjson.dumps({**orjson.loads(line), "events": count})
            rows = wanted.thinned.get(place, WHOLE)
            # A row ends with the text that is its last value, and no text holds a quote.
            yield line if rows is WHOLE else _thinned(line, (content[at : content.find(b'"}', at) + 2] for at in rows))
            count += 1


def _thinned(line: bytes, rows: Iterable[bytes]) -> bytes:
    head, opening, _ = line.partition(b'"rows":[')
    return head + opening + b",".join(rows) + line[line.rindex(b'"}]') + 2 :]

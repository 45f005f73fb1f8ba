"""What a search has tried, in its folder: a line for each trial, whoever delivers it how often."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from chaos.reporting.progress.kept import KeptLines
from chaos.search.tried import Pair, Tried

TRIALS_FILE: Final = "trials.jsonl"


class Results:
    """The trials of one search; a trial is known by its number.

    Attributes:
        tried: In the order in which they were taken, those of earlier sessions first.
        covered: Pairs of fault, phase and place that conclusive trials had together.
    """

    def __init__(self, folder: Path) -> None:
        """Read what earlier sessions have taken."""
        self.tried: list[Tried] = []
        self.covered: set[Pair] = set()
        self._lines = KeptLines(folder / TRIALS_FILE, Tried)
        self._taken: set[int] = set()
        for each in self._lines.read():
            self._add(each)

    @property
    def last(self) -> int:
        """The highest number; 0: nothing has been tried."""
        return max(self._taken, default=0)

    def take(self, found: Tried) -> bool:
        """Write down what came of a trial. False: it was taken before, and nothing changes."""
        is_new = self._add(found)
        if is_new:
            self._lines.add(found)
        return is_new

    def _add(self, found: Tried) -> bool:
        if found.number in self._taken:
            return False
        self._taken.add(found.number)
        self.tried.append(found)
        self.covered.update(found.pairs)
        return True

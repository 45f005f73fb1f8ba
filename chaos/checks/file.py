"""Judges a history file of any size."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from chaos.checks.counts import Counts
from chaos.checks.verdict import Judgement, judge
from chaos.errors import MalformedHistory
from chaos.history.model import History
from chaos.history.reader import read_history

SMALL_BYTES: Final = 8 << 20
"""Up to here a history is read exactly as a whole: that takes a second, as long as it takes to load compiled code."""


def judge_file(path: Path, *, processes: int | None = None) -> tuple[History, Judgement]:
    """Read and judge a history.

    Args:
        path: The file.
        processes: How many work on a large file; all cores if not given.

    Returns:
        That part of the history which was judged line by line, with all its faults, phases and notes; and the verdict.

    Raises:
        MalformedHistory: It is missing, cut short, not of this format, or contradicts itself.
        HarnessError: The check itself failed.
    """
    try:
        small = path.stat().st_size <= SMALL_BYTES
    except OSError:
        small = True  # the exact reader says what is wrong
    history, further = _exactly(path) if small else _in_columns(path, processes)
    return history, judge(history, further)


def _exactly(path: Path) -> tuple[History, Counts]:
    return read_history(path), Counts()


def _in_columns(path: Path, processes: int | None) -> tuple[History, Counts]:
    from chaos.checks.bulk.columns.scan import IrregularError
    from chaos.checks.bulk.large import looked

    try:
        return looked(path, processes=processes)
    except (IrregularError, MalformedHistory, OSError, ValueError):
        # Whatever is wrong, the exact reader says it with its place; or nothing is.
        return _exactly(path)

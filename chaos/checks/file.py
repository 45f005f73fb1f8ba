"""Judges a history file of any size."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from chaos.checks.counts import Counts
from chaos.checks.verdict import Judgement, judge
from chaos.errors import MalformedHistory, install
from chaos.history.model import History
from chaos.history.reader import read_history

SMALL_BYTES: Final = 8 << 20
"""Up to here a history is read exactly as a whole: that takes a second, as long as it takes to load compiled code."""
_MEMORY_FACTOR: Final = 2
"""Bytes of memory that the exact reader takes for a byte of history, about."""


def _on_stderr(line: str) -> None:
    sys.stderr.write(f"holdfast: {line}\n")


def judge_file(
    path: Path, *, processes: int | None = None, tell: Callable[[str], None] = _on_stderr
) -> tuple[History, Judgement]:
    """Read and judge a history; the verdict is the same whether the extra `large` is installed or not.

    Args:
        path: The file.
        processes: How many work on a large file; all cores if not given.
        tell: Hears that a large file is read the slow way.

    Returns:
        That part of the history which was judged line by line, with all its faults, phases and notes; and the verdict.

    Raises:
        MalformedHistory: It is missing, cut short, not of this format, or contradicts itself.
        HarnessError: The check itself failed.
    """
    try:
        size_bytes = path.stat().st_size
    except OSError:
        size_bytes = 0  # the exact reader says what is wrong
    history, further = _exactly(path) if size_bytes <= SMALL_BYTES else _in_columns(path, size_bytes, processes, tell)
    return history, judge(history, further)


def _exactly(path: Path) -> tuple[History, Counts]:
    return read_history(path), Counts()


def _in_columns(
    path: Path, size_bytes: int, processes: int | None, tell: Callable[[str], None]
) -> tuple[History, Counts]:
    try:
        from chaos.checks.bulk.columns.scan import IrregularError
        from chaos.checks.bulk.large import looked
    except ImportError as error:
        tell(
            f"{path} has {size_bytes >> 20:,} MiB and is read as a whole, which takes longer and about "
            f"{size_bytes * _MEMORY_FACTOR >> 20:,} MiB of memory ({error}); {install('large')}"
        )
        return _exactly(path)
    try:
        return looked(path, processes=processes)
    except (IrregularError, MalformedHistory, OSError, ValueError):
        # Whatever is wrong, the exact reader says it with its place; or nothing is.
        return _exactly(path)

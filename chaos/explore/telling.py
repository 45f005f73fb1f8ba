"""What an exploration has come to, in lines for people and as a document."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from chaos.errors import EXIT_HELD, EXIT_INCONCLUSIVE, EXIT_VIOLATED
from chaos.explore.campaign import Explored, Progress
from chaos.explore.state import Found, place
from chaos.reporting.progress import steps
from chaos.reporting.result import Document, jsonable
from chaos.reporting.words import counted, duration

_TOLD_MAX = 3
_POSSIBLE_SHOWN_MAX = 10**15


def exit_code(explored: Explored) -> int:
    """1: something is wrong in a state; 2: nothing is, and one could not be read; 0: nothing is."""
    if explored.violated:
        return EXIT_VIOLATED
    return EXIT_INCONCLUSIVE if explored.undecided else EXIT_HELD


def told(explored: Explored) -> list[str]:
    """The result in lines."""
    violated, undecided = len(explored.violated), len(explored.undecided)
    checked = len(explored.found)
    lines = [
        f"{explored.acknowledged:,} operations acknowledged, {counted(explored.boundaries, 'instant')} at which a "
        f"power cut leaves something else, {_possible(explored.possible)} crash states possible",
        *([f"{counted(explored.patterns, 'pattern')} of states"] if explored.patterns is not None else []),
        f"{counted(checked, 'state')} checked: {checked - violated - undecided:,} have everything that was "
        f"acknowledged before, {violated:,} do not" + (f", {undecided:,} could not be read" if undecided else ""),
    ]
    if explored.earliest is not None and explored.smallest is not None:
        lines += ["earliest: " + found_line(explored.earliest)]
        if explored.smallest.key != explored.earliest.key:
            lines += ["smallest: " + found_line(explored.smallest)]
    if undecided:
        lines += [f"not read: {found_line(explored.undecided[0])}"]
    if explored.checked_here:
        pace = explored.checked_here * 60 / max(explored.seconds, 1e-9)
        lines += [f"{counted(explored.checked_here, 'state')} in {duration(explored.seconds)}, {pace:,.0f} a minute"]
    return [*lines, f"folder {explored.folder}"]


def found_line(found: Found) -> str:
    """One state in a line."""
    lost = f" ({', '.join(found.lost[:3])}{' ...' if len(found.lost) > 3 else ''})" if found.lost else ""
    where = place(found.lun, found.flush, found.volatile, found.taken)
    return f"state {found.number}, {where}: {found.why}{lost}"


def document(explored: Explored) -> Document:
    """The result as one document."""
    return {
        "verdict": "VIOLATED" if explored.violated else "INCONCLUSIVE" if explored.undecided else None,
        "reason": explored.earliest.why if explored.earliest else "",
        "acknowledged": explored.acknowledged,
        "boundaries": explored.boundaries,
        "possible": _possible(explored.possible),
        "wanted": explored.wanted,
        "patterns": explored.patterns,
        "checked": len(explored.found),
        "violated": len(explored.violated),
        "undecided": len(explored.undecided),
        "earliest": jsonable(explored.earliest),
        "smallest": jsonable(explored.smallest),
        "states": jsonable(explored.found),
        "seconds": round(explored.seconds, 3),
        "folder": str(explored.folder),
    }


@contextmanager
def shown(progress: Progress, out: TextIO, *, quiet: bool) -> Iterator[Callable[[Found], None]]:
    """Take what is found, and show how far it is; of what is violated the first ones are told."""

    def line(found: Found) -> str:
        is_told = found.outcome == "undecided" or (found.outcome == "violated" and progress.violated <= _TOLD_MAX)
        return f"{found.outcome}: {found_line(found)}" if is_told else ""

    with steps.shown(progress, "states", out, quiet=quiet) as step:
        yield lambda found: step(line(found))


def _possible(states: int) -> str:
    return f"{states:,}" if states < _POSSIBLE_SHOWN_MAX else f"about 10^{len(str(states)) - 1}"

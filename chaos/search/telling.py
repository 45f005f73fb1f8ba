"""What a search has come to, in lines for people and as a document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from chaos.errors import EXIT_HELD, EXIT_INCONCLUSIVE, EXIT_VIOLATED
from chaos.reporting.progress import steps
from chaos.reporting.result import Document, jsonable
from chaos.reporting.words import counted, duration
from chaos.search.campaign import Search
from chaos.search.shrink import Counterexample
from chaos.search.tried import Tried, unseen


@dataclass(frozen=True)
class Searched:
    """What a search has come to.

    Attributes:
        tried: Every trial, those of earlier sessions too.
        covered: Pairs of fault, phase and place that conclusive trials had together.
        counterexamples: Of every finding, as small as it was made.
        here: Trials of this session, in `seconds`.
    """

    folder: Path
    seed: int
    tried: Sequence[Tried]
    covered: int
    counterexamples: Sequence[Counterexample]
    here: int
    seconds: float

    @property
    def violated(self) -> Sequence[Tried]:
        """The findings."""
        return [each for each in self.tried if each.outcome == "VIOLATED"]

    @property
    def conclusive(self) -> Sequence[Tried]:
        """Trials that count."""
        return [each for each in self.tried if each.conclusive]


@contextmanager
def shown(search: Search, out: TextIO, *, quiet: bool) -> Iterator[Callable[[Tried], None]]:
    """Take what was tried, and show how far it is; what is violated, or crashed, is told at once."""
    with steps.shown(search, "trials", out, quiet=quiet) as step:
        yield lambda tried: step(_line(tried) if tried.outcome in ("VIOLATED", "crashed") else "")


def exit_code(searched: Searched) -> int:
    """1: something is violated; 2: nothing is, and no trial counts; 0: nothing is."""
    if searched.violated:
        return EXIT_VIOLATED
    return EXIT_HELD if searched.conclusive else EXIT_INCONCLUSIVE


def told(searched: Searched) -> list[str]:
    """The result in lines."""
    trials, violated, conclusive = searched.tried, searched.violated, searched.conclusive
    crashed = sum(each.outcome == "crashed" for each in trials)
    struck_out = sum(bool(each.struck_out) for each in conclusive)
    chance = unseen(trials)
    lines = [
        f"{counted(len(trials), 'trial')}: {len(violated):,} violated, {len(conclusive) - len(violated):,} held, "
        f"{len(trials) - len(conclusive) - crashed:,} inconclusive" + (f", {crashed:,} crashed" if crashed else ""),
        f"{len({name for each in conclusive for name in _bitten(each)})} faults bit, {searched.covered:,} pairs of "
        f"fault, phase and place covered; {counted(struck_out, 'trial')} counted without a fault that did not bite",
    ]
    if chance is not None:
        kinds = len({each.seen for each in conclusive})
        lines += [f"{counted(kinds, 'outcome')} that differ; another trial would show a new one with {chance:.0%}"]
    if searched.here:
        pace = searched.here * 60 / max(searched.seconds, 1e-9)
        lines += [f"{counted(searched.here, 'trial')} in {duration(searched.seconds)}, {pace:,.1f} a minute"]
    for each in searched.counterexamples:
        lines += ["", *_counterexample(each)]
    if violated and not searched.counterexamples:
        lines += ["", *(_line(each) for each in violated)]
    return [*lines, f"seed {searched.seed}, folder {searched.folder}"]


def document(searched: Searched) -> Document:
    """The result as one document."""
    first = next(iter(searched.violated), None)
    outcomes = Counter(each.outcome for each in searched.tried)
    return {
        "verdict": "VIOLATED" if first else None if searched.conclusive else "INCONCLUSIVE",
        "reason": first.why if first else "",
        "seed": searched.seed,
        "trials": len(searched.tried),
        "outcomes": jsonable(outcomes),
        "conclusive": len(searched.conclusive),
        "covered": searched.covered,
        "unseen": unseen(searched.tried),
        "counterexamples": jsonable(searched.counterexamples),
        "tried": jsonable(searched.tried),
        "seconds": round(searched.seconds, 3),
        "folder": str(searched.folder),
    }


def _bitten(tried: Tried) -> Iterator[str]:
    return (each.partition(" ")[0] for i, each in enumerate(tried.schedule) if i not in tried.struck_out)


def _line(tried: Tried) -> str:
    return f"{tried.outcome} trial {tried.number}: {'; '.join(tried.schedule)}: {tried.why}"


def _counterexample(found: Counterexample) -> list[str]:
    again = "never came again, so it is as it was found"
    if found.measured:
        again = f"came again {found.came_again} of {found.measured} times"
    return [
        f"{', '.join(found.classes)}: {counted(len(found.schedule), 'fault')}, {found.operations:,} operations of "
        f"{counted(found.users, 'user')}, {again}; {counted(found.executions, 'execution')}",
        *(f"  {each}" for each in found.schedule),
        f"  again: holdfast run {found.folder}/plan.yaml --times 5",
    ]

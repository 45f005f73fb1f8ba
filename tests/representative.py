"""Scores `holdfast explore --representative` against explorations that have checked every state.

    python -m tests.representative [--subsets N] FOLDER ...

FOLDER is that of an exploration with so many subsets (0), best one that has run to its end: what `--representative`
would have checked among its states, and what it would have found, is looked up there, and nothing is run. A violated
state counts by the set of disk writes that the cut took, each as a place (`chaos.explore.places`). `records` counts
sets of lost records: each cut has its own, so no choice of few states finds most of them. Exits 1 where fewer than 95 %
of the sets of writes are found, or more than 10 % of the states are checked.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos.explore.campaign import STATES_FILE, Exploration
from chaos.explore.patterns import beside
from chaos.explore.state import Found, key_of
from chaos.preflight.opening import open_experiment
from chaos.reporting.progress.kept import KeptLines
from chaos.reporting.result import PLAN_FILE

MOST = 1_000_000
FOUND_MIN, CHECKED_MAX = 0.95, 0.10
HEAD = (
    f"{'experiment':30} {'states':>6} {'known':>6} {'violated':>8} {'writes':>6} {'records':>7}   "
    f"{'checked':>7} {'share':>6} {'writes':>6} {'share':>6} {'records':>7}"
)
Writes = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Score:
    """All states of a recording and the chosen ones, each with the distinct sets in those that are violated."""

    name: str
    possible: int
    states: int
    violated: int
    writes: frozenset[Writes]
    records: frozenset[tuple[str, ...]]
    checked: int
    found_writes: frozenset[Writes]
    found_records: frozenset[tuple[str, ...]]

    @property
    def is_enough(self) -> bool:
        """Nearly everything was found, with few states."""
        found = len(self.found_writes & self.writes)
        return bool(self.writes) and found >= FOUND_MIN * len(self.writes) and self.checked <= CHECKED_MAX * self.states

    def __str__(self) -> str:
        """As a line of the table."""
        checked = f"{self.checked:7} {self.checked / self.states:6.1%}"
        found = f"{len(self.found_writes):6} {len(self.found_writes) / max(1, len(self.writes)):6.0%}"
        return (
            f"{self.name:30} {self.possible:6} {self.states:6} {self.violated:8} {len(self.writes):6} "
            f"{len(self.records):7}   {checked} {found} {len(self.found_records):7}  "
            f"{'ok' if self.is_enough else 'MISS'}"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Look up, print, and tell by the exit code."""
    parser = argparse.ArgumentParser(description="Score `explore --representative` against exhaustive explorations.")
    parser.add_argument("--subsets", type=int, default=0, help="with how many subsets they were run")
    parser.add_argument("folders", nargs="+", type=Path)
    given = parser.parse_args(arguments)
    print(HEAD)  # noqa: T201
    scores = [scored(folder, given.subsets) for folder in given.folders]
    for each in scores:
        print(each)  # noqa: T201
    return 0 if all(each.is_enough for each in scores) else 1


def scored(folder: Path, subsets: int) -> Score:
    """Compare the two on one folder."""
    opened = open_experiment(folder / PLAN_FILE, None)
    every = Exploration(opened, folder, MOST, subsets, representative=True)
    assert every.patterns is not None
    known = {found.key: found for found in KeptLines(folder / STATES_FILE, Found).read()}
    states = [state for state in every.states if key_of(state) in known]
    chosen = []
    for ranking in every.patterns.representatives(states):
        for state in ranking:
            chosen += [state]
            if known[key_of(state)].outcome == "violated":
                chosen += beside(state, states)
                break
    checked = {key_of(each): known[key_of(each)] for each in chosen}
    among = [known[key_of(each)] for each in states]
    writes, records = sets(among, every)
    found_writes, found_records = sets(checked.values(), every)
    return Score(
        name=opened.plans[0].experiment,
        possible=len(every.states),
        states=len(states),
        violated=sum(each.outcome == "violated" for each in among),
        writes=writes,
        records=records,
        checked=len(checked),
        found_writes=found_writes,
        found_records=found_records,
    )


def sets(found: Iterable[Found], of: Exploration) -> tuple[frozenset[Writes], frozenset[tuple[str, ...]]]:
    """The distinct sets of lost writes, and of lost records, of the states in which something is wrong."""
    assert of.patterns is not None
    violated = {each.key: each for each in found if each.outcome == "violated"}
    states = [each for each in of.states if key_of(each) in violated]
    return frozenset(of.patterns.of(each).taken for each in states), frozenset(each.lost for each in violated.values())


if __name__ == "__main__":
    sys.exit(main())

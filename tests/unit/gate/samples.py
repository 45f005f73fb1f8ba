"""A policy and the lines of its gate, as tests make them up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from chaos.gate.counted import Counted, Outcome
from chaos.gate.policy import Experiment, Policy, Regression, Searching, Stratum

STACK = "minimal"


def policy(*strata: str, **changes: Any) -> Policy:
    """A policy of strata on one stack, which ask for at most 10 % at 95 %."""
    names = strata or ("disk",)
    made = Policy(
        name="sample",
        why="",
        confidence=0.95,
        test="exact",
        inconclusive_share_max=0.1,
        minutes=None,
        counterexamples=(),
        strata=tuple(Stratum(name, (Experiment(Path(f"{name}.yaml")),), 60, 0.1, STACK) for name in names),
        searches=(),
        planted=30,
        regression=Regression(),
    )
    return replace(made, **changes)


SEARCH = Searching("promised", Experiment(Path("search.yaml")), 10, None, False)


def planted(seen: int = 30, of: int = 30, stack: str = STACK) -> list[Counted]:
    """Planted losses, of which so many were seen."""
    return [
        Counted("planted", stack, i + 1, i, "VIOLATED" if i < seen else "HELD", planted=f"u/r-{i}", seen=i < seen)
        for i in range(of)
    ]


def trials(outcomes: Sequence[Outcome], stratum: str = "disk", first: int = 1) -> list[Counted]:
    """Trials of a stratum with these outcomes."""
    return [
        Counted("stratum", stratum, first + i, i, outcome, f"it is {outcome}") for i, outcome in enumerate(outcomes)
    ]


def held(number: int, stratum: str = "disk") -> list[Counted]:
    """Clean trials of a stratum."""
    return trials(["HELD"] * number, stratum)

"""What came of one drawn plan, as a line of a search's folder keeps it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from chaos.checks.classes import OF_SESSIONS, VIOLATING
from chaos.experiment.plan import Plan, ScheduledFault, Trigger
from chaos.faults.registry import known_faults
from chaos.reporting.result import TrialResult
from chaos.search.strategies import told
from chaos.stack.spec import Stack

Outcome = Literal["HELD", "VIOLATED", "INCONCLUSIVE", "crashed"]
Pair = tuple[str, str]


@dataclass(frozen=True)
class Tried:
    """One trial of a search.

    Attributes:
        number: From 1.
        schedule: Its faults in words.
        outcome: The verdict; "crashed": Holdfast or the host failed, which says nothing about the service.
        why: The reason of the verdict, or the error.
        anomalies: Records by class, of what is violated.
        struck_out: Faults, by their places from 0, that did not bite.
        conclusive: Whether it counts, for all faults but those.
        pairs: What its other faults have covered together: two of fault, phase and place.
        seconds: How long it took.
    """

    number: int
    schedule: tuple[str, ...]
    outcome: Outcome
    why: str = ""
    anomalies: Mapping[str, int] = field(default_factory=dict)
    struck_out: tuple[int, ...] = ()
    conclusive: bool = False
    pairs: tuple[Pair, ...] = ()
    seconds: float = 0.0

    @property
    def classes(self) -> frozenset[str]:
        """What a finding is told by."""
        return frozenset(self.anomalies)

    @property
    def seen(self) -> tuple[str, ...]:
        """What tells this outcome from others: the verdict, the classes, and the faults that bit."""
        names = [each.partition(" ")[0] for i, each in enumerate(self.schedule) if i not in self.struck_out]
        return self.outcome, *sorted(self.classes), *sorted(set(names))


def tried(number: int, result: TrialResult, stack: Stack, seconds: float) -> Tried:
    """What a finished trial comes to. A fault that did not bite is struck out, and the trial counts for the rest."""
    judgement = result.judgement
    struck_out = judgement.toothless if judgement is not None else ()
    reasons = len(judgement.reasons) if judgement is not None else 0
    schedule = result.plan.schedule
    left = [each for i, each in enumerate(schedule) if i not in struck_out]
    only_that = result.verdict == "INCONCLUSIVE" and reasons == len(struck_out) and bool(left)
    conclusive = result.verdict != "INCONCLUSIVE" or only_that
    anomalies = violating(result) if result.verdict == "VIOLATED" else {}
    return Tried(
        number=number,
        schedule=tuple(map(told, schedule)),
        outcome="HELD" if only_that else result.verdict,
        why=result.reason,
        anomalies=anomalies,
        struck_out=tuple(struck_out),
        conclusive=conclusive,
        pairs=tuple(sorted(pairs_of(left, result.plan, stack))) if conclusive else (),
        seconds=round(seconds, 3),
    )


def violating(result: TrialResult) -> dict[str, int]:
    """Records by class, of the classes that make a verdict VIOLATED."""
    found = result.judgement.anomalies if result.judgement is not None else {}
    return {name: count for name, count in found.items() if name in (*VIOLATING, *OF_SESSIONS)}


def pairs_of(schedule: Iterable[ScheduledFault], plan: Plan, stack: Stack) -> set[Pair]:
    """All two of fault, phase and place that a schedule has together."""
    found: set[Pair] = set()
    for each in schedule:
        parts = each.fault, phase_of(each.at, plan.workload.operations), place_of(each, stack)
        found |= {(parts[0], parts[1]), (parts[0], parts[2]), (parts[1], parts[2])}
    return found


def phase_of(at: Trigger, operations: int) -> str:
    """When it strikes, roughly."""
    if at.phase is not None:
        return at.phase
    if at.io is not None:
        return f"a {at.io[0]}"
    if at.acknowledged is None:
        return "a time"
    return ("begin", "middle", "end")[min(2, at.acknowledged * 3 // operations)]


def place_of(scheduled: ScheduledFault, stack: Stack) -> str:
    """Where it strikes: the roles of the services that it reaches, or the target itself."""
    reached = set(known_faults()[scheduled.fault].medium.services(scheduled.target, stack))
    roles = [role for role, members in stack.roles.items() if reached & set(members)]
    return ", ".join(roles) or str(scheduled.target)


UNSEEN_FROM: Final = 2
"""Trials from which on something can be said of outcomes that are still to come."""


def unseen(trials: Sequence[Tried]) -> float | None:
    """The chance that another trial shows an outcome that no trial has shown (Good and Turing): those seen once by all.

    None: there are too few trials to say.
    """
    counted = Counter(each.seen for each in trials if each.conclusive)
    total = counted.total()
    return None if total < UNSEEN_FROM else sum(count == 1 for count in counted.values()) / total

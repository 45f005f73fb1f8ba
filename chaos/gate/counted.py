"""One trial of a gate as a line of its folder has it, and what is counted of all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from chaos.gate.policy import Policy, Stratum
from chaos.gate.statistics import loss_limit, sensitivity_limit, trials_needed, upper_limit

Part = Literal["counterexample", "planted", "stratum", "search"]
Outcome = Literal["HELD", "VIOLATED", "INCONCLUSIVE", "crashed"]


@dataclass(frozen=True)
class Counted:
    """One trial.

    Attributes:
        part: What it was run for.
        of: The stratum, the search, the stack (of a planted loss), or the file (of a counterexample).
        number: From 1, of this part of the gate.
        outcome: The verdict; "crashed": there is none, since Holdfast or the host failed, or the trial was ended. Of a
            trial with a planted loss VIOLATED is what it must be.
        why: The reason of the verdict, or the error.
        folder: Of the trial, below that of the gate.
        planted: OWNER/RECORD that was removed behind the service's back.
        seen: Whether the trial named that one as lost.
        beside: What else such a trial lost, in words.
        recover_seconds: How long heal, recover and converge took together.
        indeterminate_share: Creates, updates and deletes of unknown outcome.
        images: Digest by service.
        not_covered: Paths of services that are on no LUN.
    """

    part: Part
    of: str
    number: int
    seed: int
    outcome: Outcome
    why: str = ""
    folder: str = ""
    experiment: str = ""
    planted: str = ""
    seen: bool = False
    beside: str = ""
    recover_seconds: float | None = None
    indeterminate_share: float | None = None
    seconds: float = 0.0
    images: Mapping[str, str] = field(default_factory=dict)
    not_covered: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What it is called in messages."""
        drawn = f", seed {self.seed}" if self.part != "search" else ""  # there the schedule is drawn as well
        return f"{self.part} {self.of}, trial {self.number}{drawn}"

    @property
    def loses(self) -> bool:
        """Whether the service lost something that nobody took from it."""
        return bool(self.beside) if self.part == "planted" else self.outcome == "VIOLATED"


@dataclass(frozen=True)
class Sensitivity:
    """How surely a loss on one stack is seen.

    Attributes:
        limit: The lower limit of the share that is seen; that is what counts.
    """

    stack: str
    seen: int
    planted: int
    limit: float


@dataclass(frozen=True)
class Bound:
    """What the trials of one stratum come to.

    Attributes:
        sensitivity: That of the stack; where the stratum's own experiments hide losses better, theirs.
        clean: Trials that are HELD: those that count.
        inconclusive: Those without a verdict, and those that crashed.
        limit: The loss probability is at most this, with the confidence of the policy; None: a trial lost something.
        unweighted: The same if every loss were seen, and with the whole confidence.
        needed: Clean trials that reach the bound of the policy; None: no number does.
    """

    stratum: Stratum
    sensitivity: Sensitivity
    clean: int
    violated: int
    inconclusive: int
    limit: float | None
    unweighted: float | None
    needed: int | None

    @property
    def trials(self) -> int:
        """All that were run."""
        return self.clean + self.violated + self.inconclusive

    @property
    def inconclusive_share(self) -> float:
        """Of all trials."""
        return self.inconclusive / self.trials if self.trials else 0.0

    @property
    def is_reached(self) -> bool:
        """Whether the loss probability is bounded as the policy asks."""
        return self.limit is not None and self.limit <= self.stratum.loss_probability_max


def sensitivity_of(policy: Policy, stack: str, counted: Iterable[Counted]) -> Sensitivity:
    """How surely a loss on a stack is seen; fewer planted losses than the policy asks for show nothing."""
    planted = _planted(stack, counted)
    found = _sensitivity(policy, stack, planted)
    return found if len(planted) >= policy.planted else replace(found, limit=0.0)


def _own_sensitivity(policy: Policy, stratum: Stratum, counted: Iterable[Counted]) -> Sensitivity:
    """That of the stack; or of the stratum's own experiments alone, where one of these did not show what was planted.

    All experiments of a stack share its planted losses. Where they do not see them alike, the good ones must not answer
    for the others.
    """
    of_stack = sensitivity_of(policy, stratum.stack, counted)
    turns = policy.stacks[stratum.stack]
    planted = _planted(stratum.stack, counted)
    own = [each for each in planted if turns[(each.number - 1) % len(turns)] in stratum.experiments]
    of_own = _sensitivity(policy, stratum.stack, own)
    return of_own if of_own.seen < of_own.planted and of_own.limit < of_stack.limit else of_stack


def _planted(stack: str, counted: Iterable[Counted]) -> list[Counted]:
    return [each for each in counted if each.part == "planted" and each.of == stack and each.planted]


def _sensitivity(policy: Policy, stack: str, planted: Sequence[Counted]) -> Sensitivity:
    seen = sum(each.seen for each in planted)
    return Sensitivity(stack, seen, len(planted), sensitivity_limit(seen, len(planted), policy.confidence))


def bound_of(policy: Policy, stratum: Stratum, counted: Iterable[Counted]) -> Bound:
    """What the trials of a stratum come to."""
    counted = list(counted)
    sensitivity = _own_sensitivity(policy, stratum, counted)
    trials = [each for each in counted if each.part == "stratum" and each.of == stratum.name]
    clean = sum(each.outcome == "HELD" for each in trials)
    violated = sum(each.outcome == "VIOLATED" for each in trials)
    confidence = policy.confidence
    return Bound(
        stratum,
        sensitivity,
        clean,
        violated,
        len(trials) - clean - violated,
        None if violated else loss_limit(clean, sensitivity.limit, confidence),
        None if violated else upper_limit(0, clean, confidence),
        trials_needed(stratum.loss_probability_max, sensitivity.limit, confidence),
    )


def trials_left(policy: Policy, bound: Bound) -> int:
    """How many more trials of a stratum there are to be now; none once one has lost something."""
    if bound.violated:
        return 0
    left = max(0, bound.stratum.trials - bound.trials)
    if policy.test == "exact" or bound.needed is None:
        return left
    return min(left, max(0, bound.needed - bound.clean))

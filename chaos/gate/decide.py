"""From counted trials to GO, NO-GO or no decision. Pure: the same lines make the same decision."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from chaos.errors import EXIT_HELD, EXIT_INCONCLUSIVE, EXIT_VIOLATED
from chaos.gate.counted import Bound, Counted, Sensitivity, bound_of, sensitivity_of
from chaos.gate.policy import Policy
from chaos.reporting.words import at_most, share
from chaos.reporting.words import counted as told_count

Outcome = Literal["GO", "NO-GO", "NO DECISION"]
EXIT_CODES: Final[dict[Outcome, int]] = {
    "GO": EXIT_HELD,
    "NO-GO": EXIT_VIOLATED,
    "NO DECISION": EXIT_INCONCLUSIVE,
}


@dataclass(frozen=True)
class Decision:
    """What a gate has come to.

    Attributes:
        reasons: Why, one line each: what was lost; else what is missing; else the bounds that are reached.
        stacks: How surely a loss on each stack is seen.
    """

    outcome: Outcome
    reasons: tuple[str, ...]
    bounds: tuple[Bound, ...]
    stacks: tuple[Sensitivity, ...]


def decide(policy: Policy, trials: Sequence[Counted], regressions: Sequence[str] = ()) -> Decision:
    """Decide.

    Args:
        policy: What is asked.
        trials: Every line of the gate, those of its searches too.
        regressions: What is worse than the policy allows beside an earlier gate, one line each.
    """
    bounds = tuple(bound_of(policy, stratum, trials) for stratum in policy.strata)
    stacks = tuple(sensitivity_of(policy, stack, trials) for stack in policy.stacks)
    losses = [*_losses(trials), *regressions]
    missing = [
        *_counterexamples(policy, trials),
        *_sensitivities(policy, stacks, trials),
        *(line for bound in bounds for line in _bound(policy, bound)),
        *_searches(policy, trials),
        *_images(policy, trials),
    ]
    outcome: Outcome = "NO-GO" if losses else "NO DECISION" if missing else "GO"
    reasons = losses or missing or map(reached, bounds)  # after a loss nothing more is run: of course much is missing
    return Decision(outcome, tuple(reasons), bounds, stacks)


def reached(bound: Bound) -> str:
    """A bound that is reached, in a line."""
    stratum = bound.stratum
    return (
        f"{stratum.name}: a trial loses an acknowledged record with at most {at_most(bound.limit or 0.0)}, "
        f"by {told_count(bound.clean, 'clean trial')}; at most {share(stratum.loss_probability_max)} wanted"
    )


def _losses(trials: Sequence[Counted]) -> Iterator[str]:
    for each in trials:
        if each.loses:
            yield f"VIOLATED: {each.name}: {each.beside or each.why}"


def _counterexamples(policy: Policy, trials: Sequence[Counted]) -> Iterator[str]:
    held = Counter(each.of for each in trials if each.part == "counterexample" and each.outcome == "HELD")
    for each in policy.counterexamples:
        name = str(each.experiment.file)
        if held[name] < each.times:
            yield f"the counterexample {name} was HELD {held[name]} of {each.times} times"


def _sensitivities(policy: Policy, stacks: Sequence[Sensitivity], trials: Sequence[Counted]) -> Iterator[str]:
    tried = Counter(each.of for each in trials if each.part == "planted")
    for each in stacks:
        if each.planted >= policy.planted:
            continue
        if not tried[each.stack]:
            yield f"no loss was planted on the stack {each.stack}, so nobody knows how surely one is seen there"
        else:
            yield f"{each.planted} of {policy.planted} losses were planted on the stack {each.stack}"


def _bound(policy: Policy, bound: Bound) -> Iterator[str]:
    name, most = bound.stratum.name, policy.inconclusive_share_max
    if bound.inconclusive_share > most:
        yield (
            f"{name}: {bound.inconclusive} of {told_count(bound.trials, 'trial')} are inconclusive, "
            f"at most {share(most)} wanted"
        )
    if not bound.is_reached and bound.limit is not None:
        needs = "no number of trials can do that" if bound.needed is None else f"{bound.needed} can do that"
        yield (
            f"{name}: {told_count(bound.clean, 'clean trial')} bound a loss at {at_most(bound.limit)}, "
            f"at most {share(bound.stratum.loss_probability_max)} wanted: {needs}"
        )


def _searches(policy: Policy, trials: Sequence[Counted]) -> Iterator[str]:
    conclusive = {each.of for each in trials if each.part == "search" and each.outcome in ("HELD", "VIOLATED")}
    for search in policy.searches:
        if search.name not in conclusive:
            yield f"the search {search.name} has no trial that counts"


def _images(policy: Policy, trials: Sequence[Counted]) -> Iterator[str]:
    """Trials of different images say nothing of any of them."""
    found: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for each in trials:
        for service, digest in each.images.items():
            found[(policy.stack_of(each.part, each.of) or each.of, service)].add(digest)
    for (of, service), digests in found.items():
        if len(digests) > 1:
            yield f"{of}: {len(digests)} different images of {service} ran in one gate; begin a new one"

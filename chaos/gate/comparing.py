"""A gate beside an earlier one, such as that of the last release: durability, time to recover, unknown outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from chaos.gate.counted import Bound, Counted, bound_of
from chaos.gate.policy import Policy, Regression
from chaos.reporting.words import at_most, plain, share


@dataclass(frozen=True)
class Measured:
    """What a gate measured in one stratum; None: it has no trial that tells.

    Attributes:
        limit: The bound of the loss probability.
        recover_seconds: The median over trials that are HELD.
        indeterminate_share: Creates, updates and deletes of unknown outcome, the mean over the same.
    """

    violated: int
    limit: float | None
    recover_seconds: float | None
    indeterminate_share: float | None


@dataclass(frozen=True)
class Compared:
    """One stratum now, and in the earlier gate; None: that had none of this name."""

    stratum: str
    before: Measured | None
    now: Measured


def compare(
    policy: Policy, trials: Sequence[Counted], earlier: tuple[Policy, Sequence[Counted]]
) -> tuple[tuple[Compared, ...], tuple[str, ...]]:
    """Every stratum of the policy beside that of an earlier gate, and what is worse than the policy allows."""
    before = {
        stratum.name: _measured(bound_of(earlier[0], stratum, earlier[1]), earlier[1]) for stratum in earlier[0].strata
    }
    found = tuple(
        Compared(stratum.name, before.get(stratum.name), _measured(bound_of(policy, stratum, trials), trials))
        for stratum in policy.strata
    )
    return found, tuple(line for each in found for line in _worse(policy.regression, each))


def _measured(bound: Bound, trials: Sequence[Counted]) -> Measured:
    of = bound.stratum.name
    held = [each for each in trials if (each.part, each.of, each.outcome) == ("stratum", of, "HELD")]
    recover = [each.recover_seconds for each in held if each.recover_seconds is not None]
    unknown = [each.indeterminate_share for each in held if each.indeterminate_share is not None]
    return Measured(
        bound.violated, bound.limit, median(recover) if recover else None, fmean(unknown) if unknown else None
    )


def _worse(most: Regression, each: Compared) -> Iterator[str]:
    before, now = each.before, each.now
    if before is None:
        return
    factor = most.recover_seconds_factor_max
    if factor is not None and before.recover_seconds and now.recover_seconds is not None:
        grown = now.recover_seconds / before.recover_seconds
        if grown > factor:
            yield (
                f"{each.stratum}: recovery takes {plain(round(now.recover_seconds, 1))} s, "
                f"{plain(round(before.recover_seconds, 1))} s before; at most {plain(factor)} times as long wanted"
            )
    more = most.indeterminate_share_more_max
    was, is_now = before.indeterminate_share, now.indeterminate_share
    if more is not None and was is not None and is_now is not None and is_now - was > more:
        yield (
            f"{each.stratum}: {share(is_now)} of the operations are unknown, {share(was)} before; "
            f"at most {share(more)} more wanted"
        )
    factor = most.loss_bound_factor_max
    if factor is not None and before.limit and now.limit is not None and now.limit / before.limit > factor:
        yield (
            f"{each.stratum}: a loss is bounded at {at_most(now.limit)}, {at_most(before.limit)} before; "
            f"at most {plain(factor)} times as much wanted"
        )

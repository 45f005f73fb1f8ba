"""Hypothesis strategies for schedules over the whole catalogue of faults, and for whole plans.

The shares are priors: of 136 failures by partitions (Alquraan et al., OSDI 2018) 84 % began with the partition, 88 %
needed a single isolated node, 2 % were one-way, and 69 % took at most three events.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, overload

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from chaos.errors import UsageError
from chaos.experiment.catalogue import ParameterInfo
from chaos.experiment.plan import Parameter, Plan, ScheduledFault, Search, Trigger, Workload
from chaos.faults.base import Fault
from chaos.search.space import Choice, is_one_of, space_of
from chaos.stack.spec import Stack
from chaos.workload.actions import draw_by_user
from chaos.workload.generator import Action

SEED_MAX: Final = 2**32 - 1
_FACTORS: Final = (1.0, 0.25, 4.0, 16.0)
_COUNTS: Final = (1, 3, 10, 100)
_DRAWS: Final = 9_999
_DRAWS_MAX: Final = 100_000
"""Of one seed."""
_PARTITION: Final = "network.partition"


@dataclass(frozen=True)
class Shares:
    """How often what is drawn, in per cent where nothing else is said.

    Attributes:
        weights: By the name of a fault, how often it is drawn; all others once.
        partition_first: Of schedules with a partition, those that begin with it; None: as it comes.
        isolates: Of partitions, those of one service from all others; None: every target as often as any other.
        one_way: Of partitions, those that drop what goes one way alone.
        at_io, at_phase, at_seconds: Of triggers; all others are right after an acknowledgement.
    """

    weights: Mapping[str, int]
    partition_first: int | None
    isolates: int | None
    one_way: int
    at_io: int
    at_phase: int
    at_seconds: int


PRIORS: Final = Shares({"disk.power_cut": 4, _PARTITION: 4, "process.kill": 2}, 84, 88, 2, 25, 10, 5)
"""Power cuts, partitions and kills happen to every machine, and every service promises something of them."""
UNIFORM: Final = Shares({}, None, None, 50, 25, 25, 25)
"""Every fault, target and kind of trigger as often as any other: what the priors are measured against."""


@dataclass(frozen=True)
class ByUser(Sequence[Action]):
    """What users do, each from a seed of its own; it is drawn when somebody asks for it."""

    workload: Workload
    seeds: tuple[int, ...]

    @functools.cached_property
    def _all(self) -> tuple[Action, ...]:
        return draw_by_user(self.workload, self.seeds)

    def __len__(self) -> int:
        return len(self._all)

    @overload
    def __getitem__(self, place: int) -> Action: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Action]: ...

    def __getitem__(self, place: int | slice) -> Action | Sequence[Action]:
        return self._all[place]


@dataclass(frozen=True)
class Drawn:
    """A plan with what its users do, all of it there before anything runs."""

    plan: Plan
    actions: Sequence[Action]

    def __repr__(self) -> str:
        """The schedule: all that a person reads of a property test that failed."""
        return f"Drawn({'; '.join(self.schedule) or 'no fault'})"

    @property
    def schedule(self) -> tuple[str, ...]:
        """Its faults in words, by which it is told from other draws."""
        return tuple(map(told, self.plan.schedule))


def told(scheduled: ScheduledFault) -> str:
    """One fault of a schedule in words: what, where, when."""
    lasting = f" for {scheduled.for_seconds:g} s" if scheduled.for_seconds is not None else ""
    given_ = "".join(f", {name} {value}" for name, value in scheduled.parameters.items())
    return f"{scheduled.fault} {scheduled.target} {scheduled.at}{lasting}{given_}"


def drawn_plans(plan: Plan, stack: Stack, shares: Shares = PRIORS) -> st.SearchStrategy[Drawn]:
    """Plans of one stack and workload: a schedule and a seed for each user are drawn.

    Args:
        plan: Gives everything else, also what may be drawn. Where it has a schedule, this happens as well.
        stack: Its stack.
        shares: How often what is drawn.

    Raises:
        UsageError: None of the faults that may be drawn can strike this stack.
    """
    users = plan.workload.users

    def made(schedule: Sequence[ScheduledFault], seeds: Sequence[int]) -> Drawn:
        return Drawn(replace(plan, schedule=(*plan.schedule, *schedule)), ByUser(plan.workload, tuple(seeds)))

    seeds = st.lists(st.integers(0, SEED_MAX), min_size=users, max_size=users)
    space = space_of(stack, plan.search)
    if not space:
        raise UsageError(
            f"none of the faults {', '.join((*plan.search.faults, *plan.search.one_of))} can strike {stack.name}; name "
            "others under search.faults, or leave it out for all"
        )
    return st.builds(made, schedules(space, plan.workload.operations, plan.search, shares), seeds)


@st.composite
def schedules(
    draw: st.DrawFn, space: Sequence[Choice], operations: int, search: Search, shares: Shares = PRIORS
) -> tuple[ScheduledFault, ...]:
    """Schedules of a space, for a workload of so many operations, of at most so many faults as a search may draw."""
    names = [name for name in sorted({each.fault.name for each in space}) for _ in range(shares.weights.get(name, 1))]
    found: list[ScheduledFault] = []
    for _ in range(draw(st.integers(1, search.events))):
        if any(is_one_of(each.fault, search) for each in found):
            names = [name for name in names if not is_one_of(name, search)]
        if names:
            found.append(draw(_faults(space, names, operations, shares)))
    partitions = [i for i, each in enumerate(found) if each.fault == _PARTITION]
    if shares.partition_first is not None and partitions and len(found) > 1 and draw(_chance(shares.partition_first)):
        first = min(range(len(found)), key=lambda i: _order(found[i].at, operations))
        mine, other = found[partitions[0]], found[first]
        if first != partitions[0] and other.at.io is None:
            found[partitions[0]] = replace(mine, at=other.at, for_seconds=None)
            found[first] = replace(other, at=mine.at, for_seconds=None if mine.at.phase else other.for_seconds)
    return tuple(found)


@st.composite
def _faults(
    draw: st.DrawFn, space: Sequence[Choice], names: Sequence[str], operations: int, shares: Shares
) -> ScheduledFault:
    name = draw(st.sampled_from(names))
    choices = [each for each in space if each.fault.name == name]
    if name == _PARTITION and shares.isolates is not None:
        alone = draw(_chance(shares.isolates))
        choices = [each for each in choices if (each.target.key == "isolate") == alone] or choices
    choice = draw(st.sampled_from(choices))
    at = draw(_triggers(choice, operations, shares))
    lasting = None if at.phase or choice.fault.for_good else draw(st.sampled_from([None, 0.3, 1.0, 2.0]))
    return ScheduledFault(name, choice.target, at, lasting, draw(_parameters(choice.fault, shares)))


@st.composite
def _triggers(draw: st.DrawFn, choice: Choice, operations: int, shares: Shares) -> Trigger:
    roll = draw(st.integers(0, 99))
    if choice.io and roll >= 100 - shares.at_io:
        number = draw(st.integers(0, max(1, operations.bit_length() - 1)))  # powers of two: nobody knows how many come
        spread = (1 << number) + draw(st.integers(0, (1 << number) - 1))
        lun, is_flush = draw(st.sampled_from(choice.io)), draw(st.booleans())
        when: Literal["before", "after"] = "before" if draw(st.booleans()) else "after"
        return Trigger(flush=spread if is_flush else None, write=None if is_flush else spread, lun=lun, when=when)
    if roll < shares.at_seconds:
        return Trigger(seconds=draw(st.integers(1, 40)) / 10)
    if roll < shares.at_seconds + shares.at_phase:
        return Trigger(phase=draw(st.sampled_from(["heal", "recover", "converge"])))
    least, most = max(1, operations // 20), max(1, operations * 8 // 10)
    return Trigger(acknowledged=draw(st.integers(least, most)))


@st.composite
def _parameters(draw: st.DrawFn, fault: type[Fault[Any]], shares: Shares) -> Mapping[str, Parameter]:
    """Mostly as the fault has them by itself."""
    found: dict[str, Parameter] = {}
    for parameter, info in fault.parameters.items():
        if fault.name == _PARTITION and parameter == "one_way":
            value: Parameter = draw(_chance(shares.one_way))
        else:
            value = draw(_values(parameter, info))
        if value != info.default:
            found[parameter] = value
    return found


def _values(parameter: str, info: ParameterInfo) -> st.SearchStrategy[Any]:
    usual = st.just(info.default)
    if parameter == "draw":
        return st.integers(0, _DRAWS)
    if info.kind == "flag":
        return st.booleans()
    if info.kind == "text":
        return st.sampled_from(info.choices) if info.choices else usual
    if info.kind == "choices":
        return st.one_of(usual, st.sampled_from([[each] for each in info.choices]))
    if info.kind == "counts":
        return usual  # a part of a LUN that nobody knows anything of
    whole = info.kind == "integer"
    if info.default is None:
        counts = [n for n in _COUNTS if info.minimum <= n <= info.maximum]
        return st.one_of(usual, st.sampled_from(counts)) if counts else usual
    assert isinstance(info.default, int | float)
    if not whole and info.maximum <= 1:
        return st.one_of(usual, st.sampled_from([0.25, 0.5, 0.75]))
    around = [min(max(info.default * factor, info.minimum), info.maximum) for factor in _FACTORS]
    return st.sampled_from([int(each) for each in around] if whole else around)


def _chance(per_cent: int) -> st.SearchStrategy[bool]:
    return st.integers(0, 99).map(lambda roll: roll < per_cent)


def _order(at: Trigger, operations: int) -> tuple[int, float]:
    """Where a trigger comes, as far as that is known beforehand."""
    if at.phase is not None:
        return 1, ("heal", "recover", "converge").index(at.phase)
    return 0, at.acknowledged / operations if at.acknowledged is not None else 0.5


def examples(strategy: st.SearchStrategy[Drawn], count: int, from_seed: int) -> list[Drawn]:
    """So many draws of a strategy, each by itself; they follow from the seed, with one version of Hypothesis.

    Hypothesis varies a draw some six times before it makes a new one. So each is the second of a run of its own; the
    first is the simplest, from which the second must differ: it does so in a number that is thrown away.
    """

    def draw(number: int) -> Drawn:
        found: list[Drawn] = []

        @seed(from_seed * _DRAWS_MAX + number)
        @settings(
            max_examples=2, phases=[Phase.generate], database=None, deadline=None, suppress_health_check=[*HealthCheck]
        )
        @given(st.integers(0, SEED_MAX), strategy)
        def collect(thrown_away: int, drawn: Drawn) -> None:
            found.append(drawn)

        collect()
        return found[-1]

    return [draw(number) for number in range(count)]

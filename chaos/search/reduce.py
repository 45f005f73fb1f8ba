"""Makes a schedule and a workload smaller while what they show stays: delta debugging over events and users, bisection.

Pure: who calls says whether a smaller case still shows it, by trials on a stack or by anything else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from chaos.experiment.plan import ScheduledFault, Target, Trigger
from chaos.workload.generator import Action

T = TypeVar("T")
Shows = Callable[["Case"], Awaitable[bool]]
"""Whether a case still shows what is looked for."""
Narrower = Callable[[ScheduledFault], Iterator[Target]]
"""Targets that strike less, for a fault."""
_PARTS = (8, 2)
WRITES = {"create": 1, "update": 1, "delete": 1, "contend": 2}
"""Acknowledgements that an action of each kind can bring."""


class OutOfBudget(Exception):
    """No further execution is allowed, or there is no time left."""


@dataclass(frozen=True)
class Case:
    """What is made smaller."""

    schedule: tuple[ScheduledFault, ...]
    actions: tuple[Action, ...]

    @property
    def writes(self) -> int:
        """Creates, updates and deletes."""
        return sum(WRITES.get(each.kind, 0) for each in self.actions)

    @property
    def devices(self) -> tuple[int, ...]:
        """Those that do something."""
        return tuple(sorted({each.device for each in self.actions}))


class Reducer:
    """One reduction; `best` is the smallest case so far that shows it."""

    def __init__(self, case: Case, shows: Shows, narrower: Narrower, devices_per_user: int) -> None:
        """Begin with a case that shows it; `shows` raises OutOfBudget when it is time to stop."""
        self.best = case
        self._shows = shows
        self._narrower = narrower
        self._per_user = devices_per_user

    async def reduce(self) -> Case:
        """Fewer events, then simpler ones, then fewer users and operations; the best case when time is up."""
        try:
            await self._fewer_events()
            for place in range(len(self.best.schedule)):
                await self._simpler(place)
            await self._fewer_users()
            await self._fewer_actions()
        except OutOfBudget:
            pass
        return self.best

    async def _try(self, case: Case) -> bool:
        if case == self.best or not case.actions or not await self._shows(case):
            return False
        self.best = case
        return True

    async def _fewer_events(self) -> None:
        whole = self.best.schedule

        async def shows(places: Sequence[int]) -> bool:
            return await self._try(replace(self.best, schedule=part_of(whole, places)))

        await minimised(range(len(whole)), shows)

    async def _simpler(self, place: int) -> None:
        """One event: without its parameters, until it is healed, on less, and earlier."""

        def changed(fault: ScheduledFault) -> Case:
            return replace(self.best, schedule=(*self.best.schedule[:place], fault, *self.best.schedule[place + 1 :]))

        fault = self.best.schedule[place]
        if fault.parameters or fault.for_seconds is not None:
            plain = replace(fault, parameters={}, for_seconds=None)
            if not await self._try(changed(plain)) and fault.parameters and fault.for_seconds is not None:
                await self._try(changed(replace(fault, for_seconds=None)))
        for target in self._narrower(self.best.schedule[place]):
            if await self._try(changed(replace(self.best.schedule[place], target=target))):
                break

        def earlier(part: int) -> Case | None:
            number = self.best.schedule[place].at.acknowledged
            if number is None or number == 1:
                return None
            return changed(replace(self.best.schedule[place], at=Trigger(acknowledged=max(1, number // part))))

        await self._smaller(earlier)

    async def _fewer_users(self) -> None:
        """Half of the users that are left, as long as one of the halves is enough."""
        while len(users := sorted({device // self._per_user for device in self.best.devices})) > 1:
            half = len(users) // 2
            for kept in (users[:half], users[half:]):
                if await self._try(self._of_users(set(kept))):
                    break
            else:
                return

    def _of_users(self, users: set[int]) -> Case:
        """The actions of some users, with triggers that come as early in what is left."""
        actions = tuple(each for each in self.best.actions if each.device // self._per_user in users)
        share = replace(self.best, actions=actions).writes / max(1, self.best.writes)
        return Case(tuple(scaled(each, share) for each in self.best.schedule), actions)

    async def _fewer_actions(self) -> None:
        """The first part of the load, as long as it is enough."""

        def first(part: int) -> Case | None:
            actions = self.best.actions
            return replace(self.best, actions=actions[: max(1, len(actions) // part)]) if len(actions) > 1 else None

        await self._smaller(first)

    async def _smaller(self, to_one_in: Callable[[int], Case | None]) -> None:
        """Make something smaller as long as it shows, in large steps and then in small ones; None: it cannot be."""
        for part in _PARTS:
            while (case := to_one_in(part)) is not None and await self._try(case):
                pass


async def minimised(items: Sequence[T], shows: Callable[[Sequence[T]], Awaitable[bool]]) -> Sequence[T]:
    """A part of these, in their order, of which no single one can be left out (Zeller's ddmin).

    Args:
        items: They show it together.
        shows: Whether a part of them does.
    """
    parts = 2
    while len(items) > 1:
        size = -(-len(items) // parts)
        chunks = [items[begin : begin + size] for begin in range(0, len(items), size)]
        others = [[x for j, chunk in enumerate(chunks) if j != i for x in chunk] for i in range(len(chunks))]
        found: Sequence[T] | None = None
        for part in (*chunks, *(others if len(chunks) > 2 else ())):
            if await shows(part):
                found = part
                break
        if found is not None:
            parts = 2 if any(found is chunk for chunk in chunks) else max(2, parts - 1)
            items = found
        elif size == 1:
            break
        else:
            parts = min(len(items), 2 * parts)
    return items


def part_of(schedule: Sequence[ScheduledFault], places: Collection[int]) -> tuple[ScheduledFault, ...]:
    """Some faults of a schedule. One that comes after another that is left out comes when that one would have."""
    found = []
    at = Trigger()
    for place, fault in enumerate(schedule):
        if fault.at.seconds_after_previous is None or place - 1 in places:
            at = fault.at
        if place in places:
            found.append(replace(fault, at=at))
    return tuple(found)


def scaled(fault: ScheduledFault, share: float) -> ScheduledFault:
    """A fault that comes as early in a load of which so large a share is left."""
    at = fault.at
    if at.acknowledged is not None:
        at = replace(at, acknowledged=max(1, int(at.acknowledged * share)))
    return replace(fault, at=at)

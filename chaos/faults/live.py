"""The live half of a medium: applies wanted states to a stack copy, reads them back, and counts their effect.

The one way to undo: every target's wanted state is its baseline with all faults in force laid over it. To inject is to
add a fault and apply the state; to heal is to remove it and apply again. No undo of a single fault could be lost.
"""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from chaos.agent.wire_states import Killed, ServiceRead
from chaos.errors import AgentError
from chaos.experiment.plan import Target, Trigger
from chaos.faults.base import Evidence, Fault
from chaos.stack.agent.link import Agent
from chaos.stack.carrier.carrier import Carrier
from chaos.stack.live.mending import Damage
from chaos.stack.live.roles import Roles
from chaos.stack.spec import Stack

LEASE_SECONDS_MAX = 900.0
"""A fault never outlives its last renewal by more, whatever happens to the controller (its heartbeat ends it first)."""


W = TypeVar("W", Killed, ServiceRead)


@dataclass
class Surroundings:
    """What a medium may reach in a trial.

    Attributes:
        roles: Who has a role, asked when a fault strikes.
        carrier: Where the stack has one.
        witness: Awaited before a fault is healed that asks for it; must end in time by itself.
        execute: Run a command inside a service, for at most so many seconds: its exit code and last words.
        recreate: Stop services in order and make their containers anew; tells of which it could.
        finished: Tells which of some services that do not run have ended as they should: nobody can strike those.
        load_began_ns: Of CLOCK_MONOTONIC; 0 before the load.
        changing: Held while operators take LUNs away and put them in place; nobody strikes one then.
    """

    stack: Stack
    agent: Agent
    roles: Roles
    carrier: Carrier | None = None
    witness: Callable[[], Awaitable[None]] | None = None
    execute: Callable[[str, Sequence[str], float], Awaitable[tuple[int, str]]] | None = None
    recreate: Callable[[Sequence[str]], Awaitable[Sequence[str]]] | None = None
    finished: Callable[[Iterable[str]], Awaitable[Set[str]]] | None = None
    load_began_ns: int = field(default=0, kw_only=True)
    changing: asyncio.Lock = field(default_factory=asyncio.Lock, kw_only=True)

    async def struck(self, found: Mapping[str, W]) -> dict[str, W]:
        """Of the services to strike, by name, those that had not ended successfully before."""
        idle = [name for name, each in found.items() if not each.alive]
        done = await self.finished(idle) if idle and self.finished is not None else frozenset()
        return {name: each for name, each in found.items() if name not in done}


class Strike(abc.ABC):
    """One scheduled fault on its resolved target: injected once, renewed, and ended once.

    Attributes:
        who: The target with its roles resolved, for the history.
        index: The fault's place in the schedule, by which it is told apart from others.
        in_force: Whether the state that it wants is laid over its targets.
        is_leased: Whether it would end by itself unless it is renewed.
        felt_until_ns: When it ended for those who feel it; 0: when its end was recorded.
        fell_on: Of one that was armed and has struck: before or after which I/O, in words.
    """

    is_leased: bool = True

    def __init__(self, who: str, index: int, fault: Fault[Any]) -> None:
        """Nothing is injected yet."""
        self.who = who
        self.index = index
        self.fault = fault
        self.in_force = False
        self.felt_until_ns = 0
        self.fell_on = ""

    @property
    def struck(self) -> tuple[str, ...]:
        """What it struck, by name, for pages that tell of it: LUNs, arrays, services."""
        return ()

    @abc.abstractmethod
    async def inject(self) -> int:
        """Bring it into force, and read it back.

        Returns:
            CLOCK_MONOTONIC ns at which it was in force.

        Raises:
            AgentError, CarrierError: It cannot be, or what is read back is something else.
        """

    async def arm(self, at: Trigger) -> None:
        """Have the agent bring it into force by itself, at an I/O; `inject` then tells what that came to.

        Of media whose faults can strike `at_ios` alone.
        """
        raise NotImplementedError(f"{self.fault.name} cannot strike at an I/O")

    async def has_struck(self) -> None:
        """Wait until one that was armed has come into force."""
        raise NotImplementedError(f"{self.fault.name} cannot strike at an I/O")

    async def disarm(self) -> str:
        """The load is over, one that was armed shall not strike any more.

        Returns:
            Why it has not; empty where it has.
        """
        raise NotImplementedError(f"{self.fault.name} cannot strike at an I/O")

    async def proceed(self) -> None:  # noqa: B027 - most faults are done with that
        """Go on with what takes its time once it is in force; it has been recorded as injected."""

    @abc.abstractmethod
    async def renew(self) -> None:
        """Apply what is wanted again, before it ends by itself."""

    @abc.abstractmethod
    async def end(self) -> Evidence:
        """Take the evidence, then end the fault, unless it is for good."""


S = TypeVar("S", bound=Strike)


class LiveMedium(abc.ABC, Generic[S]):
    """A medium in one trial. It knows all of its strikes, since they compose."""

    def __init__(self, at: Surroundings) -> None:
        """Nothing is struck yet."""
        self.at = at
        self._strikes: list[S] = []

    async def aim(self, index: int, fault: Fault[Any], target: Target) -> S:
        """Find out what a target means now.

        Raises:
            NobodyThere: Nothing.
        """
        strike = await self._aimed(index, fault, target)
        self._strikes = sorted((*self._strikes, strike), key=lambda each: each.index)
        return strike

    @abc.abstractmethod
    async def _aimed(self, index: int, fault: Fault[Any], target: Target) -> S:
        """See `aim`."""

    @property
    def in_force(self) -> list[S]:
        """The strikes in force, in the order of the schedule."""
        return [each for each in self._strikes if each.in_force]

    @property
    def damage(self) -> Damage:
        """What the faults of this medium have done that operators must repair or leave alone."""
        return Damage()

    def replacing(self, luns: Set[str]) -> None:
        """Blank LUNs take the place of these now: they count as usable from here on."""


def require_applied(fault: Fault[Any], wrong: Sequence[str], lapsed: Iterable[str]) -> None:
    """Refuse to go on where something is not as it was wanted, or had ended by itself.

    Args:
        fault: Whose state was applied.
        wrong: The targets that were read back in another state.
        lapsed: The targets of which something had been wanted that ended by itself.

    Raises:
        AgentError: There are such.
    """
    if wrong:
        raise AgentError(f"{fault.name}: {', '.join(wrong)} is not in the state that was asked for")
    if lapsed := list(lapsed):
        raise AgentError(
            f"{fault.name}: the fault on {', '.join(lapsed)} had ended by itself, so there is no "
            "verdict; was this host suspended or overloaded?"
        )

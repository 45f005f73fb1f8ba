"""Applies faults of links to a stack copy, through the agent, which keeps the matrix of links."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from chaos.agent.states import LinkState
from chaos.agent.wire_states import ApplyLinks, CountDrops, Link, LinksApplied
from chaos.experiment.plan import Target
from chaos.faults.aim import NobodyThere, moved, services_named, with_notes
from chaos.faults.base import Fault
from chaos.faults.link.medium import LinkEvidence, LinkFault
from chaos.faults.live import LEASE_SECONDS_MAX, LiveMedium, Strike, require_applied
from chaos.stack.spec import Stack


class LinkStrike(Strike):
    """A fault on some links."""

    def __init__(self, medium: LiveLinks, who: str, index: int, fault: LinkFault, links: tuple[Link, ...]) -> None:
        """Nothing is injected yet."""
        super().__init__(who, index, fault)
        self.links = links
        self.wants = fault
        self._medium = medium
        self._applied: LinksApplied | None = None

    @property
    def struck(self) -> tuple[str, ...]:
        """The services at its ends."""
        return tuple(dict.fromkeys(service for link in self.links for service in link))

    async def inject(self) -> int:
        """At one instant for each receiver."""
        self.in_force = True
        self._applied = await self._medium.apply(self)
        return self._applied.at

    async def renew(self) -> None:
        """Apply again."""
        await self._medium.apply(self)

    async def end(self) -> LinkEvidence:
        """Dropped packets count on links that it closed itself and that had been in use."""
        assert self._applied is not None
        dropped = (await self._medium.at.agent.call(CountDrops(self.links))).packets
        self.in_force = False
        await self._medium.apply(self)
        used = [
            max(0, count - link.dropped)
            for count, link in zip(dropped, self._applied.links, strict=True)
            if link.was_open and link.carried > 0
        ]
        return LinkEvidence(links=len(self.links), links_in_use=len(used), dropped_packets=sum(used))


class LiveLinks(LiveMedium[LinkStrike]):
    """The links of one running stack."""

    async def _aimed(self, index: int, fault: Fault[Any], target: Target) -> LinkStrike:
        """The links between the sets named."""
        assert isinstance(fault, LinkFault)
        found = await services_named(target, self.at)
        links = _links(target, self.at.stack, found, one_way=fault.one_way)
        return LinkStrike(self, with_notes(target, moved(found)), index, fault, links)

    async def apply(self, strike: LinkStrike) -> LinksApplied:
        """Bring the links of a strike into the state that all strikes in force together want, and see that they are.

        Raises:
            AgentError: They are not, or what was wanted had ended by itself.
        """
        wanted = tuple((link, self._wanted(link)) for link in strike.links)
        applied = await self.at.agent.call(ApplyLinks(wanted, LEASE_SECONDS_MAX))
        wrong = [
            f"{sender} to {receiver}"
            for ((sender, receiver), state), read in zip(wanted, applied.links, strict=True)
            if read.state != state
        ]
        require_applied(strike.fault, wrong, applied.lapsed)
        return applied

    def _wanted(self, link: Link) -> LinkState:
        state = LinkState()
        for each in self.in_force:
            if link in each.links:
                state = each.wants.wanted(state)
        return state


def _links(target: Target, stack: Stack, found: Mapping[str, tuple[str, ...]], *, one_way: bool) -> tuple[Link, ...]:
    """The links between the sets, in the order of the file; a service counts in the first set that has it."""
    sets: list[tuple[str, ...]] = []
    if target.key == "isolate":
        alone = tuple(dict.fromkeys(service for name in target.names for service in found[name]))
        sets = [*((service,) for service in alone), tuple(name for name in stack.services if name not in alone)]
    else:
        taken: set[str] = set()
        for members in target.sets:
            services = dict.fromkeys(service for name in members for service in found[name])
            sets.append(tuple(service for service in services if service not in taken))
            taken.update(services)
    links = []
    for one, other in itertools.combinations(sets, 2):
        for sender, receiver in itertools.product(one, other):
            links += [(sender, receiver)] if one_way else [(sender, receiver), (receiver, sender)]
    if not links:
        raise NobodyThere("no link goes from one of its sets to another, so there is nothing to close")
    return tuple(links)

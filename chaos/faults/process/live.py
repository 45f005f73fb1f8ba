"""Applies faults of services' processes to a stack copy, through the agent, which knows their pids."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from chaos.agent.states import ServiceState
from chaos.agent.wire_states import ApplyServices, ServicesApplied
from chaos.experiment.plan import Target
from chaos.faults.aim import moved, services_named, with_notes
from chaos.faults.base import Fault
from chaos.faults.live import LEASE_SECONDS_MAX, LiveMedium, Strike, require_applied
from chaos.faults.process.medium import ProcessEvidence, ProcessFault
from chaos.stack.live.mending import Damage


class ProcessStrike(Strike):
    """A fault on some services."""

    def __init__(
        self, medium: LiveProcesses, who: str, index: int, fault: ProcessFault, services: tuple[str, ...]
    ) -> None:
        """Nothing is injected yet."""
        super().__init__(who, index, fault)
        self.services = services
        self.wants = fault
        self._medium = medium
        self._applied: ServicesApplied | None = None
        self._recreated: Sequence[str] = ()

    @property
    def struck(self) -> tuple[str, ...]:
        """The services."""
        return self.services

    async def inject(self) -> int:
        """Kill or pause."""
        self.in_force = True
        kill = self.services if not self.wants.wanted(ServiceState()).running else ()
        self._applied = await self._medium.apply(self, kill)
        return self._applied.at

    async def proceed(self) -> None:
        """Containers that are wanted anew are made so, which takes as long as their services take to end."""
        if self.wants.wanted(ServiceState()).anew and self._medium.at.recreate is not None:
            self._recreated = await self._medium.at.recreate(self.services)

    async def renew(self) -> None:
        """Apply again."""
        await self._medium.apply(self)

    async def end(self) -> ProcessEvidence:
        """Take the evidence; killed services are started by the operators."""
        self.in_force = False
        await self._medium.apply(self)
        assert self._applied is not None
        read = self._applied.services
        killed = await self._medium.at.struck(self._applied.killed)
        struck = killed if self._applied.killed else await self._medium.at.struck(read)
        return ProcessEvidence(
            services=len(struck),
            killed=sum(each.alive for each in killed.values()),
            paused=sum(each.paused and not each.was_paused for each in read.values()),
            recreated=sum(struck[name].alive for name in self._recreated if name in struck),
            received_bytes=sum(each.received_bytes for each in struck.values()),
        )


class LiveProcesses(LiveMedium[ProcessStrike]):
    """The services of one running stack."""

    async def _aimed(self, index: int, fault: Fault[Any], target: Target) -> ProcessStrike:
        """The service named, or those that have the role."""
        assert isinstance(fault, ProcessFault)
        found = await services_named(target, self.at)
        services = tuple(dict.fromkeys(itertools.chain.from_iterable(found.values())))
        return ProcessStrike(self, with_notes(target, moved(found)), index, fault, services)

    @property
    def damage(self) -> Damage:
        """The services that are struck are held down."""
        return Damage(held={service for each in self.in_force for service in each.services})

    async def apply(self, strike: ProcessStrike, kill: tuple[str, ...] = ()) -> ServicesApplied:
        """Bring the services of a strike into the state that all strikes in force together want.

        Raises:
            AgentError: One is paused that should not be, or what was wanted had ended by itself.
        """
        wanted = {name: self._wanted(name) for name in strike.services}
        applied = await self.at.agent.call(ApplyServices(wanted, LEASE_SECONDS_MAX, kill))
        wrong = [name for name, read in applied.services.items() if read.paused and not wanted[name].paused]
        require_applied(strike.fault, wrong, applied.lapsed)
        return applied

    def _wanted(self, service: str) -> ServiceState:
        state = ServiceState()
        for each in self.in_force:
            if service in each.services:
                state = each.wants.wanted(state)
        return state

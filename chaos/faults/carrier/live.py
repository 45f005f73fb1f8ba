"""Applies faults of the carrier to a stack copy, through its server's API."""

from __future__ import annotations

import time
from typing import Any

from chaos.errors import CarrierError
from chaos.experiment.plan import Target
from chaos.faults.base import Fault
from chaos.faults.carrier.medium import CarrierEvidence, CarrierFault, CarrierState
from chaos.faults.live import LiveMedium, Strike


class CarrierStrike(Strike):
    """A fault on the carrier. It has no lease: it ends with the carrier's container."""

    is_leased = False

    def __init__(self, medium: LiveCarrier, who: str, index: int, fault: CarrierFault) -> None:
        """Nothing is injected yet."""
        super().__init__(who, index, fault)
        self.wants = fault
        self._medium = medium

    async def inject(self) -> int:
        """Apply the state; all of it is read back."""
        self.in_force = True
        return await self._medium.apply()

    async def renew(self) -> None:
        """Apply again."""
        await self._medium.apply()

    async def end(self) -> CarrierEvidence:
        """What phones felt is judged by their own times, so for them it ends when healing begins."""
        if self.fault.needs_witness and self._medium.at.witness is not None:
            await self._medium.at.witness()
        self.in_force = False
        self.felt_until_ns = time.monotonic_ns()
        await self._medium.apply()
        return CarrierEvidence(**self.wants.own_changes)


class LiveCarrier(LiveMedium[CarrierStrike]):
    """The carrier of one running stack."""

    async def _aimed(self, index: int, fault: Fault[Any], target: Target) -> CarrierStrike:
        """The one carrier."""
        assert isinstance(fault, CarrierFault)
        return CarrierStrike(self, str(target), index, fault)

    async def apply(self) -> int:
        """Bring the carrier into the state that all strikes in force together want; it reads that back.

        Raises:
            CarrierError: It is not, or the stack has none.
        """
        if self.at.carrier is None:
            raise CarrierError("this stack has no carrier; say `carrier: toxiproxy` under x-chaos")
        state = CarrierState()
        for each in self.in_force:
            state = each.wants.wanted(state)
        return await self.at.carrier.apply(state.listening, state.toxics)

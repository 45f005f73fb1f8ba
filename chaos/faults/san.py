"""Faults of a whole array: what its LUNs have in common.

Injected: the loss of every LUN at one instant. Never injected here: the loss of one LUN alone.
"""

from __future__ import annotations

from chaos.faults.base import Evidence, Fault
from chaos.faults.registry import fault
from chaos.faults.state import LunState


@fault("san.lose")
class Lose(Fault):
    """Every LUN of an array is gone for good; services on it keep running and get I/O errors.

    Not healed: afterwards the stack's runbook puts blank LUNs in their place.

    Bites when a LUN took a write of the load in the 5 s before, all were closed, and an I/O failed afterwards.
    """

    targets = ("array",)
    for_good = True

    def wanted_lun(self, lun: LunState) -> LunState:
        """Gone."""
        return lun.gone()

    def why_not_bitten(self, evidence: Evidence) -> str:
        """Written shortly before, closed, and missed afterwards."""
        if not evidence.was_written:
            return "no LUN of the array took a write of the load in the 5 s before"
        if evidence.closed < evidence.luns:
            return f"{evidence.closed} of {evidence.luns} LUNs were closed"
        return "" if evidence.failed_ios else "no I/O failed afterwards"

"""Faults of a service's processes.

Injected: SIGKILL to the container's first process, and so to all of them; all of them stopped where they stand. The
page cache survives, as it does when a program crashes; for a machine that loses power see `disk.power_cut`. Never
injected here: signals that a service could catch, one process of several.
"""

from __future__ import annotations

from chaos.agent.states import ServiceState
from chaos.faults.process.medium import ProcessEvidence, ProcessFault
from chaos.faults.registry import fault


@fault("process.kill")
class Kill(ProcessFault):
    """All processes of the target services are killed at once; healing starts them again.

    Bites when each was running, and one of them had received bytes from others in the second before.
    """

    targets = ("service", "role")

    def wanted(self, service: ServiceState) -> ServiceState:
        """Not running."""
        return service.killed()

    def why_not_bitten(self, evidence: ProcessEvidence) -> str:
        """Alive, and spoken to shortly before."""
        if evidence.killed < evidence.services:
            return f"{evidence.killed} of {evidence.services} services were running and killed"
        return "" if evidence.received_bytes else "it had received nothing in the second before"


@fault("process.pause")
class Pause(ProcessFault):
    """All processes of the target services stop where they stand, as in a frozen virtual machine; then they go on.

    Their connections stay up, and nobody is told.

    Bites when each was running, and one of them had received bytes from others in the second before.
    """

    targets = ("service", "role")
    needs = ("freezer",)

    def wanted(self, service: ServiceState) -> ServiceState:
        """Frozen."""
        return service.frozen()

    def why_not_bitten(self, evidence: ProcessEvidence) -> str:
        """Alive, and spoken to shortly before."""
        if evidence.paused < evidence.services:
            return f"{evidence.paused} of {evidence.services} services were running and paused"
        return "" if evidence.received_bytes else "it had received nothing in the second before"

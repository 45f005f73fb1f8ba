"""Faults of a service's processes.

Injected: SIGKILL to the container's first process, and so to all of them; all of them paused; a stop in order,
and a new container. The page cache survives, as it does when a program crashes; for a machine that loses
power see `disk.power_cut`. Never injected here: a signal that a service could catch, but for the one that stops it in
order; one process of several.
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
        """Running, and had received bytes shortly before."""
        if evidence.killed < evidence.services:
            return f"{evidence.killed} of {evidence.services} services were running and killed"
        return "" if evidence.received_bytes else "it had received nothing in the second before"


@fault("process.recreate")
class Recreate(ProcessFault):
    """The target services are stopped in order and get new containers on their volumes, as in an upgrade.

    What was written into the container's own layer is gone, and a service that states no `hostname` has another one.
    Healing starts them.

    Bites when each was running and was stopped, and one of them had received bytes from others in the second before.
    """

    targets = ("service", "role")

    def wanted(self, service: ServiceState) -> ServiceState:
        """In a new container."""
        return service.made_anew()

    def why_not_bitten(self, evidence: ProcessEvidence) -> str:
        """Running, and had received bytes shortly before."""
        if evidence.recreated < evidence.services:
            return f"{evidence.recreated} of {evidence.services} services were running and made anew"
        return "" if evidence.received_bytes else "it had received nothing in the second before"


@fault("process.pause")
class Pause(ProcessFault):
    """All processes of the target services are paused, as in a virtual machine that is moved; then they go on.

    Their connections stay up, and nobody is told.

    Bites when each was running, and one of them had received bytes from others in the second before.
    """

    targets = ("service", "role")
    needs = ("freezer",)

    def wanted(self, service: ServiceState) -> ServiceState:
        """Paused."""
        return service.frozen()

    def why_not_bitten(self, evidence: ProcessEvidence) -> str:
        """Running, and had received bytes shortly before."""
        if evidence.paused < evidence.services:
            return f"{evidence.paused} of {evidence.services} services were running and paused"
        return "" if evidence.received_bytes else "it had received nothing in the second before"

"""Services' processes as a medium of faults."""

from __future__ import annotations

from dataclasses import dataclass

from chaos.agent.states import ServiceState
from chaos.experiment.catalogue import TargetForm
from chaos.faults.base import Evidence, Fault, Medium


@dataclass(frozen=True)
class ProcessEvidence(Evidence):
    """What a fault did to services.

    Attributes:
        killed, paused, recreated: Services whose processes were killed or paused, or which were stopped and got a new
            container, of `services` that should be.
        received_bytes: What these services had received from others in the second before.
    """

    services: int = 0
    killed: int = 0
    paused: int = 0
    recreated: int = 0
    received_bytes: int = 0


class ProcessMedium(Medium):
    """The processes of services."""

    name = "process"
    forms = (
        TargetForm("service", "name", "service", "a service"),
        TargetForm("role", "name", "role", "a role"),
    )
    needs = ("engine", "privileges", "capabilities")
    live = "chaos.faults.process.live:LiveProcesses"


class ProcessFault(Fault[ProcessEvidence]):
    """A fault of services' processes."""

    medium = ProcessMedium()

    def wanted(self, service: ServiceState) -> ServiceState:
        """The state of a target service while the fault is in force, given what it would be without."""
        raise NotImplementedError

"""Faults of the links between services.

Injected: every packet from one service to another is dropped, on every interface and address, of connections that are
established too. Never injected here: anything between the phones and the front door (that is the carrier's), resets,
loss of some packets, delay.
"""

from __future__ import annotations

from chaos.agent.states import LinkState
from chaos.experiment.catalogue import ParameterInfo
from chaos.faults.link.medium import LinkEvidence, LinkFault
from chaos.faults.registry import fault


@fault("network.partition")
class Partition(LinkFault):
    """Sets of services no longer reach each other; within a set, and to services that no set has, all is as before.

    Bites when packets were dropped on a link that had carried traffic in the 5 s before.

    Attributes:
        one_way: Only what an earlier set (or an isolated service) sends is lost, not what it is sent.
    """

    targets = ("between", "isolate")
    parameters = {"one_way": ParameterInfo("flag", default=False)}  # noqa: RUF012 - a mapping by annotation of the base class

    one_way: bool = False

    def wanted(self, link: LinkState) -> LinkState:
        """Closed."""
        return link.cut()

    def why_not_bitten(self, evidence: LinkEvidence) -> str:
        """A packet was dropped on a link that had been in use."""
        if not evidence.links_in_use:
            return "no link that was cut had carried traffic in the 5 s before"
        return "" if evidence.dropped_packets else "no packet was dropped on a link that had been in use"

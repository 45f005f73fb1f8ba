"""The links between services as a medium of faults."""

from __future__ import annotations

from dataclasses import dataclass

from chaos.agent.states import LinkState
from chaos.experiment.catalogue import TargetForm
from chaos.faults.base import Evidence, Fault, Medium


@dataclass(frozen=True)
class LinkEvidence(Evidence):
    """What a fault did to links.

    Attributes:
        links_in_use: Links that carried packets in the 5 s before, of `links` that were closed.
        dropped_packets: Dropped on links that had been in use.
    """

    links: int = 0
    links_in_use: int = 0
    dropped_packets: int = 0


class LinkMedium(Medium):
    """The links between services, each directed from one to another.

    `between` has sets of services and roles that are parted from each other, where a service counts in the first set
    that has it; `isolate` those that are each parted from every other service.
    """

    name = "link"
    forms = (
        TargetForm("between", "sets", "service or role", "sets of services"),
        TargetForm("isolate", "names", "service or role", "sets of services"),
    )
    needs = ("engine", "privileges", "capabilities", "nftables")
    live = "chaos.faults.link.live:LiveLinks"


class LinkFault(Fault[LinkEvidence]):
    """A fault of links.

    Attributes:
        one_way: Only what an earlier set (or an isolated service) sends is struck, not what it is sent.
    """

    medium = LinkMedium()
    one_way: bool = False

    def wanted(self, link: LinkState) -> LinkState:
        """The state of a target link while the fault is in force, given what it would be without."""
        raise NotImplementedError

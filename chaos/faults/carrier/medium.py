"""The carrier as a medium of faults: the path of every phone to the front door, through a Toxiproxy server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from chaos.experiment.catalogue import TargetForm
from chaos.experiment.plan import Target
from chaos.faults.base import Evidence, Fault, Medium, Missing
from chaos.stack.carrier.toxic import Toxic
from chaos.stack.spec import Stack


@dataclass(frozen=True)
class CarrierState:
    """The wanted state of the carrier; the default is its baseline.

    Attributes:
        listening: Else every connection is cut and none is accepted.
        toxics: What happens to connections.
    """

    listening: bool = True
    toxics: tuple[Toxic, ...] = ()

    def closed(self) -> CarrierState:
        """The same, accepting nobody."""
        return replace(self, listening=False)

    def with_toxics(self, *toxics: Toxic) -> CarrierState:
        """The same with these as well."""
        return replace(self, toxics=(*self.toxics, *toxics))

    @property
    def delay_ms(self) -> int:
        """By how much replies are late, give or take the jitter."""
        late = [toxic.attributes for toxic in self.toxics if (toxic.type, toxic.stream) == ("latency", "downstream")]
        return sum(each["latency"] for each in late)


@dataclass(frozen=True)
class CarrierEvidence(Evidence):
    """What a fault did to the carrier.

    Attributes:
        carrier_changes: What it was read back doing: toxics, and 1 where it accepted nobody.
        delay_ms: By how much it was told to make replies late, give or take the jitter.
    """

    carrier_changes: int = 0
    delay_ms: int = 0


class CarrierMedium(Medium):
    """The one carrier of a stack that has one."""

    name = "carrier"
    forms = (TargetForm("carrier", "flag", "carrier", "a carrier"),)
    needs = ("engine", "privileges", "capabilities", "toxiproxy")
    live = "chaos.faults.carrier.live:LiveCarrier"

    def missing(self, fault: type[Fault[Any]], target: Target, stack: Stack) -> list[Missing]:
        """The carrier itself, where the stack has none."""
        hint = "say `carrier: toxiproxy` under x-chaos"
        return [] if stack.carrier else [Missing((target.key,), "the stack has no carrier", hint)]

    def strikes(self, target: Target, stack: Stack) -> str:
        """All of them."""
        return "every phone's path to the front door"


class CarrierFault(Fault[CarrierEvidence]):
    """A fault of the carrier. The server reads back that it is in force; that phones felt it, the history tells."""

    medium = CarrierMedium()
    targets = ("carrier",)
    is_felt = True

    def wanted(self, carrier: CarrierState) -> CarrierState:
        """The state of the carrier while the fault is in force, given what it would be without."""
        raise NotImplementedError

    def why_not_bitten(self, evidence: CarrierEvidence) -> str:
        """The server reads it back as in force."""
        return "" if evidence.carrier_changes else "the carrier was not read back doing it"

    @property
    def own_changes(self) -> Mapping[str, int]:
        """What it alone changes of the baseline."""
        own = self.wanted(CarrierState())
        return {"carrier_changes": len(own.toxics) + (not own.listening), "delay_ms": own.delay_ms}

"""What states targets can be wanted in. Faults compose: each takes a state and returns the next."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from chaos.stack.toxiproxy import Toxic

Operation = Literal["read", "write", "flush"]
SECTOR_BYTES = 512


@dataclass(frozen=True)
class FailIo:
    """Fail `operations` with EIO, `times` times (None: as long as the rule stands), on [first, end) bytes."""

    operations: frozenset[Operation]
    times: int | None = None
    first_byte: int = 0
    end_byte: int | None = None
    cause: int = 0

    def to_agent(self) -> dict[str, object]:
        """As `chaos.agent.state.rule_from` reads it."""
        span = {"first": self.first_byte, "end": self.end_byte}
        return {"cause": self.cause, "fail": sorted(self.operations), "times": self.times, **span}


@dataclass(frozen=True)
class HoldIo:
    """Hold back the answers of `operations` as long as the rule stands."""

    operations: frozenset[Operation]
    cause: int = 0

    def to_agent(self) -> dict[str, object]:
        """As `chaos.agent.state.rule_from` reads it."""
        return {"cause": self.cause, "hold": sorted(self.operations)}


@dataclass(frozen=True)
class LunState:
    """The wanted state of a LUN; the default is its baseline.

    Attributes:
        power: Off: its port closes and unflushed writes are dropped.
        lost: Gone for good, with everything on it.
        rules: What happens to requests, the first that applies.
        cause: The fault that is being laid over: the rules that it adds are counted for it alone.
    """

    power: bool = True
    lost: bool = False
    rules: tuple[FailIo | HoldIo, ...] = ()
    cause: int = 0

    @property
    def serves(self) -> bool:
        """Whether who writes to it gets an answer: it has power, and nothing holds the answers back."""
        return self.power and not any(isinstance(rule, HoldIo) for rule in self.rules)

    def with_rule(self, rule: FailIo | HoldIo) -> LunState:
        """The same with one more rule."""
        return replace(self, rules=(*self.rules, replace(rule, cause=self.cause)))

    def laid_over_by(self, cause: int) -> LunState:
        """The same, with the rules to come being this fault's."""
        return replace(self, cause=cause)

    def powered_off(self) -> LunState:
        """The same without power."""
        return replace(self, power=False)

    def gone(self) -> LunState:
        """The same, lost for good."""
        return replace(self, lost=True)

    def to_agent(self) -> dict[str, object]:
        """As `chaos.agent.service.Agent.do_apply` reads it."""
        return {"power": self.power, "lost": self.lost, "rules": [rule.to_agent() for rule in self.rules]}


@dataclass(frozen=True)
class CarrierState:
    """The wanted state of the carrier; the default is its baseline.

    Attributes:
        listening: Else every connection is cut and none is accepted.
        toxics: What happens to connections, in this order.
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
class ServiceState:
    """The wanted state of a service; the default is its baseline.

    Attributes:
        anew: In a container of its own that is made anew when it has been stopped in order, and not started yet.
    """

    running: bool = True
    paused: bool = False
    anew: bool = False

    def killed(self) -> ServiceState:
        """The same, not running."""
        return replace(self, running=False)

    def made_anew(self) -> ServiceState:
        """The same, in a new container."""
        return replace(self, anew=True)

    def frozen(self) -> ServiceState:
        """The same, with its processes stopped where they stand."""
        return replace(self, paused=True)


@dataclass(frozen=True)
class LinkState:
    """The wanted state of the link from one service to another; the default is its baseline."""

    open: bool = True

    def cut(self) -> LinkState:
        """The same, with every packet dropped."""
        return replace(self, open=False)

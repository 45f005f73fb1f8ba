"""What faults ask of the agent: that LUNs, services and links be in a state of `states`, and what was counted.

See `wire`, whose requests are those of operators.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from chaos.agent.request import Done, Request
from chaos.agent.states import LinkState, LunState, ServiceState

Link = tuple[str, str]
"""Sender, receiver."""


# --- LUNs


@dataclass(frozen=True)
class LunTraffic:
    """What went through a LUN since it was made, over all ports."""

    reads: int = 0
    writes: int = 0
    flushes: int = 0
    written_bytes: int = 0
    last_write_ns: int = 0


@dataclass(frozen=True)
class Killed:
    """A service that was to be killed: `alive` before, and the bytes that it had received in the second before."""

    alive: bool = False
    received_bytes: int = 0


@dataclass(frozen=True)
class LunsApplied:
    """What became of an `ApplyLuns`.

    Attributes:
        at: When all of it was in force.
        dirty: What the services asked for had to write back just before, in bytes.
        killed: By service.
        before: Each LUN's traffic until then.
        closed, kept: Of LUNs whose port this has closed, the unflushed bytes that were discarded, and that survived.
        after: Each LUN's state, read back.
        lapsed: LUNs of which something had been wanted that ended by itself.
    """

    at: int
    dirty: dict[str, int] = field(default_factory=dict)
    killed: dict[str, Killed] = field(default_factory=dict)
    before: dict[str, LunTraffic] = field(default_factory=dict)
    closed: dict[str, int] = field(default_factory=dict)
    after: dict[str, LunState] = field(default_factory=dict)
    lapsed: tuple[str, ...] = ()
    kept: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ApplyLuns(Request[LunsApplied]):
    """Bring LUNs into the state that a `cause` wants, all of them between two I/Os, and read it back.

    What other causes want of them stays; effects meet I/Os in the order of their causes.

    Services to `kill` die first, then LUNs close, so that nothing sneaks out of the page cache. LUNs to `unplug` close
    as well, while their arrays go on: what those have taken stays, what the page cache holds never gets there. Effects
    are leased: they end by themselves after `lease_seconds`. Ports that this closes are closed for `cause`. Before all
    that, what services under `dirty` have to write back is read. LUNs `within` the machines lose what is not flushed.
    """

    luns: dict[str, LunState]
    lease_seconds: float
    cause: int = 0
    kill: tuple[str, ...] = ()
    unplug: tuple[str, ...] = ()
    within: tuple[str, ...] = ()
    dirty: tuple[str, ...] = ()


@dataclass(frozen=True)
class Arm(Request[Done]):
    """Carry a request out right `before` or right after the nth I/O of a kind that comes to a LUN from now on.

    The event "struck" tells when that was done. One request can be armed for each cause; until it strikes it has no
    effect at all, and it ends with the agent.
    """

    request: ApplyLuns
    lun: str
    operation: Literal["flush", "write"]
    number: int
    before: bool


@dataclass(frozen=True)
class FellOn:
    """The I/O before or after which an armed request was carried out.

    Attributes:
        number: Of the I/Os of this kind that came to this LUN since the request was armed.
        offset, size: In bytes; of a flush those of the last write before it (0, 0 where there was none).
        writes: That came before it since then.
    """

    lun: str
    operation: Literal["flush", "write"]
    number: int
    before: bool
    offset: int
    size: int
    writes: int


@dataclass(frozen=True)
class Disarmed:
    """The I/Os that came while a request was armed; `taken_apart`: until operators took one of its LUNs away."""

    flushes: int = 0
    writes: int = 0
    taken_apart: bool = False


@dataclass(frozen=True)
class Disarm(Request[Disarmed]):
    """Let an armed request wait no longer. One that has struck was told of before the reply to this."""

    cause: int


@dataclass(frozen=True)
class TakeApart(Request[Done]):
    """Operators are about to take these LUNs away: armed requests that involve one of them strike no more."""

    luns: tuple[str, ...]


@dataclass(frozen=True)
class LunCounts:
    """What was counted of a LUN: all that went through it, and what was done to I/Os for one cause, by name.

    The names are those of the effects: "failed_reads", "held_ios", "delayed_ios" and so on.
    """

    traffic: LunTraffic
    ios: dict[str, int]


@dataclass(frozen=True)
class Counts:
    """By LUN."""

    luns: dict[str, LunCounts]


@dataclass(frozen=True)
class CountIos(Request[Counts]):
    """What went through these LUNs so far, and what effects of this cause, or ports closed for it, did to I/Os."""

    luns: tuple[str, ...]
    cause: int = 0


# --- services


@dataclass(frozen=True)
class ServiceRead:
    """A service, read back: how it was before, what it had received in the second before, and `paused` now."""

    alive: bool = False
    received_bytes: int = 0
    was_paused: bool = False
    paused: bool = False


@dataclass(frozen=True)
class ServicesApplied:
    """What became of an `ApplyServices`: `killed` by service, every service read back, those that `lapsed`."""

    at: int
    killed: dict[str, Killed] = field(default_factory=dict)
    services: dict[str, ServiceRead] = field(default_factory=dict)
    lapsed: tuple[str, ...] = ()


@dataclass(frozen=True)
class ApplyServices(Request[ServicesApplied]):
    """Pause services, or let them go on, and kill some of them. Pauses are leased; who was killed stays so."""

    services: dict[str, ServiceState]
    lease_seconds: float
    kill: tuple[str, ...] = ()


# --- links


@dataclass(frozen=True)
class LinkRead:
    """A link, read back: `was_open` before, packets `carried` in the 5 s before and `dropped` so far, `state` now."""

    was_open: bool
    state: LinkState
    carried: int = 0
    dropped: int = 0


@dataclass(frozen=True)
class LinksApplied:
    """What became of an `ApplyLinks`: the links in the order of the request, and those that `lapsed`."""

    at: int
    links: tuple[LinkRead, ...] = ()
    lapsed: tuple[str, ...] = ()


@dataclass(frozen=True)
class ApplyLinks(Request[LinksApplied]):
    """Open and close links, in one transaction for each receiver, and read them back. Closed links are leased."""

    links: tuple[tuple[Link, LinkState], ...]
    lease_seconds: float


@dataclass(frozen=True)
class Drops:
    """Packets, in the order of the links."""

    packets: tuple[int, ...]


@dataclass(frozen=True)
class CountDrops(Request[Drops]):
    """Packets that these links have dropped so far."""

    links: tuple[Link, ...]

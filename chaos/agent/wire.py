"""What the controller and the agent say to each other: each request with its reply, and the events.

Both sides import this file. A request is a line of JSON, `{"id": 7, "do": "attach", ...}`, whose further keys are the
fields of its class below; the reply is `{"id": 7, "ok": {...}}`, or `{"id": 7, "error": "...", "trace": "..."}` where
it was refused. The agent pushes events without being asked: `{"event": "exited", ...}`.

Times are ns of CLOCK_MONOTONIC, which controller and agent share.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from chaos.agent.request import Request
from chaos.agent.states import LinkState, LunState, ServiceState

Link = tuple[str, str]
"""Sender, receiver."""


@dataclass(frozen=True)
class Done:
    """The reply to a request that has nothing to tell."""


@dataclass(frozen=True)
class Beat(Request[Done]):
    """The controller lives."""


# --- LUNs


@dataclass(frozen=True)
class Create(Request[Done]):
    """Make a LUN as a clone of a golden file `base`, a path in the agent; without one it is blank."""

    lun: str
    size_bytes: int
    base: str | None = None
    filesystem: str = "ext4"
    mount_options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Drop(Request[Done]):
    """Forget a LUN and its content; ports to it fail from now on."""

    lun: str


@dataclass(frozen=True)
class Device:
    """A loop device's path on the host."""

    device: str


@dataclass(frozen=True)
class Attach(Request[Device]):
    """Show a LUN as a loop device through a new port; the old port, if any, is closed."""

    lun: str


@dataclass(frozen=True)
class Unmounted:
    """Whether nobody has a file system mounted any more; else one process of each mount namespace that still has it."""

    free: bool
    holders: tuple[str, ...] = ()


@dataclass(frozen=True)
class AwaitUnmount(Request[Unmounted]):
    """Wait until nobody has a LUN's file system mounted and its last write has arrived; a closed port takes none."""

    lun: str
    seconds_max: float


@dataclass(frozen=True)
class Save(Request[Done]):
    """Write a LUN's content into a golden file."""

    lun: str
    path: str


@dataclass(frozen=True)
class Inspected:
    """Of each file why it does not hold a whole file system that was unmounted in order; empty where it does."""

    problems: tuple[str, ...]


@dataclass(frozen=True)
class Inspect(Request[Inspected]):
    """Look at golden files, each as (path, size in bytes, file system)."""

    files: tuple[tuple[str, int, str], ...]


@dataclass(frozen=True)
class Format(Request[Done]):
    """Make a file with an empty file system, as a new LUN has it."""

    path: str
    size_bytes: int
    filesystem: str


@dataclass(frozen=True)
class Show(Request[Device]):
    """Show a file as a loop device that is no LUN: the first content of a LUN is copied there."""

    path: str


@dataclass(frozen=True)
class Hide(Request[Done]):
    """Free the loop device of a file, once nothing has it mounted."""

    path: str


@dataclass(frozen=True)
class Checked:
    """What a boot-time check did and said; `ok`: the file system may be mounted."""

    output: str
    ok: bool


@dataclass(frozen=True)
class Check(Request[Checked]):
    """Boot-time check of an attached LUN that is not mounted."""

    lun: str


@dataclass(frozen=True)
class Sync(Request[Done]):
    """Write back everything dirty of one file system, through one of the services that mount it, each with its path."""

    places: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class LunHealth:
    """Whether a LUN's port is closed, and whether the file system on it gave up."""

    closed: bool
    gave_up: bool


@dataclass(frozen=True)
class Health(Request[LunHealth]):
    """How a LUN is."""

    lun: str


# --- what is wanted of LUNs


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
    """Bring LUNs into the wanted state, all of them between two I/Os, and read it back.

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


# --- services and their processes


@dataclass(frozen=True)
class Watch(Request[Done]):
    """Know the init process of a service's container, by its pid in the host's namespace."""

    service: str
    pid: int


@dataclass(frozen=True)
class Confine(Request[Done]):
    """Link a container that has started as is wanted now, and confine it to its run's own subnet."""

    service: str
    pid: int
    subnet: str


@dataclass(frozen=True)
class Forget(Request[Done]):
    """A service's container is about to be stopped on purpose: its end is no event."""

    service: str


@dataclass(frozen=True)
class Alive:
    """Those of the services asked about whose init process runs."""

    services: tuple[str, ...]


@dataclass(frozen=True)
class FindAlive(Request[Alive]):
    """Which of these services are alive: one that was killed is not, whatever the engine has noticed yet."""

    services: tuple[str, ...]


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


@dataclass(frozen=True)
class MountPoints:
    """By service, where it has something mounted, as it sees the paths; services that have ended are left out."""

    services: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Mounts(Request[MountPoints]):
    """Where each of these services has something mounted."""

    services: tuple[str, ...]


@dataclass(frozen=True)
class Question:
    """GET `path` on the service's own 127.0.0.1: does it answer 200, with `says` in its text?"""

    service: str
    port: int
    path: str
    says: str = ""


@dataclass(frozen=True)
class Answers:
    """In the order of the questions."""

    agreed: tuple[bool, ...]


@dataclass(frozen=True)
class Ask(Request[Answers]):
    """Ask services over HTTP; who gives no answer within `seconds_max` says no."""

    questions: tuple[Question, ...]
    seconds_max: float


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


@dataclass(frozen=True)
class HeardPackets:
    """How many, and how often rules were written: where that differs, the counters began anew in between."""

    packets: int
    rewrites: int


@dataclass(frozen=True)
class Heard(Request[HeardPackets]):
    """Packets that services had so far: each end is (service, sender), where no sender is everybody outside the run."""

    ends: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Release(Request[Done]):
    """End everything that can be ended at once, whatever it was for: a trial broke off, its stack goes away."""


# --- events


@dataclass(frozen=True)
class Event:
    """What the agent says by itself.

    Attributes:
        event: "ready"; "exited" of a `service` that ended, by itself or `killed` by a fault; "lease-ended" of the
            `targets` whose lease ran out; "crashed" with the `trace`; "refused" of a request, with `error` and `trace`;
            and of the controller itself "stalled": its event loop stood still for so many `seconds`, where the `trace`
            says.
    """

    event: Literal["ready", "exited", "lease-ended", "crashed", "refused", "stalled"]
    service: str = ""
    killed: bool = False
    targets: tuple[str, ...] = ()
    error: str = ""
    trace: str = ""
    seconds: float = 0.0

"""What the controller and the agent say to each other: each request with its reply, and the events.

Both sides import this file, and `wire_states` with the requests of faults. A request is a line of JSON,
`{"id": 7, "do": "attach", ...}`, whose further keys are the fields of its class below; the reply is
`{"id": 7, "ok": {...}}`, or `{"id": 7, "error": "...", "trace": "..."}` where it was refused. The agent pushes events
without being asked: `{"event": "exited", ...}`.

Times are ns of CLOCK_MONOTONIC, which controller and agent share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from chaos.agent.request import Done, Request
from chaos.agent.states import Crash
from chaos.agent.wire_states import FellOn, LunsApplied


@dataclass(frozen=True)
class Beat(Request[Done]):
    """The controller lives."""


# --- LUNs


@dataclass(frozen=True)
class Create(Request[Done]):
    """Make a LUN as a clone of a golden file `base`, a path in the agent; without one it is blank.

    With `crash` it is what a power cut would have left of a LUN over the same base.
    """

    lun: str
    size_bytes: int
    base: str | None = None
    filesystem: str = "ext4"
    mount_options: tuple[str, ...] = ()
    crash: Crash | None = None


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


# --- files in the cache folder: golden copies of LUNs, and write logs; paths are those in the agent


@dataclass(frozen=True)
class Save(Request[Done]):
    """Write a LUN's content into a golden file."""

    lun: str
    path: str


@dataclass(frozen=True)
class KeepLog(Request[Done]):
    """Forget nothing of what is written to these LUNs from now on."""

    luns: tuple[str, ...]


@dataclass(frozen=True)
class SaveLog(Request[Done]):
    """Write a LUN's log and all that was written into two files, of this path with suffixes (`recording`)."""

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


# --- services and their processes


@dataclass(frozen=True)
class Watch(Request[Done]):
    """Know the init process of a service's container, by its pid in the host's namespace."""

    service: str
    pid: int


@dataclass(frozen=True)
class Tidied:
    """What of a network namespace is not as it was when this was first asked for; empty: it can be used again."""

    left: tuple[str, ...]


@dataclass(frozen=True)
class Tidy(Request[Tidied]):
    """Have nothing left in a network namespace of services that have ended; `pid` is that of the process that keeps it.

    Asked for before the first service has it, this takes note of what is there.
    """

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


# --- packets, and the end


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
        event: "ready"; "struck" of an armed request, by its `cause`, with the I/O that it `fell_on` and what became of
            it (`applied`, or `error` and `trace`); "exited" of a `service` that ended, by itself or `killed` by a
            fault; "lease-ended" of the `targets` whose lease ran out; "crashed" with the `trace`; "refused" of a
            request, with `error` and `trace`; and of the controller itself "stalled": its event loop stood still for so
            many `seconds`, where the `trace` says.
    """

    event: Literal["ready", "struck", "exited", "lease-ended", "crashed", "refused", "stalled"]
    service: str = ""
    killed: bool = False
    targets: tuple[str, ...] = ()
    error: str = ""
    trace: str = ""
    seconds: float = 0.0
    cause: int = 0
    fell_on: FellOn | None = None
    applied: LunsApplied | None = None

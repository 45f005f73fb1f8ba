"""What a stack is, once its Compose file is read: plain frozen data, no engine behind it.

`chaos.stack.compose` makes it from the user's file; everything else only reads it.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from chaos.experiment.drivers import DEFAULT, DriverChoice
from chaos.experiment.plan import Planting

Condition = Literal["service_started", "service_healthy", "service_completed_successfully"]
ANY = "any "
"""Before a role: one of the services that have it."""
Filesystem = Literal["ext4", "xfs"]
Restart = Literal["no", "always", "on-failure", "unless-stopped"]
LOCAL = "local"
"""The array of all disks that are in the machines themselves, each a LUN of its own."""
NOCOPY = "nocopy"
"""Among a LUN's mount options: it does not take what the image has there, as a bind does not."""

NO_DOOR = ("", 0)
"""The front door of a stack of which nobody has said yet where phones knock."""


def whole_path(path: str) -> str:
    """A path in a container, in the one way in which it can be written."""
    return posixpath.normpath("/" + path.lstrip("/"))


def place_name(service: str, path: str) -> str:
    """`service:/path`, as a mount is called."""
    return f"{service}:{whole_path(path)}"


@dataclass(frozen=True)
class Build:
    """How an image is made: a folder, a Dockerfile, build arguments and a target stage.

    Attributes:
        dockerfile: Relative to the context, or absolute where it lies elsewhere.
        inline: The Dockerfile's text where it stands in the Compose file.
        secrets: Files that steps of the build may see, by id.
        secret_texts: The same, of which the Compose file or a variable has the content.
        ssh: Agents or keys that steps may use: `default`, or `id=path`.
        contexts: Further folders by name, or what else BuildKit takes for one, such as `docker-image://debian:12`.
    """

    context: Path
    dockerfile: str = "Dockerfile"
    args: Mapping[str, str] = field(default_factory=dict, repr=False)
    target: str = ""
    inline: str = ""
    platform: str = ""
    secrets: Mapping[str, Path] = field(default_factory=dict)
    secret_texts: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    ssh: tuple[str, ...] = ()
    contexts: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_dockerfile_outside(self) -> bool:
        """Whether the Dockerfile is no file of the context."""
        return bool(self.inline) or posixpath.normpath(self.dockerfile).startswith(("/", ".."))


@dataclass(frozen=True)
class Healthcheck:
    """A service's own check. `test` is the argument vector inside the container; times in seconds.

    Without a test it is that of the image, if it has one, and what is 0 is the image's own.
    """

    test: tuple[str, ...]
    interval_seconds: float = 30.0
    timeout_seconds: float = 30.0
    retries: int = 3
    start_period_seconds: float = 0.0


@dataclass(frozen=True)
class Mount:
    """One volume, bind or tmpfs of a service.

    Attributes:
        kind: "lun" and "volume" have a name as source, "bind" and "file" a host path, "tmpfs" nothing. A "file" is
            copied for each trial. `chaos.stack.local` leaves no "volume", and no "bind" that could be written to.
        target: Path inside the container.
        options: Of a tmpfs; "nocopy" of a volume that does not begin with what the image has there.
    """

    kind: Literal["lun", "volume", "bind", "file", "tmpfs"]
    source: str
    target: str
    read_only: bool = False
    options: str = ""


@dataclass(frozen=True)
class Port:
    """A published port. `host_port` 0: Holdfast chooses one of 127.0.0.1 and keeps it over restarts."""

    container_port: int
    host_port: int = 0


@dataclass(frozen=True)
class Ulimit:
    """One limit of processes, such as nofile; -1 is none."""

    name: str
    soft: int
    hard: int


@dataclass(frozen=True)
class Limits:
    """What a container may use, besides its processors and memory; 0 and None leave it to the engine."""

    pids: int = 0
    memory_and_swap_bytes: int = 0
    swappiness: int | None = None
    cpu_shares: int = 0
    cpuset: str = ""
    oom_kill_disable: bool = False
    oom_score_adj: int = 0
    ulimits: tuple[Ulimit, ...] = ()


@dataclass(frozen=True)
class Service:
    """One service of the stack.

    Values of its environment and its secrets are never printed; stored are those that stand in the Compose file itself,
    of which a run folder has a copy.

    Attributes:
        volumes_from: Services, as `name` or `name:ro`, whose images' volumes are mounted too; `mounts` has the rest.
        restarts_max: Of `on-failure`: how often it is started again; 0: as often as it fails.
        hosts: Further lines of /etc/hosts: (name, address).
        links: Names by which this service alone knows others.
        secrets: Files by their target: a name below /run/secrets, or a path.
        texts: Files of which the Compose file or a variable has the content, by path.
    """

    name: str
    image: str = ""
    build: Build | None = None
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    mounts: tuple[Mount, ...] = ()
    volumes_from: tuple[str, ...] = ()
    ports: tuple[Port, ...] = ()
    depends_on: Mapping[str, Condition] = field(default_factory=dict)
    healthcheck: Healthcheck | None = None
    restart: Restart = "no"
    restarts_max: int = 0
    user: str = ""
    group_add: tuple[str, ...] = ()
    working_dir: str = ""
    hostname: str = ""
    domainname: str = ""
    aliases: tuple[str, ...] = ()
    hosts: tuple[tuple[str, str], ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    read_only: bool = False
    tty: bool = False
    stdin_open: bool = False
    init: bool = False
    shm_size_bytes: int = 0
    stop_signal: str = ""
    stop_grace_seconds: float = 10.0
    platform: str = ""
    secrets: Mapping[str, Path] = field(default_factory=dict, repr=False)
    texts: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    cpus: float = 0.0
    memory_bytes: int = 0
    limits: Limits = Limits()


@dataclass(frozen=True)
class Lun:
    """One block device of an array, on which one volume lives.

    Attributes:
        name: The volume's, or "service:/path" where it has none.
        contents: A folder of the host; what is in there lies on the LUN from the first.
        mount_options: As the Compose file has them.
    """

    name: str
    array: str
    size_bytes: int
    filesystem: Filesystem = "ext4"
    contents: str = ""
    mount_options: tuple[str, ...] = ()

    @property
    def is_local(self) -> bool:
        """Whether it is a disk in the machine itself: it loses power with it, and no SAN has to do with it."""
        return self.array == LOCAL

    @property
    def mounted_with(self) -> tuple[str, ...]:
        """The options that it is mounted with. LUNs are clones, and XFS refuses the second of two with one UUID."""
        own = ("nouuid",) if self.filesystem == "xfs" else ()
        return tuple(dict.fromkeys((*own, *self.mount_options)))

    @property
    def file_name(self) -> str:
        """Its name as a part of file and volume names."""
        safe = re.sub(r"[^A-Za-z0-9_.-]+", "-", self.name)[:60].strip("-")
        return safe if safe == self.name else f"{safe}-{hashlib.sha256(self.name.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class RoleCheck:
    """How a service is asked whether it has a role: GET `path` from its own 127.0.0.1.

    It has it when the answer is 200 and its text has `says` in it.
    """

    port: int
    path: str
    says: str = ""


@dataclass(frozen=True)
class RunbookStep:
    """One thing that operators do after a disaster.

    `rebuild`: let `services` bootstrap themselves, on blank LUNs, from a copy that is left. For LUNs of which none is
    left: `run` inside `service` to restore, or `initialise`. The steps are tried in order; the first `restore` that
    succeeds ends the runbook, `initialise` always does.
    """

    name: str
    kind: Literal["rebuild", "restore", "initialise"]
    service: str = ""
    run: tuple[str, ...] = ()
    services: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stack:
    """A whole system under test.

    Attributes:
        name: Compose's `name`, else the folder's.
        source: The Compose file.
        luns: By name: that of the volume, or `service:/path`.
        volumes: Further named volumes; none once `chaos.stack.local` has put them on LUNs.
        front_door: (service, container port).
        driver: As `x-chaos` names it; an experiment may name another.
        roles: Services by role, e.g. {"database": ("db",)}; of a role that moves, those that may have it.
        role_checks: Of each role that moves, how to find out who has it.
        copies: For each store ("records", "blobs") the volumes that hold a copy of it, as declared.
        runbook: x-chaos.recovery.
        may_lose: Paths "service:/path" outside LUNs that, with all below them, the user declared as harmless to lose.
        steady: Commands by service that succeed there once the whole stack is in its steady state.
        doors: Copies that are read directly at the end: (kind, service, container port).
        carrier: Whether phones reach the front door through a Toxiproxy of the run.
        planting: How a record is removed behind the services' backs; None: the stack does not say.
        boots_at_once: Whether a cold restart starts what an engine starts that boots all at once, whatever depends on
            what.
        notes: What the Compose file says and has no meaning in a trial, a line each.
        unsafe: Settings of services that switch durability off, a line each.
        unset: Variables of the Compose files that have neither a value nor a default, a line each.
    """

    name: str
    source: Path
    services: Mapping[str, Service]
    luns: Mapping[str, Lun]
    volumes: tuple[str, ...]
    front_door: tuple[str, int]
    driver: DriverChoice = DEFAULT
    policy: Literal["reject", "last-writer-wins"] = "reject"
    idempotency: Literal["keyed", "none"] = "keyed"
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    role_checks: Mapping[str, RoleCheck] = field(default_factory=dict)
    copies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    runbook: tuple[RunbookStep, ...] = ()
    may_lose: tuple[str, ...] = ()
    steady: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    doors: tuple[tuple[str, str, int], ...] = ()
    carrier: bool = False
    boots_at_once: bool = False
    planting: Planting | None = None
    notes: tuple[str, ...] = ()
    unsafe: tuple[str, ...] = ()
    unset: tuple[str, ...] = ()

    @property
    def arrays(self) -> dict[str, tuple[str, ...]]:
        """LUN names by array, in the order of the file."""
        found: dict[str, tuple[str, ...]] = {}
        for lun in self.luns.values():
            found[lun.array] = (*found.get(lun.array, ()), lun.name)
        return found

    @property
    def bound(self) -> tuple[str, ...]:
        """Every path of the host that services bind, as it is or as a copy."""
        mounts = [mount for service in self.services.values() for mount in service.mounts]
        found = [mount.source for mount in mounts if mount.kind in ("bind", "file")]
        return tuple(dict.fromkeys([*found, *(lun.contents for lun in self.luns.values() if lun.contents)]))

    def candidates(self, name: str) -> tuple[str, ...]:
        """The services that a name in an experiment may mean: itself, or those of a role; `any ROLE` is one of them."""
        return (name,) if name in self.services else self.roles.get(name.removeprefix(ANY), ())

    def lun_named(self, name: str) -> str:
        """The LUN that is called so, or that a service, or each one of a role, mounts there; empty for none."""
        if name in self.luns:
            return name
        service, _, path = name.partition(":")
        services = [self.services[one] for one in self.candidates(service)]
        places = [{place_name(service, mount.target): mount for mount in each.mounts} for each in services]
        found = {(mount.source if (mount := each.get(place_name(service, path))) else "") for each in places}
        return found.pop() if len(found) == 1 and found <= self.luns.keys() else ""

    def luns_of(self, services: Iterable[str]) -> tuple[str, ...]:
        """The LUNs that these services mount, in the order of the file."""
        mounted = {m.source for name in services for m in self.services[name].mounts if m.kind == "lun"}
        return tuple(name for name in self.luns if name in mounted)

    def beside(self, luns: Iterable[str]) -> tuple[str, ...]:
        """Every LUN of the SAN's arrays that these LUNs are on, in the order of the file; local disks are on none."""
        arrays = {self.luns[name].array for name in luns} - {LOCAL}
        return tuple(lun.name for lun in self.luns.values() if lun.array in arrays)

    def place_of(self, volume: str) -> str:
        """In words, what a volume is lost with: its array, or its machine; empty if it is on no LUN."""
        lun = self.luns.get(volume)
        if lun is None:
            return ""
        services = self.joined((volume,))[0] if lun.is_local else ()
        return f"the local disks of {' and '.join(services)}" if services else f"array {lun.array}"

    def place_of_all(self, volumes: Iterable[str]) -> str:
        """In words, the one array or machine that all these volumes are lost with; empty if there is none."""
        places = {self.place_of(volume) for volume in volumes}
        return places.pop() if len(places) == 1 else ""

    def copies_in_one_place(self) -> dict[str, str]:
        """By store, where all of its copies are lost together; of a store with one copy that is no news."""
        several = {store: volumes for store, volumes in self.copies.items() if len(set(volumes)) > 1}
        return {store: place for store, volumes in several.items() if (place := self.place_of_all(volumes))}

    def array_of(self, volume: str) -> str:
        """The array that a volume is on; empty for on no LUN, and for a local disk, which shares its fate with none."""
        lun = self.luns.get(volume)
        return "" if lun is None or lun.is_local else lun.array

    def is_harmless(self, service: str, path: str) -> bool:
        """Whether `may_lose` names this path, or one above it."""
        place = PurePosixPath(path)
        named = (
            PurePosixPath(other)
            for name, _, other in (each.partition(":") for each in self.may_lose)
            if name == service
        )
        return any(place.is_relative_to(other) for other in named)

    def copies_left(self, lun: str, lost: Collection[str]) -> tuple[str, ...]:
        """Volumes, on LUNs or not, that hold everything that a lost LUN held a copy of; none if anything is gone.

        One that has only begun to copy what is left counts as `lost`, too.
        """
        stores = [volumes for volumes in self.copies.values() if lun in volumes]
        left = [[volume for volume in volumes if volume not in lost] for volumes in stores]
        return tuple(dict.fromkeys(volume for volumes in left for volume in volumes)) if all(left) else ()

    def services_on(self, luns: tuple[str, ...]) -> tuple[str, ...]:
        """Services that mount at least one of these LUNs, in the order of the file."""
        return tuple(
            service.name
            for service in self.services.values()
            if any(mount.kind == "lun" and mount.source in luns for mount in service.mounts)
        )

    def places_of(self, lun: str) -> tuple[tuple[str, str], ...]:
        """Where it is mounted, as (service, path)."""
        mounts = ((each.name, mount) for each in self.services.values() for mount in each.mounts if mount.kind == "lun")
        return tuple((service, mount.target) for service, mount in mounts if mount.source == lun)

    def joined(self, luns: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Services and LUNs that are one machine with these LUNs: (services, LUNs), in the order of the file.

        One machine at a time mounts a file system, so services that share a LUN are on the same one.
        """
        found = set(luns)
        while True:
            services = self.services_on(tuple(found))
            more = found.union(self.luns_of(services))
            if more == found:
                return services, tuple(name for name in self.luns if name in found)
            found = more

    def is_job(self, name: str) -> bool:
        """Whether somebody waits for this service's successful end, so that its end is no failure."""
        return any(each.depends_on.get(name) == "service_completed_successfully" for each in self.services.values())

    def is_done(self, name: str, code: int) -> bool:
        """Whether an end of this service with this exit code is as it should be, so that nobody starts it again."""
        return code == 0 and (self.is_job(name) or self.services[name].restart == "on-failure")

    @property
    def started_by_a_boot(self) -> frozenset[str]:
        """The services that an engine starts when it boots: those with a restart policy, but for jobs."""
        return frozenset(name for name, each in self.services.items() if each.restart != "no" and not self.is_job(name))

    def dependents(self, name: str) -> list[str]:
        """The services that depend on this one."""
        return [each.name for each in self.services.values() if name in each.depends_on]

    def in_start_order(self, names: Iterable[str]) -> list[str]:
        """These services, each after those that it depends on."""
        order: list[str] = []

        def visit(name: str) -> None:
            if name not in order:
                for other in self.services[name].depends_on:
                    visit(other)
                order.append(name)

        for name in self.services:
            visit(name)
        wanted = set(names)
        return [name for name in order if name in wanted]

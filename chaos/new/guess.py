"""What `x-chaos` of a stack may be, guessed from its Compose file: each guess with its reason."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from chaos.new.front import Front, front_of
from chaos.stack.local import SIZE_BYTES, size_of_copy
from chaos.stack.servers.recognise import Recognised, recognise
from chaos.stack.servers.server import Server, Variable, flag
from chaos.stack.spec import Service, Stack, place_name

OWN_DRIVER: Final = "driver:Phone"
"""The driver that is to be filled in, in `driver.py` beside the experiments."""
_GIB: Final = 1 << 30
_ARRAY_CHARACTERS: Final = 57
"""Of a service's name in that of its array, which may have 63."""


@dataclass(frozen=True)
class Disk:
    """What becomes a LUN of an array of its own.

    Attributes:
        name: As `x-chaos` has it: a volume, or `service:/path`.
        service: Whose data it is.
        size_gib: How large it is to be.
        is_blank: Whether what a bound folder has is left out.
        what: What is there in the Compose file, in words.
    """

    name: str
    service: str
    size_gib: int
    is_blank: bool
    what: str

    @property
    def array(self) -> str:
        """Each server's disk is on an array of its own: they fail one by one."""
        return f"{self.service[:_ARRAY_CHARACTERS]}-array"


@dataclass(frozen=True)
class Guess:
    """All that was guessed of a stack.

    Attributes:
        servers: The known servers, by service.
        checks: Health checks that servers get, by service: they need time to initialise their data, and have none.
        driver: Its name; OWN_DRIVER for one that is to be filled in.
        roles: Services by role.
        several: Services with replicas.
        struck: The service or role that loses power; empty where nothing has a disk.
        reasons: What was guessed and why, a line each.
        doubts: What could not be guessed, or may well be wrong, a line each.
    """

    front: Front
    servers: Mapping[str, Recognised]
    disks: tuple[Disk, ...]
    checks: Mapping[str, tuple[str, ...]]
    driver: str
    options: Mapping[str, str]
    conflict: str
    idempotency: str
    workload: Mapping[str, float]
    roles: Mapping[str, tuple[str, ...]]
    may_lose: tuple[str, ...]
    several: frozenset[str]
    struck: str
    speaks_http: bool
    reasons: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    @property
    def has_own_driver(self) -> bool:
        """Whether the driver is to be filled in."""
        return self.driver == OWN_DRIVER

    def is_role(self, name: str) -> bool:
        """Whether a fault's target of this name is a role; all replicas of a service are one."""
        return name in self.roles or name in self.several


def guess(stack: Stack, variables: Mapping[str, str], drivers: Collection[str]) -> Guess:
    """Guess all of it.

    Args:
        stack: Without `x-chaos`. Of a service with replicas the first one stands for all.
        variables: Values that `${NAME}` in a further Compose file would have, by name.
        drivers: The names of drivers that there are.
    """
    services = {written_name(each.name, stack): each for each in stack.services.values() if _is_first(each.name, stack)}
    seen = {name: found for name, each in services.items() if (found := recognise(each))}
    front = front_of(stack, {services[name].name: found for name, found in seen.items()})
    front = Front(written_name(front.service, stack), front.port, front.why, front.doubt, front.is_published)
    found = seen.get(front.service)
    driver = found.server.driver if found and found.server.driver in drivers else OWN_DRIVER
    server = found.server if found and driver != OWN_DRIVER else None
    disks = _disks(seen, services, stack)
    roles = _roles(front, seen, services)
    made = Guess(
        front=front,
        servers=seen,
        disks=disks,
        checks={
            name: _health(services[name], each.server)
            for name, each in seen.items()
            if each.server.health and each.image and _has_no_check(services[name])
        },
        driver=driver,
        options=_options(services[front.service], server, variables) if server else {},
        conflict=server.conflict if server else "last-writer-wins",
        idempotency=server.idempotency if server else "none",
        workload=server.workload if server else {"photos": 0},
        roles=roles,
        may_lose=tuple(place_name(name, path) for name, each in seen.items() for path in each.server.harmless),
        several=frozenset(name for name, each in services.items() if each.name != name),
        struck=_struck(front, seen, disks, roles, services),
        speaks_http=found is None or found.server.is_http,
    )
    _explain(made, services, has_rest="rest" in drivers)
    return made


def written_name(name: str, stack: Stack) -> str:
    """What the Compose file calls a service that may be one of several replicas."""
    base, dash, number = name.rpartition("-")
    is_replica = dash and number.isdecimal() and f"{base}-2" in stack.services and base in stack.services[name].aliases
    return base if is_replica else name


def _is_first(name: str, stack: Stack) -> bool:
    return written_name(name, stack) == name or name.endswith("-1")


def _disks(servers: Mapping[str, Recognised], services: Mapping[str, Service], stack: Stack) -> tuple[Disk, ...]:
    """The disks of servers' data; who has the same mount as another shares its disk."""
    found: dict[str, Disk] = {}
    for name, each in servers.items():
        mount = each.server.data_mount(services[name])
        if disk := _disk(name, services[name], each, stack):
            found.setdefault(mount.source if mount else disk.name, disk)
    return tuple(found.values())


def _disk(name: str, service: Service, found: Recognised, stack: Stack) -> Disk | None:
    """The disk of a server's data; None where it has none, or nobody knows where."""
    server, mount = found.server, found.server.data_mount(service)
    if mount is None:
        if not found.image:
            return None
        folder = server.usual_folder(service, found.image)
        return Disk(place_name(name, folder), name, 1, False, f"its image's own volume at {folder}")
    if mount.kind != "lun":
        return None
    lun = stack.luns[mount.source]
    is_named = ":" not in mount.source
    called = mount.source if is_named else place_name(name, mount.target)
    has_contents = bool(lun.contents) and _has_contents(lun.contents)
    is_blank = has_contents and not service.user
    needed = SIZE_BYTES if is_blank or not lun.contents else max(SIZE_BYTES, size_of_copy(lun.contents))
    what = f"the volume {mount.source}" if is_named else f"what is mounted at {mount.target}"
    what = f"the folder that is bound at {mount.target}" if lun.contents else what
    return Disk(called, name, min(64, -(-needed // _GIB)), is_blank, what)


def _has_contents(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except OSError:
        return True


def _has_no_check(service: Service) -> bool:
    """Whether the Compose file neither states one nor switches that of the image off."""
    return service.healthcheck is not None and not service.healthcheck.test


def _health(service: Service, server: Server) -> tuple[str, ...]:
    user = _value(service, server.options["user"])[0] if server.driver == "postgresql" else ""
    return (*server.health, *(("-U", _literal(user)) if user else ()))


def _value(service: Service, variable: Variable) -> tuple[str, str]:
    """What the service's environment says, and in which variable."""
    given = next((name for name in variable.names if service.environment.get(name)), "")
    return (service.environment[given], given) if given else (variable.otherwise, "")


def _options(service: Service, server: Server, variables: Mapping[str, str]) -> dict[str, str]:
    """The driver's options, as far as the service says what they are."""
    values = {
        option: _password(service, server, variables)
        if option == "password"
        else _literal(_value(service, variable)[0])
        for option, variable in server.options.items()
    }
    return {option: value for option, value in values.items() if value}


def _password(service: Service, server: Server, variables: Mapping[str, str]) -> str:
    """The password as it is written; one that lies in a secret has to be given by a variable of the image's name."""
    variable = server.options["password"]
    value, name = _value(service, variable)
    value = value or flag(service, server.password_flag)
    if value:
        return _as_variable(value, name, variables)
    in_file = next((each for each in variable.names if service.environment.get(f"{each}_FILE")), "")
    return f"${{{in_file}:-}}" if in_file else ""


def _as_variable(value: str, name: str, variables: Mapping[str, str]) -> str:
    same = [each for each in (name, *sorted(variables)) if variables.get(each) == value]
    return f"${{{same[0]}}}" if same else _literal(value)


def _literal(value: str) -> str:
    """As a Compose file has to have it, so that nothing in it is taken for a variable."""
    return value.replace("$", "$$")


def _roles(
    front: Front, servers: Mapping[str, Recognised], services: Mapping[str, Service]
) -> dict[str, tuple[str, ...]]:
    """Services by role: the front's, and those of servers; a role may not have a service's name.

    What the phones speak to, and all of its kind, is the database, whatever it is elsewhere.
    """
    spoken_to = servers[front.service].server if front.service in servers else None
    found: dict[str, tuple[str, ...]] = {}
    for name, each in servers.items():
        role = "database" if each.server == spoken_to else each.server.role
        found[role] = (*found.get(role, ()), name)
    if front.service not in servers:
        found["front"] = (front.service,)
    return {role: names for role, names in found.items() if role not in services}


def _struck(
    front: Front,
    servers: Mapping[str, Recognised],
    disks: Iterable[Disk],
    roles: Mapping[str, tuple[str, ...]],
    services: Mapping[str, Service],
) -> str:
    """What loses power: the database where there is one, all of it at once, else who else has a disk."""
    with_disks = [each.service for each in disks]
    databases = [name for name in with_disks if "database" in (servers[name].server.role, _role_of(name, roles))]
    if set(roles.get("database", ())) == set(databases) and len(databases) > 1:
        return "database"
    if databases:
        return front.service if front.service in databases else databases[0]
    mounting = [name for name, each in services.items() if any(mount.kind == "lun" for mount in each.mounts)]
    chosen = [name for name in (front.service, *with_disks, *mounting) if name in (*with_disks, *mounting)]
    return chosen[0] if chosen else ""


def _role_of(name: str, roles: Mapping[str, tuple[str, ...]]) -> str:
    return next((role for role, names in roles.items() if name in names), "")


def _explain(made: Guess, services: Mapping[str, Service], *, has_rest: bool) -> None:
    """Fill in reasons and doubts."""
    say, doubt = made.reasons.append, made.doubts.append
    for name, found in made.servers.items():
        say(f"{name} is {found.server.title}, since {found.why}")
    for disk in made.disks:
        say(f"the data of {disk.service} is a disk of {disk.array}: {disk.what}")
    for name, found in made.servers.items():
        mount = found.server.data_mount(services[name])
        if mount is None and name not in [each.service for each in made.disks]:
            doubt(f"where {name} has its data: it mounts nothing at {found.server.folders_of(services[name])[0]}")
        elif mount is not None and mount.kind != "lun":
            doubt(f"{name} has its data {'in memory' if mount.kind == 'tmpfs' else 'where it may only read'}")
    say(f"the front door is {made.front.service}:{made.front.port}, since {made.front.why}")
    if made.front.doubt:
        doubt(f"the front door {made.front.service}:{made.front.port}: {made.front.doubt}")
    spoken_to = made.servers.get(made.front.service)
    if not made.has_own_driver:
        say(f"the driver is {made.driver}: the phones speak to {made.front.service} itself")
    elif spoken_to is not None:
        doubt(f"a driver: there is none for {spoken_to.server.title}; fill in experiments/driver.py")
    else:
        rest = ", or describe it for the driver rest if it speaks JSON" if has_rest else ""
        doubt(f"a driver: only you know how {made.front.service} is spoken to; fill in experiments/driver.py{rest}")
    if any(re.fullmatch(r"\$\{\w+:-\}", each) for each in made.options.values()):
        doubt(f"the password of {made.front.service} lies in a file: give it by the variable that holdfast.yaml names")
    if not made.struck:
        doubt("what loses power: no service mounts anything that is written to, so there is no such experiment")
    for bound in (each for each in made.disks if each.is_blank):
        say(f"{bound.service} begins with an empty disk, and not with a copy of the folder that you bind")

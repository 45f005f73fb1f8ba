"""Cross-checks within a Compose file: those of `x-chaos`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chaos.errors import Problem
from chaos.experiment.source import Loc, Table, did_you_mean
from chaos.stack.compose.checked import Checked, Found
from chaos.stack.compose.disk_checks import DISK_CHECKS
from chaos.stack.compose.make import tcp_ports
from chaos.stack.compose.mounts import meant, mounted, thing
from chaos.stack.compose.schema import RoleModel
from chaos.stack.compose.service_checks import SERVICE_CHECKS


def cross_check(file: Checked) -> list[Problem]:
    """All problems between the parts of a file."""
    return [problem for check in _CHECKS for problem in check(file)]


def _doors(file: Checked) -> Found:
    chaos = file.model.chaos
    if chaos.front_door is not None:
        yield from _door(file, ("x-chaos", "front_door"), *chaos.front_door)
    elif file.needs_door and file.is_whole("x-chaos", "front_door"):
        missing = "front_door" if isinstance(file.root, Table) and "x-chaos" in file.root.entries else "x-chaos"
        hint = "add x-chaos: {front_door: service:port}; `holdfast docs compose` shows the rest"
        yield file.at_key(("x-chaos",), f"the key {missing!r} is missing here", hint)
    for kind, places in chaos.doors.items():
        for i, place in enumerate(places):
            yield from _door(file, ("x-chaos", "doors", kind, i), *place)


def _door(file: Checked, loc: Loc, name: str, port: int) -> Found:
    if name not in file.model.services:
        hint = did_you_mean(name, file.model.services)
        yield file.at(loc, f"unknown service {name!r}", hint)
    elif not file.is_whole("services", name, "ports"):
        return
    elif name not in file.active:
        yield file.at(loc, f"service {name} is switched off", "switch on its profile")
    elif port not in (published.target for published in tcp_ports(file.model.services[name])):
        yield file.at(loc, f"{name} does not publish port {port}", f'add ports: ["{port}"] to {name}')


def _used_names(file: Checked) -> Found:
    chaos, services = file.model.chaos, file.model.services
    for role, given in chaos.roles.items():
        moves = isinstance(given, RoleModel)
        where: Loc = ("x-chaos", "roles", role, "of") if moves else ("x-chaos", "roles", role)
        members = given.of if isinstance(given, RoleModel) else given
        if moves and role in services:
            message = f"{role} is the name of a service, too, so a target could mean either"
            yield file.at_key(("x-chaos", "roles", role), message, "give the role another name")
        for i, member in enumerate(members):
            if member not in services:
                loc: Loc = (*where, i)
                yield file.at(loc, f"unknown service {member!r}", did_you_mean(member, services))
    for name in chaos.steady:
        if name not in services:
            yield file.at_key(("x-chaos", "steady", name), f"unknown service {name!r}", did_you_mean(name, services))
    for i, harmless in enumerate(chaos.may_lose):
        name, colon, path = harmless.partition(":")
        loc = ("x-chaos", "may_lose", i)
        if not colon or not path.startswith("/"):
            yield file.at(loc, "may_lose takes service:/path", "such as gateway:/var/cache/app")
        elif name not in services:
            yield file.at(loc, f"unknown service {name!r}", did_you_mean(name, services))


def _planting(file: Checked) -> Found:
    planting = file.model.chaos.plant_loss
    if planting is not None and planting.service not in file.active:
        loc: Loc = ("x-chaos", "plant_loss", "service")
        yield file.at(loc, f"unknown service {planting.service!r}", did_you_mean(planting.service, file.active))


def _recovery(file: Checked) -> Found:
    steps = file.model.chaos.recovery
    for i, step in enumerate(steps):
        loc: Loc = ("x-chaos", "recovery", i)
        if step.initialise + (step.restore is not None) + (step.rebuild is not None) != 1:
            yield file.at(loc, "a step is one of rebuild, restore and initialise: true", "write one of them")
        yield from _rebuilt(file, i, step.rebuild or ())
        if step.initialise and i < len(steps) - 1:
            yield file.at(loc, "initialise always ends the runbook", "put it last")
        if step.restore is not None and step.restore.service not in file.active:
            message = f"unknown service {step.restore.service!r}"
            yield file.at((*loc, "restore", "service"), message, did_you_mean(step.restore.service, file.active))


def _rebuilt(file: Checked, step: int, names: Sequence[str]) -> Found:
    mounts = mounted(file.model, file.folder)
    copies = {meant(volume, mounts) for volumes in file.model.chaos.copies.values() for volume in volumes}
    for k, name in enumerate(names):
        loc: Loc = ("x-chaos", "recovery", step, "rebuild", k)
        if name not in file.model.services:
            yield file.at(loc, f"unknown service {name!r}", did_you_mean(name, file.model.services))
        elif not copies & {thing(mount) for mount in mounts[name]}:
            message = f"{name} has no volume under copies, so nothing says what it would be rebuilt from"
            yield file.at(loc, message, "name its volume, and that of its peers, under x-chaos.copies")


_CHECKS: tuple[Callable[[Checked], Found], ...] = (
    *SERVICE_CHECKS,
    *DISK_CHECKS,
    _doors,
    _used_names,
    _recovery,
    _planting,
)

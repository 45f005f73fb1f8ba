"""What a Compose file's parts must be to each other: every name that is used exists, nothing stands twice."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from chaos.errors import Problem, SourceError
from chaos.experiment.source import Loc, Node, did_you_mean, find, key_place
from chaos.stack.compose_dotenv import read_env_file
from chaos.stack.compose_schema import ComposeModel, RoleModel, ServiceModel
from chaos.stack.compose_values import what_is
from chaos.stack.inputs.sources import Folder

Found = Iterator[Problem]


@dataclass(frozen=True)
class Checked:
    """A Compose file that is right in shape.

    Attributes:
        active: Names of the services that the profiles leave switched on.
        folder: To which relative paths are relative.
    """

    model: ComposeModel
    root: Node
    active: Collection[str]
    folder: Folder

    def services(self) -> Iterable[tuple[str, ServiceModel]]:
        """The active ones."""
        return [(name, service) for name, service in self.model.services.items() if name in self.active]

    def at(self, loc: Loc, message: str, hint: str) -> Problem:
        """A problem at a value."""
        return find(self.root, loc)[1].problem(message, hint)

    def at_key(self, loc: Loc, message: str, hint: str) -> Problem:
        """A problem at a key."""
        return key_place(self.root, loc).problem(message, hint)


def cross_check(file: Checked) -> list[Problem]:
    """All problems between the parts of a file."""
    return [problem for check in _CHECKS for problem in check(file)]


def _images(file: Checked) -> Found:
    for name, service in file.services():
        loc = ("services", name)
        if not service.image and service.build is None:
            yield file.at_key(loc, f"service {name} has neither image nor build", "add one")
        if service.build is None:
            continue
        context = file.folder.below(service.build.context)
        if what_is(context) != "folder":
            message = f"the build context {service.build.context!r} is no folder"
            yield file.at((*loc, "build", "context"), message, f"it is looked for below {file.folder.name}")
        elif what_is(context / service.build.dockerfile) != "file":
            where = (*loc, "build", "dockerfile")
            yield file.at(where, f"no {service.build.dockerfile} in the build context", "check the name")


def _env_files(file: Checked) -> Found:
    for name, service in file.services():
        for i, env_file in enumerate(service.env_file):
            path = file.folder.below(env_file.path)
            if not env_file.required and not what_is(path):
                continue
            try:
                read_env_file(path)
            except SourceError as error:
                for problem in error.problems:
                    where = ("services", name, "env_file", i)
                    yield problem if problem.line else file.at(where, problem.message, problem.hint)


def _dependencies(file: Checked) -> Found:
    for name, service in file.services():
        for other, needs in service.depends_on.items():
            loc = ("services", name, "depends_on", other)
            if other not in file.model.services:
                yield file.at_key(loc, f"unknown service {other!r}", did_you_mean(other, file.model.services))
            elif other not in file.active:
                profiles = " or ".join(file.model.services[other].profiles)
                yield file.at_key(loc, f"service {other} is switched off", f"switch on the profile {profiles}")
            elif needs.condition == "service_healthy" and _no_healthcheck(file.model.services[other]):
                message = f"service {other} has no healthcheck here, and that of its image is not asked"
                yield file.at(loc, message, "give it a healthcheck, or use service_started")


def _no_healthcheck(service: ServiceModel) -> bool:
    check = service.healthcheck
    return check is None or check.disable or check.test == ["NONE"]


def _cycles(file: Checked) -> Found:
    done: set[str] = set()

    def walk(name: str, path: tuple[str, ...]) -> Found:
        if name in path:
            ring = [*path[path.index(name) :], name]
            loc = ("services", path[-1], "depends_on", name)
            yield file.at_key(loc, f"services wait for each other: {' -> '.join(ring)}", "remove one depends_on")
        elif name not in done and name in file.model.services:
            for other in file.model.services[name].depends_on:
                yield from walk(other, (*path, name))
            done.add(name)

    for name in file.active:
        yield from walk(name, ())


def _healthchecks(file: Checked) -> Found:
    for name, service in file.services():
        check = service.healthcheck
        if check is None or check.disable:
            continue
        loc = ("services", name, "healthcheck")
        if check.test is None:
            yield file.at_key(loc, "a healthcheck without test", "add test, or disable: true")
        elif not check.test or check.test[0] not in ("NONE", "CMD", "CMD-SHELL"):
            yield file.at((*loc, "test"), "the first word of test should be CMD, CMD-SHELL or NONE", "add it")
        elif check.test[0] != "NONE" and not _right_length(check.test):
            yield file.at((*loc, "test"), "CMD takes words, CMD-SHELL takes one text", "change it")


def _right_length(test: Sequence[str]) -> bool:
    return len(test) == 2 if test[0] == "CMD-SHELL" else len(test) >= 2


def _mounts(file: Checked) -> Found:
    for name, service in file.services():
        targets: set[str] = set()
        for i, volume in enumerate(service.volumes):
            loc = ("services", name, "volumes", i)
            if volume.target in targets:
                yield file.at(loc, f"two volumes at {volume.target}", "remove one")
            targets.add(volume.target)
            if volume.type == "volume" and volume.source and volume.source not in file.model.volumes:
                hint = f"{did_you_mean(volume.source, file.model.volumes)} Volumes are declared under volumes:"
                yield file.at(loc, f"unknown volume {volume.source!r}", hint)
            if volume.type == "bind" and not what_is(file.folder.below(volume.source)):
                yield file.at(loc, f"no such file or folder: {volume.source}", "create it, or remove the volume")


def _secrets(file: Checked) -> Found:
    for name, service in file.services():
        for i, use in enumerate(service.secrets):
            if use.source not in file.model.secrets:
                loc = ("services", name, "secrets", i)
                hint = did_you_mean(use.source, file.model.secrets)
                yield file.at(loc, f"unknown secret {use.source!r}", hint)
    for name, secret in file.model.secrets.items():
        if what_is(file.folder.below(secret.file)) != "file":
            yield file.at(("secrets", name, "file"), f"no such file: {secret.file}", "create it")


def _networks(file: Checked) -> Found:
    taken = {name: name for name in file.model.services}
    for name, service in file.services():
        for network, use in service.networks.items():
            loc = ("services", name, "networks", network)
            if network != "default" and network not in file.model.networks:
                hint = did_you_mean(network, [*file.model.networks, "default"])
                yield file.at_key(loc, f"unknown network {network!r}", hint)
            for i, alias in enumerate(use.aliases if use else ()):
                if taken.setdefault(alias, name) != name:
                    message = f"the alias {alias} is already a name of {taken[alias]}"
                    yield file.at((*loc, "aliases", i), message, "choose another")


def _ports(file: Checked) -> Found:
    taken: dict[int, str] = {}
    for name, service in file.services():
        for i, port in enumerate(service.ports):
            if port.published and taken.setdefault(port.published, name) != name:
                message = f"port {port.published} is already published by {taken[port.published]}"
                yield file.at(("services", name, "ports", i), message, "leave the published port out")
        for i, text in enumerate(service.expose):
            if not text.removesuffix("/tcp").isdecimal():
                yield file.at(("services", name, "expose", i), "this should be a port", "such as 8080")


def _luns(file: Checked) -> Found:
    arrays: dict[str, str] = {}
    for array, model in file.model.chaos.arrays.items():
        for lun in model.luns:
            loc = ("x-chaos", "arrays", array, "luns", lun)
            if lun not in file.model.volumes:
                hint = f"{did_you_mean(lun, file.model.volumes)} A LUN is one of the volumes:"
                yield file.at_key(loc, f"no volume {lun!r} for this LUN", hint)
            if arrays.setdefault(lun, array) != array:
                yield file.at_key(loc, f"LUN {lun} is already on array {arrays[lun]}", "remove one")


def _doors(file: Checked) -> Found:
    chaos = file.model.chaos
    yield from _door(file, ("x-chaos", "front_door"), *chaos.front_door)
    for kind, places in chaos.doors.items():
        for i, place in enumerate(places):
            yield from _door(file, ("x-chaos", "doors", kind, i), *place)


def _door(file: Checked, loc: Loc, name: str, port: int) -> Found:
    if name not in file.model.services:
        hint = did_you_mean(name, file.model.services)
        yield file.at(loc, f"unknown service {name!r}", hint)
    elif name not in file.active:
        yield file.at(loc, f"service {name} is switched off", "switch on its profile")
    elif port not in (published.target for published in file.model.services[name].ports):
        yield file.at(loc, f"{name} does not publish port {port}", f'add ports: ["{port}"] to {name}')


def _used_names(file: Checked) -> Found:
    chaos, services = file.model.chaos, file.model.services
    for role, given in chaos.roles.items():
        moves = isinstance(given, RoleModel)
        where: Loc = ("x-chaos", "roles", role, "of") if moves else ("x-chaos", "roles", role)
        members = given.of if isinstance(given, RoleModel) else given
        if moves and role in services:
            message = f"{role} is a service too, and a set of services would mean that one"
            yield file.at_key(("x-chaos", "roles", role), message, "give the role another name")
        for i, member in enumerate(members):
            if member not in services:
                loc: Loc = (*where, i)
                yield file.at(loc, f"unknown service {member!r}", did_you_mean(member, services))
    for store, volumes in chaos.copies.items():
        for i, volume in enumerate(volumes):
            if volume not in file.model.volumes:
                loc = ("x-chaos", "copies", store, i)
                yield file.at(loc, f"unknown volume {volume!r}", did_you_mean(volume, file.model.volumes))
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
    copies = {volume for volumes in file.model.chaos.copies.values() for volume in volumes}
    for k, name in enumerate(names):
        loc: Loc = ("x-chaos", "recovery", step, "rebuild", k)
        if name not in file.model.services:
            yield file.at(loc, f"unknown service {name!r}", did_you_mean(name, file.model.services))
        elif not copies & {volume.source for volume in file.model.services[name].volumes}:
            message = f"{name} has no volume under copies, so nothing says what it would be rebuilt from"
            yield file.at(loc, message, "name its volume, and that of its peers, under x-chaos.copies")


_CHECKS: tuple[Callable[[Checked], Found], ...] = (
    _images,
    _env_files,
    _dependencies,
    _cycles,
    _healthchecks,
    _mounts,
    _secrets,
    _networks,
    _ports,
    _luns,
    _doors,
    _used_names,
    _recovery,
)

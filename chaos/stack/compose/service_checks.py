"""Cross-checks of services: every name and file that they refer to exists, and no name means two things."""

from __future__ import annotations

from collections.abc import Callable

from chaos.errors import SourceError
from chaos.experiment.source import Loc, did_you_mean
from chaos.stack.compose.checked import Checked, Found
from chaos.stack.compose.make import dockerfile_of, links_of, read_env_files
from chaos.stack.compose.mounts import blank_things, meant, mounted
from chaos.stack.compose.reading.replicas import REPLICAS_MAX
from chaos.stack.compose.reading.short import is_elsewhere
from chaos.stack.compose.schema import BuildModel, DeployModel, FileModel, ServiceModel, VolumeModel
from chaos.stack.compose.values import what_is


def _images(file: Checked) -> Found:
    for name, service in file.services():
        loc = ("services", name)
        if not service.image and service.build is None:
            if file.is_whole(*loc, "image") and file.is_whole(*loc, "build"):
                yield file.at_key(loc, f"service {name} has neither image nor build", "add one")
        elif service.build is not None:
            yield from _context(file, (*loc, "build"), service.build)


def _context(file: Checked, loc: Loc, build: BuildModel) -> Found:
    context = file.folder.below(build.context)
    if is_elsewhere(build.context):
        hint = "clone it and name the folder, or name an image without build"
        yield file.at((*loc, "context"), f"the build context {build.context!r} is no folder", hint)
    elif what_is(context) != "folder":
        message = f"the build context {build.context!r} is no folder"
        yield file.at((*loc, "context"), message, f"it is looked for below {file.folder.name}")
    elif not build.dockerfile_inline and what_is(context / dockerfile_of(build, file.folder)) != "file":
        yield file.at((*loc, "dockerfile"), f"no {build.dockerfile} in the build context", "check the name")
    for name, source in build.additional_contexts.items():
        if source.startswith("service:"):
            hint = "name its folder, or an image as docker-image://NAME"
            yield file.at((*loc, "additional_contexts", name), "the image of a service is no context here", hint)
        elif not is_elsewhere(source) and what_is(file.folder.below(source)) != "folder":
            message = f"the build context {source!r} is no folder"
            yield file.at((*loc, "additional_contexts", name), message, f"it is looked for below {file.folder.name}")


def _env_files(file: Checked) -> Found:
    for name, service in file.services():
        for i, env_file in enumerate(service.env_file):
            alone = service.model_copy(update={"env_file": [env_file]})
            try:
                read_env_files(alone, file.folder, file.lookup, {})
            except SourceError as error:
                for problem in error.problems:
                    where = ("services", name, "env_file", i, "path")
                    yield problem if problem.line else file.at(where, problem.message, problem.hint)


def _dependencies(file: Checked) -> Found:
    for name, service in file.services():
        for other, needs in service.depends_on.items():
            loc = ("services", name, "depends_on", other)
            if other not in file.active and (not needs.required or other in file.idle):
                continue
            if other not in file.model.services:
                yield file.at_key(loc, f"unknown service {other!r}", did_you_mean(other, file.model.services))
            elif other not in file.active:
                profiles = " or ".join(file.model.services[other].profiles)
                yield file.at_key(loc, f"service {other} is switched off", f"switch on the profile {profiles}")
            elif needs.condition == "service_healthy" and _no_healthcheck(file.model.services[other]):
                message = f"the healthcheck of service {other} is switched off"
                yield file.at(loc, message, "give it a healthcheck, or use service_started")


def _no_healthcheck(service: ServiceModel) -> bool:
    check = service.healthcheck
    return check is not None and (check.disable or check.test == ["NONE"])


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
        if not check.test:
            continue  # the image's own
        if check.test[0] not in ("NONE", "CMD", "CMD-SHELL"):
            yield file.at((*loc, "test"), "the first word of test should be CMD, CMD-SHELL or NONE", "add it")
        elif check.test[0] != "NONE" and len(check.test) < 2:
            yield file.at((*loc, "test"), f"{check.test[0]} without a command", "add it")


def _mounts(file: Checked) -> Found:
    mounts = mounted(file.model, file.folder)
    blank = blank_things(file.model.chaos, mounts)
    for name, service in file.services():
        for i, volume in enumerate(service.volumes):
            loc = ("services", name, "volumes", i)
            if volume.type == "bind":
                is_blank = meant(f"{name}:{volume.target}", mounts) in blank
                yield from _bind(file, loc, volume, is_blank=is_blank)
            elif volume.source and volume.source not in file.model.volumes:
                hint = f"{did_you_mean(volume.source, file.model.volumes)} (volumes are declared under `volumes`)"
                yield file.at((*loc, "source"), f"unknown volume {volume.source!r}", hint)
            if volume.volume.subpath and _uses(file, volume.source) > 1:
                message = "a volume that is mounted more than once cannot be mounted in part"
                yield file.at((*loc, "volume", "subpath"), message, "make two volumes of it")


def _uses(file: Checked, volume: str) -> int:
    return sum(each.source == volume for _, service in file.services() for each in service.volumes)


_RUN = ("/run", "/var/run")
_SOCKETS = ("docker.sock", "podman.sock", "containerd.sock", "crio.sock")


def _bind(file: Checked, loc: Loc, volume: VolumeModel, *, is_blank: bool) -> Found:
    source = file.folder.below(volume.source)
    if not volume.source:
        yield file.at(loc, "a bind without source", "name a file or folder")
    elif source.name in _SOCKETS or str(source) in _RUN:
        message = "the engine's socket is not supported"
        yield file.at((*loc, "source"), message, "whoever has it rules the host; leave the service out by a profile")
    elif not volume.bind.create_host_path and not is_blank and not what_is(source):
        yield file.at((*loc, "source"), f"no such file or folder: {volume.source}", "create it")


def _files(file: Checked) -> Found:
    used: set[tuple[str, str]] = set()
    for name, service in file.services():
        for kind, uses, known in (
            ("secrets", service.secrets, file.model.secrets),
            ("configs", service.configs, file.model.configs),
        ):
            for i, use in enumerate(uses):
                used.add((kind, use.source))
                if use.source not in known:
                    message = f"unknown {kind.removesuffix('s')} {use.source!r}"
                    yield file.at(("services", name, kind, i, "source"), message, did_you_mean(use.source, known))
                elif service.read_only and known[use.source].file is None:
                    message = f"{use.source} has no file, and cannot be written into a service that is read_only"
                    yield file.at(("services", name, kind, i, "source"), message, "write it to a file, and name that")
        for i, use in enumerate(service.build.secrets if service.build is not None else ()):
            used.add(("secrets", use.source))
            if use.source not in file.model.secrets:
                loc: Loc = ("services", name, "build", "secrets", i, "source")
                hint = did_you_mean(use.source, file.model.secrets)
                yield file.at(loc, f"unknown secret {use.source!r}", hint)
    for kind, name in sorted(used):
        one = (file.model.secrets if kind == "secrets" else file.model.configs).get(name)
        yield from _file(file, (kind, name), one) if one else ()


def _file(file: Checked, loc: Loc, one: FileModel) -> Found:
    given = [key for key in ("file", "environment", "content") if getattr(one, key) is not None]
    if len(given) != 1 or one.external not in (None, "false", {}):
        if file.is_whole(*map(str, loc)):
            yield file.at_key(loc, f"{loc[1]} is not one of file, environment and content", "write one of them")
    elif one.file is not None and what_is(file.folder.below(one.file)) != "file":
        yield file.at((*loc, "file"), f"no such file: {one.file}", "create it")
    elif one.environment is not None and file.lookup.get(one.environment) is None:
        yield file.at((*loc, "environment"), f"the variable {one.environment} is not set", "set it")


def _networks(file: Checked) -> Found:
    taken: dict[str, list[str]] = {name: [name] for name in file.active}
    for name, service in file.services():
        for network, use in service.networks.items():
            loc = ("services", name, "networks", network)
            if network != "default" and network not in file.model.networks:
                hint = did_you_mean(network, [*file.model.networks, "default"])
                yield file.at_key(loc, f"unknown network {network!r}", hint)
            for i, alias in enumerate(use.aliases if use else ()):
                yield from _alias(file, (*loc, "aliases", i), name, alias, taken)
        if service.container_name:
            yield from _alias(file, ("services", name, "container_name"), name, service.container_name, taken)


def _alias(file: Checked, loc: Loc, name: str, alias: str, taken: dict[str, list[str]]) -> Found:
    """Two services may have one name where they share a network: there it means both with Compose, too."""
    for other in taken.setdefault(alias, []):
        if other != name and not _in_one_network(file, name, other):
            yield file.at(loc, f"the alias {alias} is already a name of {other}", "choose another")
    taken[alias].append(name)


def _in_one_network(file: Checked, *names: str) -> bool:
    first, second = ({*file.model.services[name].networks} or {"default"} for name in names)
    return bool(first & second)


def _names(file: Checked) -> Found:
    """Other services that a service names: by links and volumes_from."""
    for name, service in file.services():
        for i, (other, _) in enumerate(links_of(service)):
            yield from _other(file, ("services", name, "links", i), other)
        for i, text in enumerate(service.volumes_from):
            yield from _other(file, ("services", name, "volumes_from", i), text.partition(":")[0])


def _other(file: Checked, loc: Loc, name: str) -> Found:
    if name not in file.active:
        yield file.at(loc, f"unknown service {name!r}", did_you_mean(name, file.active))


def _replicas(file: Checked) -> Found:
    for name, service in file.services():
        deploy = service.deploy or DeployModel()
        loc: Loc = ("services", name, *(("scale",) if service.scale is not None else ("deploy", "replicas")))
        number = deploy.replicas if service.scale is None else service.scale
        if number > REPLICAS_MAX:
            yield file.at(loc, f"{number} replicas are more than {REPLICAS_MAX}", "start fewer")


def _limits(file: Checked) -> Found:
    for name, service in file.services():
        limits = (service.deploy or DeployModel()).resources.limits
        for key, value, other in (
            ("mem_limit", service.mem_limit, limits.memory),
            ("cpus", service.cpus, limits.cpus),
            ("pids_limit", service.pids_limit, limits.pids),
        ):
            if value is not None and other is not None and value != other:
                message = f"{key} and deploy.resources.limits say different things"
                yield file.at(("services", name, key), message, "remove one")
        for i, option in enumerate(service.security_opt):
            profile = option.removeprefix("seccomp")[1:] if option.startswith(("seccomp:", "seccomp=")) else ""
            if profile not in ("", "unconfined", "builtin") and what_is(file.folder.below(profile)) != "file":
                loc = ("services", name, "security_opt", i)
                yield file.at(loc, "no such file: the profile of seccomp", "create it")


SERVICE_CHECKS: tuple[Callable[[Checked], Found], ...] = (
    _images,
    _env_files,
    _dependencies,
    _cycles,
    _healthchecks,
    _mounts,
    _files,
    _networks,
    _names,
    _replicas,
    _limits,
)

"""A checked Compose model turned into the `Stack` that everything else reads."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import cast

from chaos.experiment.plan import Planting
from chaos.experiment.source import Place
from chaos.stack.compose.mounts import Mounted, config_target, luns_of, meant, mounted, on_luns, thing
from chaos.stack.compose.reading.dotenv import read_env_file
from chaos.stack.compose.reading.interpolate import Lookup
from chaos.stack.compose.reading.short import is_elsewhere
from chaos.stack.compose.schema import (
    BuildModel,
    ComposeModel,
    DeployModel,
    FileModel,
    FileUse,
    HealthcheckModel,
    PortModel,
    RoleModel,
    ServiceModel,
    StepModel,
)
from chaos.stack.compose.values import what_is
from chaos.stack.inputs.sources import Folder
from chaos.stack.spec import (
    NO_DOOR,
    Build,
    Healthcheck,
    Limits,
    Mount,
    Port,
    Restart,
    RoleCheck,
    RunbookStep,
    Service,
    Stack,
    Ulimit,
    place_name,
)

SECRETS = PurePosixPath("/run/secrets")
"""Where secrets lie in a container whose target is no path."""


def make_stack(
    model: ComposeModel,
    active: Collection[str],
    source: Path,
    folder: Folder,
    lookup: Lookup,
    name: str,
    notes: Collection[str],
) -> Stack:
    """The stack of the active services.

    LUNs and volumes that only switched-off services mount are left out, and with them their names under
    copies and roles.
    """
    chaos = model.chaos
    mounts = mounted(model, folder)
    named = luns_of(chaos, mounts)
    gone = _things(mounts, set(model.services) - set(active)) - _things(mounts, active)
    luns = {one: lun for one, lun in named.items() if one not in gone}
    services = {
        name: _service(name, service, model, on_luns(name, mounts, chaos, luns), active, folder, lookup)
        for name, service in model.services.items()
        if name in active
    }

    def called(name: str) -> str:
        """What `x-chaos` names, by a name that it has in this stack."""
        one = meant(name, mounts)
        places = (place_name(each, mount.target) for each in active for mount in mounts[each] if thing(mount) == one)
        return luns[one].name if one in luns else next(places, one)

    return Stack(
        name=name,
        source=source,
        services=services,
        luns={lun.name: lun for lun in luns.values()},
        volumes=tuple(name for name in _volumes(model, services) if name not in {*luns, *gone}),
        front_door=chaos.front_door or NO_DOOR,
        driver=chaos.driver,
        policy=chaos.conflict,
        idempotency=chaos.idempotency,
        roles=_kept(
            {role: members.of if isinstance(members, RoleModel) else members for role, members in chaos.roles.items()},
            set(model.services) - set(active),
        ),
        role_checks={
            role: RoleCheck(*check.http, check.says or "")
            for role, check in chaos.roles.items()
            if isinstance(check, RoleModel)
        },
        copies={
            store: tuple(dict.fromkeys(called(name) for name in names if meant(name, mounts) not in gone))
            for store, names in chaos.copies.items()
        },
        runbook=tuple(_step(step) for step in chaos.recovery),
        may_lose=tuple(chaos.may_lose),
        steady={name: command for name, command in chaos.steady.items() if name in active},
        doors=tuple((kind, *at) for kind, places in chaos.doors.items() for at in places if at[0] in active),
        carrier=chaos.carrier == "toxiproxy",
        planting=Planting(chaos.plant_loss.service, chaos.plant_loss.run) if chaos.plant_loss else None,
        boots_at_once=chaos.cold_restart == "all-at-once",
        notes=tuple(notes),
    )


def _things(mounts: Mounted, services: Collection[str]) -> set[str]:
    return {thing(mount) for name in services for mount in mounts[name]}


def _volumes(model: ComposeModel, services: Mapping[str, Service]) -> Iterable[str]:
    """Every volume, those without a name of their own by the one that their mount gives them."""
    mounts = [mount for service in services.values() for mount in service.mounts]
    return dict.fromkeys((*model.volumes, *(mount.source for mount in mounts if mount.kind == "volume")))


def _kept(groups: Mapping[str, list[str]], gone: Collection[str]) -> dict[str, tuple[str, ...]]:
    return {group: tuple(name for name in names if name not in gone) for group, names in groups.items()}


def _step(step: StepModel) -> RunbookStep:
    if step.rebuild is not None:
        return RunbookStep(step.name or "rebuild", "rebuild", services=tuple(step.rebuild))
    if step.restore is None:
        return RunbookStep(step.name or "initialise", "initialise")
    return RunbookStep(step.name or "restore", "restore", step.restore.service, step.restore.run)


def _service(
    name: str,
    service: ServiceModel,
    model: ComposeModel,
    mounts: tuple[Mount, ...],
    active: Collection[str],
    folder: Folder,
    lookup: Lookup,
) -> Service:
    deploy = service.deploy or DeployModel()
    limits = deploy.resources.limits
    restart, restarts_max = _restart(service, deploy)
    contested = contested_ports(model, active)
    return Service(
        name=name,
        image=service.image,
        build=_build(service, model, folder, lookup),
        command=service.command,
        entrypoint=service.entrypoint,
        environment=_environment(service, folder, lookup),
        mounts=mounts,
        volumes_from=tuple(service.volumes_from),
        ports=tuple(
            Port(port.target, 0 if port.published in contested else port.published or 0) for port in tcp_ports(service)
        ),
        depends_on={other: needs.condition for other, needs in service.depends_on.items() if other in active},
        healthcheck=_healthcheck(service),
        restart=restart,
        restarts_max=restarts_max,
        user=service.user,
        group_add=tuple(service.group_add),
        working_dir=service.working_dir,
        hostname=service.hostname,
        domainname=service.domainname,
        aliases=names_of(service),
        hosts=tuple((host, address) for host, every in service.extra_hosts.items() for address in every),
        links={alias: other for other, alias in links_of(service) if alias != other},
        cap_add=tuple(service.cap_add),
        cap_drop=tuple(service.cap_drop),
        security_opt=tuple(_security(option, folder) for option in service.security_opt),
        sysctls=service.sysctls,
        read_only=service.read_only,
        tty=service.tty,
        stdin_open=service.stdin_open,
        init=service.init,
        shm_size_bytes=service.shm_size,
        stop_signal=service.stop_signal,
        stop_grace_seconds=service.stop_grace_period,
        platform=service.platform,
        secrets={
            _secret_target(use): folder.below(file)
            for use in service.secrets
            if (file := model.secrets[use.source].file) is not None
        },
        texts=_texts(service, model, lookup),
        cpus=limits.cpus or service.cpus or _quota(service),
        memory_bytes=limits.memory or service.mem_limit or 0,
        limits=_limits(service, limits.pids),
    )


def tcp_ports(service: ServiceModel) -> list[PortModel]:
    """The ports that are published: each once, and those of UDP not at all."""
    by_target: dict[int, PortModel] = {}
    for port in service.ports:
        if port.protocol == "tcp":
            first = by_target.setdefault(port.target, port)
            if port.published and not first.published:
                by_target[port.target] = port
    return list(by_target.values())


def contested_ports(model: ComposeModel, active: Collection[str]) -> dict[int, list[str]]:
    """Ports of the host that more than one service wants, with these services."""
    wanted: dict[int, list[str]] = {}
    for name in active:
        for published in {port.published for port in tcp_ports(model.services[name]) if port.published}:
            wanted.setdefault(published, []).append(name)
    return {port: names for port, names in wanted.items() if len(names) > 1}


def ports_notes(model: ComposeModel, active: Collection[str]) -> list[str]:
    """What is told of ports and networks that are not as Compose has them."""
    notes = []
    services = [(name, model.services[name]) for name in active]
    other = [name for name, service in services if any(port.protocol != "tcp" for port in service.ports)]
    if other:
        notes.append(f"ports of UDP are not published ({', '.join(other)}): services reach them in the run's bridge")
    loopback = ("", "127.0.0.1", "0.0.0.0", "::", "::1", "[::]", "[::1]", "localhost")
    if away := [name for name, service in services if any(port.host_ip not in loopback for port in service.ports)]:
        notes.append(f"ports are published on 127.0.0.1 alone ({', '.join(away)})")
    for port, names in contested_ports(model, active).items():
        notes.append(f"port {port} is published by {' and '.join(names)}: one is chosen for each")
    networks = dict.fromkeys(network for _, service in services for network in service.networks or ("default",))
    if len(networks) > 1:
        notes.append(f"networks {', '.join(networks)} are one: all services share the run's bridge")
    parts = [name for name, service in services if any(volume.volume.subpath for volume in service.volumes)]
    if parts:
        notes.append(f"subpath is read over ({', '.join(parts)}): nobody else mounts the volume")
    outside = [name for name, service in services if service.extra_hosts]
    if outside:
        notes.append(f"addresses of extra_hosts outside the run's bridge cannot be reached ({', '.join(outside)})")
    return notes


def links_of(service: ServiceModel) -> list[tuple[str, str]]:
    """Other services, and the names that this one has for them."""
    pairs = [text.partition(":") for text in service.links]
    return [(other, alias or other) for other, _, alias in pairs]


def names_of(service: ServiceModel) -> tuple[str, ...]:
    """The names beside its own to which a service answers."""
    every = [alias for use in service.networks.values() if use for alias in use.aliases]
    return tuple(dict.fromkeys([*every, *filter(None, [service.container_name])]))


def _restart(service: ServiceModel, deploy: DeployModel) -> tuple[Restart, int]:
    policy = deploy.restart_policy
    if policy is not None:
        names: Mapping[str, Restart] = {"none": "no", "any": "always"}
        condition = policy.condition
        return names.get(condition, cast("Restart", condition)), policy.max_attempts
    name, _, count = service.restart.partition(":")
    return cast("Restart", name or "no"), int(count or 0)


def _quota(service: ServiceModel) -> float:
    return service.cpu_quota / (service.cpu_period or 100_000) if service.cpu_quota > 0 else 0.0


def _limits(service: ServiceModel, pids: int | None) -> Limits:
    return Limits(
        pids=pids or service.pids_limit or 0,
        memory_and_swap_bytes=service.memswap_limit,
        swappiness=service.mem_swappiness or None,
        cpu_shares=service.cpu_shares,
        cpuset=service.cpuset,
        oom_kill_disable=service.oom_kill_disable,
        oom_score_adj=service.oom_score_adj,
        ulimits=tuple(Ulimit(name, one.soft, one.hard) for name, one in sorted(service.ulimits.items())),
    )


def _security(option: str, folder: Folder) -> str:
    """As the engine wants it: with `=`, and a profile's text in the place of its file."""
    name, _, value = option.replace(":", "=", 1).partition("=")
    if name == "seccomp" and value not in ("unconfined", "builtin", ""):
        file = folder.below(value)
        folder.sources.files.add(folder.sources.name(file))
        value = file.read_text()
    return f"{name}={value}" if value else name


def _secret_target(use: FileUse) -> str:
    return (use.target or use.source).removeprefix(f"{SECRETS}/")


def _texts(service: ServiceModel, model: ComposeModel, lookup: Lookup) -> dict[str, bytes]:
    """What is no file here and is to be one in the container."""
    given = [(f"{SECRETS / _secret_target(use)}", model.secrets[use.source]) for use in service.secrets]
    given += [(config_target(use), model.configs[use.source]) for use in service.configs]
    found = {}
    for target, one in given:
        if (content := _text_of(one, lookup)) is not None:
            found[target] = content
    return found


def _text_of(one: FileModel, lookup: Lookup) -> bytes | None:
    content = lookup.get(one.environment) if one.environment is not None else one.content
    return content.encode() if content is not None else None


def dockerfile_of(build: BuildModel, folder: Folder) -> str:
    """Where a Dockerfile lies: relative to the context, or absolute where that does not hold it."""
    context = folder.named(build.context)
    named = os.path.normpath(context / build.dockerfile)
    if Path(named).is_relative_to(context):
        return os.path.relpath(named, context)
    whole = build.dockerfile if build.dockerfile.startswith("/") else f"{build.context}/{build.dockerfile}"
    return str(folder.below(whole))


def _build(service: ServiceModel, model: ComposeModel, folder: Folder, lookup: Lookup) -> Build | None:
    build = service.build
    if build is None:
        return None
    args = {name: value if value is not None else lookup.get(name) for name, value in build.args.items()}
    given = {name: value for name, value in args.items() if value is not None}
    secrets = [(use.target or use.source, model.secrets[use.source]) for use in build.secrets]
    contexts = build.additional_contexts.items()
    return Build(
        folder.below(build.context),
        dockerfile_of(build, folder),
        given,
        build.target,
        build.dockerfile_inline,
        service.platform,
        {name: folder.below(one.file) for name, one in secrets if one.file is not None},
        {name: text for name, one in secrets if (text := _text_of(one, lookup)) is not None},
        tuple(name if path is None else f"{name}={path}" for name, path in build.ssh.items()),
        {name: source if is_elsewhere(source) else str(folder.below(source)) for name, source in contexts},
    )


def _environment(service: ServiceModel, folder: Folder, lookup: Lookup) -> dict[str, str]:
    given = {name: value if value is not None else lookup.get(name) for name, value in service.environment.items()}
    own = {name: value for name, value in given.items() if value is not None}
    return read_env_files(service, folder, lookup, own, miss=lookup.miss) | own


def read_env_files(
    service: ServiceModel,
    folder: Folder,
    lookup: Lookup,
    own: Mapping[str, str],
    miss: Callable[[str, Place], object] = lambda name, place: None,
) -> dict[str, str]:
    """What the env files of a service say; their values may name variables of `own`, its `environment`.

    Those that have no value are told to `miss`.

    Raises:
        SourceError: One cannot be read.
    """
    found: dict[str, str] = {}

    def outside(name: str) -> str | None:
        value = lookup.get(name)
        return value if value is not None else own.get(name)

    for file in service.env_file:
        path = folder.below(file.path)
        if file.required or what_is(path):
            if what_is(path):
                folder.sources.env_files.add(folder.sources.name(path))
            found |= read_env_file(path, outside, found, raw=file.format == "raw", miss=miss)
    return found


def _healthcheck(service: ServiceModel) -> Healthcheck | None:
    check = service.healthcheck or HealthcheckModel()
    if check.disable or check.test == ["NONE"]:
        return None
    given = (check.interval, check.timeout, check.retries, check.start_period)
    if not check.test:  # the image's own
        return Healthcheck((), *(value or 0 for value in given))  # type: ignore[arg-type]
    shell = check.test[0] == "CMD-SHELL"
    test = ("/bin/sh", "-c", *check.test[1:]) if shell else tuple(check.test[1:])
    usual = Healthcheck(test)
    interval, timeout, retries, start_period = given
    return Healthcheck(
        test,
        interval or usual.interval_seconds,
        timeout or usual.timeout_seconds,
        retries or usual.retries,
        start_period or usual.start_period_seconds,
    )

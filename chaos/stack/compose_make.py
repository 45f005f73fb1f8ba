"""A checked Compose model turned into the `Stack` that everything else reads."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Literal, cast

from chaos.stack.compose_dotenv import read_env_file
from chaos.stack.compose_interpolate import Lookup
from chaos.stack.compose_schema import ChaosModel, ComposeModel, RoleModel, ServiceModel, StepModel
from chaos.stack.compose_values import what_is
from chaos.stack.inputs.sources import Folder
from chaos.stack.spec import Build, Healthcheck, Lun, Mount, Port, Restart, RoleCheck, RunbookStep, Service, Stack


def make_stack(model: ComposeModel, active: Collection[str], source: Path, folder: Folder, lookup: Lookup) -> Stack:
    """The stack of the active services.

    LUNs and volumes that only switched-off services mount are left out, and with them their names under
    copies and roles.
    """
    chaos = model.chaos
    gone = _mounted_by(model, set(model.services) - set(active)) - _mounted_by(model, active)
    luns = {name: lun for name, lun in _luns(chaos).items() if name not in gone}
    services = {
        name: _service(name, service, model, luns, folder, lookup)
        for name, service in model.services.items()
        if name in active
    }
    return Stack(
        name=model.name or re.sub(r"[^a-z0-9_-]", "", folder.name.name.lower()).lstrip("_-") or "stack",
        source=source,
        services=services,
        luns=luns,
        volumes=tuple(name for name in _volumes(model, services) if name not in {*luns, *gone}),
        front_door=chaos.front_door,
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
        copies=_kept(chaos.copies, gone),
        runbook=tuple(_step(step) for step in chaos.recovery),
        may_lose=tuple(chaos.may_lose),
        steady={name: command for name, command in chaos.steady.items() if name in active},
        doors=tuple((kind, *at) for kind, places in chaos.doors.items() for at in places if at[0] in active),
        carrier=chaos.carrier == "toxiproxy",
    )


def _volumes(model: ComposeModel, services: Mapping[str, Service]) -> Iterable[str]:
    """Every volume, those without a name of their own by the one that `_mounts` gives them."""
    mounts = [mount for service in services.values() for mount in service.mounts]
    return dict.fromkeys((*model.volumes, *(mount.source for mount in mounts if mount.kind == "volume")))


def _mounted_by(model: ComposeModel, services: Collection[str]) -> set[str]:
    return {volume.source for name in services for volume in model.services[name].volumes if volume.type == "volume"}


def _luns(chaos: ChaosModel) -> dict[str, Lun]:
    return {
        name: Lun(name, array, lun.size, lun.filesystem)
        for array, model in chaos.arrays.items()
        for name, lun in model.luns.items()
    }


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
    luns: Mapping[str, Lun],
    folder: Folder,
    lookup: Lookup,
) -> Service:
    limits = service.deploy.resources.limits
    return Service(
        name=name,
        image=service.image,
        build=_build(service, folder, lookup),
        command=service.command,
        entrypoint=service.entrypoint,
        environment=_environment(service, folder, lookup),
        mounts=_mounts(name, service, luns, folder),
        ports=tuple(Port(port.target, port.published or 0) for port in service.ports),
        depends_on={other: needs.condition for other, needs in service.depends_on.items()},
        healthcheck=_healthcheck(service),
        restart=_restart(service.restart)[0],
        restarts_max=_restart(service.restart)[1],
        user=service.user,
        working_dir=service.working_dir,
        hostname=service.hostname,
        aliases=_aliases(service),
        cap_add=tuple(service.cap_add),
        init=service.init,
        shm_size_bytes=service.shm_size,
        stop_grace_seconds=service.stop_grace_period,
        secrets={use.target or use.source: folder.below(model.secrets[use.source].file) for use in service.secrets},
        cpus=limits.cpus or 0.0,
        memory_bytes=limits.memory or 0,
    )


def _restart(policy: str) -> tuple[Restart, int]:
    """A policy as `no` or `on-failure:3`, and how often."""
    name, _, times = policy.partition(":")
    return cast(Restart, name), int(times or 0)


def _build(service: ServiceModel, folder: Folder, lookup: Lookup) -> Build | None:
    build = service.build
    if build is None:
        return None
    args = {name: value if value is not None else lookup.get(name) for name, value in build.args.items()}
    given = {name: value for name, value in args.items() if value is not None}
    return Build(folder.below(build.context), build.dockerfile, given, build.target)


def _environment(service: ServiceModel, folder: Folder, lookup: Lookup) -> dict[str, str]:
    found: dict[str, str | None] = {}
    for file in service.env_file:
        path = folder.below(file.path)
        if file.required or what_is(path):
            folder.sources.env_files.add(folder.sources.name(path))
            found |= read_env_file(path)
    found |= service.environment
    resolved = {name: value if value is not None else lookup.get(name) for name, value in found.items()}
    return {name: value for name, value in resolved.items() if value is not None}


def _mounts(name: str, service: ServiceModel, luns: Mapping[str, Lun], folder: Folder) -> tuple[Mount, ...]:
    mounts = []
    for volume in service.volumes:
        if volume.type == "bind":
            mounts.append(Mount("bind", str(folder.below(volume.source)), volume.target, volume.read_only))
        elif volume.type == "tmpfs":
            options = f"size={volume.tmpfs.size}" if volume.tmpfs and volume.tmpfs.size else ""
            mounts.append(Mount("tmpfs", "", volume.target, volume.read_only, options))
        else:
            kind: Literal["lun", "volume"] = "lun" if volume.source in luns else "volume"
            source = volume.source or f"{name}:{volume.target}"
            mounts.append(Mount(kind, source, volume.target, volume.read_only))
    for text in service.tmpfs:
        target, _, options = text.partition(":")
        mounts.append(Mount("tmpfs", "", target, options=options))
    return tuple(mounts)


def _healthcheck(service: ServiceModel) -> Healthcheck | None:
    check = service.healthcheck
    if check is None or check.disable or not check.test or check.test[0] == "NONE":
        return None  # the image's own is never asked
    shell = check.test[0] == "CMD-SHELL"
    test = ("/bin/sh", "-c", check.test[1]) if shell else tuple(check.test[1:])
    return Healthcheck(test, check.interval, check.timeout, check.retries, check.start_period)


def _aliases(service: ServiceModel) -> tuple[str, ...]:
    every = [alias for use in service.networks.values() if use for alias in use.aliases]
    return tuple(dict.fromkeys(every))

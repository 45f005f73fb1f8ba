"""What is worth a warning before any run: copies that one failure takes together, and data outside LUNs."""

from __future__ import annotations

from chaos.stack.spec import Stack

GUARDED_ROLES = frozenset({"database", "standby", "replica", "backup"})
"""Roles whose LUNs should not all be on one array."""


def topology_warnings(stack: Stack) -> list[str]:
    """Common causes: the data, its copies and its backup all on one array. And LUNs without use."""
    warnings = [
        f"every copy of {store} ({', '.join(volumes)}) is on array {array}: losing it loses them all"
        for store, volumes in stack.copies.items()
        if len(volumes) > 1 and (array := _one_array(stack, volumes))
    ]
    holding = [volume for volumes in stack.copies.values() for volume in volumes]
    for role, services in stack.roles.items():
        if role in GUARDED_ROLES:
            holding += [mount.source for name in services for mount in stack.services[name].mounts]
    luns = tuple(name for name in stack.luns if name in holding)
    if len(luns) > 1 and (array := _one_array(stack, luns)):
        warnings.append(
            f"all LUNs of database, copies and backup ({', '.join(luns)}) are on array {array}: "
            "one failure takes them together"
        )
    rebuilt = {name for step in stack.runbook for name in step.services}
    restores = any(step.kind == "restore" for step in stack.runbook)
    warnings += [
        f"no rebuild step of the runbook names {service}: {lun} comes back empty, whatever copies of {store} are left"
        for store, volumes in stack.copies.items()
        if len(volumes) > 1 and not restores
        for lun in volumes
        if lun in stack.luns
        for service in stack.services_on((lun,))
        if service not in rebuilt
    ]
    mounted = {mount.source for service in stack.services.values() for mount in service.mounts}
    warnings += [
        f"LUN {lun.name} of array {lun.array} is mounted by no service"
        for lun in stack.luns.values()
        if lun.name not in mounted
    ]
    return warnings


def not_covered(stack: Stack) -> list[str]:
    """`service:/path` for each writable path that the file puts outside LUNs, but for those that may be lost.

    A tmpfs is left out: its loss is what it was declared for. What a service writes into its own container
    shows only at run time.
    """
    paths = [
        f"{service.name}:{mount.target}"
        for service in stack.services.values()
        for mount in service.mounts
        if mount.kind in ("volume", "bind") and not mount.read_only
    ]
    return [path for path in paths if path not in stack.may_lose]


def _one_array(stack: Stack, volumes: tuple[str, ...]) -> str:
    """The array that all these volumes are on, or an empty text."""
    arrays = {stack.luns[volume].array if volume in stack.luns else "" for volume in volumes}
    return arrays.pop() if len(arrays) == 1 else ""

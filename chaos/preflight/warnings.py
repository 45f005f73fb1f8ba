"""What is worth a warning before any run: copies that one failure takes together, and data outside LUNs."""

from __future__ import annotations

from chaos.stack.local import KEPT_FROM_WRITING, overlapping
from chaos.stack.spec import Stack

GUARDED_ROLES = frozenset({"database", "standby", "replica", "backup"})
"""Roles whose LUNs should not all be on one array."""
_LARGE_BYTES = 8 << 30
"""Of a disk that has what a folder of half its size has; to copy that takes half a minute."""


def topology_warnings(stack: Stack) -> list[str]:
    """Common causes: the data, its copies and its backup all on one array. And LUNs without use."""
    warnings = [
        f"every copy of {store} ({', '.join(stack.copies[store])}) is on {place}: losing that loses them all"
        for store, place in stack.copies_in_one_place().items()
    ]
    holding = [volume for volumes in stack.copies.values() for volume in volumes]
    for role, services in stack.roles.items():
        if role in GUARDED_ROLES:
            holding += [mount.source for name in services for mount in stack.services[name].mounts]
    copied = {volume for volumes in stack.copies.values() for volume in volumes}
    luns = tuple(name for name, lun in stack.luns.items() if name in copied or (name in holding and not lun.is_local))
    if len(luns) > 1 and (place := stack.place_of_all(luns)):
        warnings.append(
            f"all LUNs of database, copies and backup ({', '.join(luns)}) are on {place}: "
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


def disk_warnings(stack: Stack) -> list[str]:
    """Warnings about local disks that may not be what the user meant."""
    shared = {name: stack.services_on((name,)) for name, lun in stack.luns.items() if lun.is_local}
    warnings = [
        f"{' and '.join(services)} share {name}, so they are one machine: a power cut takes them together"
        for name, services in shared.items()
        if len(services) > 1
    ]
    warnings += [
        f"{outer} and {inner} are bound, and copied, each for itself: what is written to one is not seen in the other"
        for outer, inner in overlapping(stack)
    ]
    warnings += [
        f"{lun.contents} has {lun.size_bytes >> 31} GiB, copied for {lun.name} again after any change"
        for lun in stack.luns.values()
        if lun.contents and lun.size_bytes > _LARGE_BYTES
    ]
    warnings += [
        f"{service.name}:{mount.target} is bound read-only: {mount.source} is no file and no folder to copy"
        for service in stack.services.values()
        for mount in service.mounts
        if KEPT_FROM_WRITING in mount.options
    ]
    return warnings


def not_covered(stack: Stack) -> list[str]:
    """`service:/path` for each path that the file lets be written outside LUNs, but for those that may be lost.

    These are single files. A tmpfs is left out: its loss is what it was declared for. What a service writes into its
    own container shows only at run time.
    """
    return [
        f"{service.name}:{mount.target}"
        for service in stack.services.values()
        for mount in service.mounts
        if mount.kind == "file" and not stack.is_harmless(service.name, mount.target)
    ]

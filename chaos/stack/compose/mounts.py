"""What services mount, and what of it `x-chaos` means by the name of a volume, or by `service:/path`.

A path means whatever the service mounts there: a named volume, an anonymous one, a folder of the host. Services that
mount the same thing share it, so one thing has several names.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from chaos.stack.compose.schema import ChaosModel, ComposeModel, FileUse, VolumeModel
from chaos.stack.inputs.sources import Folder
from chaos.stack.local import what_is_bound
from chaos.stack.spec import NOCOPY, Lun, Mount, place_name, whole_path

Mounted = Mapping[str, tuple[Mount, ...]]
"""What each service mounts, by its name."""


def mounted(model: ComposeModel, folder: Folder) -> Mounted:
    """What every service mounts, those that are switched off, too; with the paths that `x-chaos` makes mounts of."""
    return {name: _mounts(name, model, folder, _named_places(model.chaos)) for name in model.services}


def mounted_by_compose(model: ComposeModel, folder: Folder) -> Mounted:
    """The same, without those paths."""
    return {name: _mounts(name, model, folder, {}) for name in model.services}


def place_of(name: str) -> tuple[str, str] | None:
    """The service and the path of `service:/path`; None for a volume's name."""
    service, colon, path = name.partition(":")
    return (service, whole_path(path)) if colon or "/" in name else None


def mount_at(mounts: Mounted, service: str, path: str) -> Mount | None:
    """What a service mounts at the very path."""
    return next((mount for mount in mounts.get(service, ()) if posixpath.normpath(mount.target) == path), None)


def mount_above(mounts: Mounted, service: str, path: str) -> Mount | None:
    """The mount of a service in which a path lies."""
    parents = PurePosixPath(path).parents
    found = [mount for mount in mounts.get(service, ()) if PurePosixPath(mount.target) in parents]
    return max(found, key=lambda mount: len(posixpath.normpath(mount.target)), default=None)


def thing(mount: Mount) -> str:
    """What is mounted, by the one name that it has: of a volume its name, of a bind the real path."""
    return os.path.realpath(mount.source) if mount.kind == "bind" else mount.source


def meant(name: str, mounts: Mounted) -> str:
    """The one name of what `x-chaos` names; of a path at which nothing is mounted `service:/path`."""
    place = place_of(name)
    if place is None:
        return name
    mount = mount_at(mounts, *place)
    return place_name(*place) if mount is None else thing(mount)


def luns_of(chaos: ChaosModel, mounts: Mounted) -> dict[str, Lun]:
    """The LUNs that `x-chaos` names, by the one name of what lies on each.

    A LUN is called after its volume, one of a folder as `x-chaos` has it.
    """
    found: dict[str, Lun] = {}
    for array, model in chaos.arrays.items():
        for name, lun in model.luns.items():
            place, one = place_of(name), meant(name, mounts)
            mount = mount_at(mounts, *place) if place else None
            is_folder = mount is not None and mount.kind == "bind" and what_is_bound(mount.source) == "folder"
            contents = mount.source if mount is not None and is_folder and lun.contents == "copied" else ""
            called = one if place is None or (mount is not None and mount.kind == "volume") else place_name(*place)
            options = tuple(lun.mount_options)
            found.setdefault(one, Lun(called, array, lun.size, lun.filesystem, contents, options))
    return found


def blank_things(chaos: ChaosModel, mounts: Mounted) -> set[str]:
    """What `x-chaos` wants without its contents."""
    every = [(name, lun) for array in chaos.arrays.values() for name, lun in array.luns.items()]
    return {meant(name, mounts) for name, lun in every if lun.contents == "none"}


def on_luns(service: str, mounts: Mounted, chaos: ChaosModel, luns: Mapping[str, Lun]) -> tuple[Mount, ...]:
    """What a service mounts, with the LUNs that `x-chaos` puts in the place of volumes and folders, or adds."""
    blank, made = blank_things(chaos, mounts), []
    for mount in mounts[service]:
        lun = luns.get(thing(mount))
        if lun is not None:
            nocopy = mount.kind == "bind" or thing(mount) in blank
            mount = replace(mount, kind="lun", source=lun.name, options=NOCOPY if nocopy else mount.options)
        made.append(mount)
    return tuple(made)


def mounts_notes(model: ComposeModel, active: Collection[str], folder: Folder) -> list[str]:
    """What is told of LUNs at paths at which the Compose file mounts nothing."""
    given = mounted_by_compose(model, folder)
    return [
        f"{place_name(service, path)} is no mount of the Compose file: the LUN is mounted there, "
        "as a volume of the image would be"
        for service, paths in _named_places(model.chaos).items()
        for path in paths
        if service in active and mount_at(given, service, path) is None
    ]


def config_target(use: FileUse) -> str:
    """The path of a config in its container."""
    return use.target or f"/{use.source}"


def _named_places(chaos: ChaosModel) -> dict[str, list[str]]:
    """The paths that `x-chaos` puts on arrays, by service."""
    found: dict[str, list[str]] = {}
    for place in (place_of(name) for array in chaos.arrays.values() for name in array.luns):
        if place is not None:
            found.setdefault(place[0], []).append(place[1])
    return found


def _mounts(
    name: str, model: ComposeModel, folder: Folder, named: Mapping[str, list[str]], above: tuple[str, ...] = ()
) -> tuple[Mount, ...]:
    """What a service mounts; of two mounts at one path the later. What it names and is not there is left out."""
    service, mounts = model.services[name], list[Mount]()
    for text in service.volumes_from:
        other, _, mode = text.partition(":")
        if other in model.services and other not in (name, *above):
            theirs = _mounts(other, model, folder, named, (name, *above))
            mounts += [replace(mount, read_only=mount.read_only or mode == "ro") for mount in theirs]
    mounts += [_mount(name, volume, folder) for volume in service.volumes]
    for text in service.tmpfs:
        target, _, of_tmpfs = text.partition(":")
        mounts.append(Mount("tmpfs", "", target, options=of_tmpfs))
    for use in service.configs:
        config = model.configs.get(use.source)
        if config is not None and config.file is not None:
            mounts.append(Mount("bind", str(folder.below(config.file)), config_target(use), read_only=True))
    taken = {posixpath.normpath(mount.target) for mount in mounts}
    mounts += [Mount("volume", place_name(name, path), path) for path in named.get(name, ()) if path not in taken]
    return tuple({mount.target: mount for mount in mounts}.values())


def _mount(service: str, volume: VolumeModel, folder: Folder) -> Mount:
    target = whole_path(volume.target)
    if volume.type == "bind":
        return Mount("bind", str(folder.below(volume.source)), target, volume.read_only)
    if volume.type == "tmpfs":
        size, mode = volume.tmpfs.size, volume.tmpfs.mode
        options = [*([f"size={size}"] if size else []), *([f"mode={mode:o}"] if mode else [])]
        return Mount("tmpfs", "", target, volume.read_only, ",".join(options))
    nocopy = NOCOPY if volume.volume.nocopy else ""
    return Mount("volume", volume.source or place_name(service, target), target, volume.read_only, nocopy)

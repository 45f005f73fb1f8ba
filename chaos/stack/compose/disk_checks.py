"""Cross-checks of what `x-chaos` names as disks: every name means one thing, which can be a LUN, and fits on it."""

from __future__ import annotations

from collections.abc import Callable

from chaos.experiment.source import Loc, Place, did_you_mean, key_place
from chaos.stack.compose.checked import Checked, Found
from chaos.stack.compose.mount_options import refused_option
from chaos.stack.compose.mounts import (
    Mounted,
    luns_of,
    meant,
    mount_above,
    mount_at,
    mounted,
    mounted_by_compose,
    place_of,
    thing,
)
from chaos.stack.compose.schema import XFS_BYTES_MIN, LunModel
from chaos.stack.local import size_of_copy, what_is_bound
from chaos.stack.spec import Lun, place_name

_PLACE = "write service:/path, such as db:/var/lib/postgresql/data"
_UNDER_ARRAYS = "name it under x-chaos.arrays, with a size; the array local is for disks in the machines themselves"


def _luns(file: Checked) -> Found:
    given, mounts = mounted_by_compose(file.model, file.folder), mounted(file.model, file.folder)
    luns = luns_of(file.model.chaos, mounts)
    named: dict[str, tuple[str, str, Place]] = {}
    for array, model in file.model.chaos.arrays.items():
        for name in model.luns:
            loc = ("x-chaos", "arrays", array, "luns", name)
            wrong = _no_disk(file, name, given)
            if wrong is not None:
                yield file.at_key(loc, *wrong)
                continue
            place = key_place(file.root, loc)
            other, on, first = named.setdefault(meant(name, mounts), (name, array, place))
            if place != first:  # the key of a service with replicas stands at one place
                same = f"LUN {name}" if other == name else f"{name} is what {other} is, which"
                yield file.at_key(loc, f"{same} is already on array {on}", "remove one")
            yield from _room(file, (*loc, "size"), luns[meant(name, mounts)])
            yield from _mount_options(file, (*loc, "mount_options"), model.luns[name])


def _no_disk(file: Checked, name: str, given: Mounted) -> tuple[str, str] | None:
    """Why what `x-chaos` names can be no disk, and the remedy."""
    place = place_of(name)
    if place is None:
        hint = f"{did_you_mean(name, file.model.volumes)} (a LUN is one of the volumes, or service:/path)"
        return None if name in file.model.volumes else (f"no volume {name!r} for this LUN", hint)
    service, path = place
    if service not in file.model.services:
        hint = did_you_mean(service, file.model.services) if service else _PLACE
        return f"unknown service {service!r}", hint
    if not name.partition(":")[2].startswith("/") or path == "/":
        return f"{name} names no path in {service}", _PLACE
    if not file.is_whole("services", service, "volumes"):
        return None
    mount, above = mount_at(given, service, path), mount_above(given, service, path)
    if mount is None and above is not None:
        whole = place_name(service, above.target)
        return f"{name} is no mount, and lies in {whole}, which is one", f"name {whole}, or mount a volume at {path}"
    if mount is not None and mount.kind == "tmpfs":
        return f"{name} is memory, which no disk holds", f"mount a volume at {path}"
    what = what_is_bound(mount.source) if mount is not None and mount.kind == "bind" else "folder"
    if what == "special":
        return f"{name} is bound as it is on this host, and cannot be copied on a LUN", f"mount a volume at {path}"
    return (f"{name} is a file, and no folder", "bind the folder that it is in") if what == "file" else None


def _room(file: Checked, loc: Loc, lun: Lun) -> Found:
    """A folder has to fit on its LUN, and so has the file system itself."""
    if lun.filesystem == "xfs" and lun.size_bytes < XFS_BYTES_MIN:
        least, size = XFS_BYTES_MIN >> 20, lun.size_bytes >> 20
        yield file.at(loc, f"XFS needs {least} MiB, and this LUN has {size}", f"such as {least}M")
    least = size_of_copy(lun.contents) if lun.contents else 0
    if lun.size_bytes < least // 2:
        message = f"{lun.contents} has {least >> 21} MiB, which the LUN has no room for"
        yield file.at(loc, message, f"such as {least >> 20}M; or contents: none for a blank LUN")


def _mount_options(file: Checked, loc: Loc, lun: LunModel) -> Found:
    for i, option in enumerate(lun.mount_options):
        wrong = refused_option(option, lun.filesystem)
        if wrong is not None:
            yield file.at((*loc, i), *wrong)


def _copies(file: Checked) -> Found:
    given, mounts = mounted_by_compose(file.model, file.folder), mounted(file.model, file.folder)
    named = luns_of(file.model.chaos, mounts)
    written = {thing(each) for name, _ in file.services() for each in mounts[name] if not each.read_only}
    for store, volumes in file.model.chaos.copies.items():
        for i, volume in enumerate(volumes):
            loc, place = ("x-chaos", "copies", store, i), place_of(volume)
            wrong, one = _no_disk(file, volume, given), meant(volume, mounts)
            if place is None and wrong is not None:
                yield file.at(loc, f"unknown volume {volume!r}", did_you_mean(volume, file.model.volumes))
            elif wrong is not None:
                yield file.at(loc, *wrong)
            elif place is not None and one not in named and file.is_whole("services", place[0], "volumes"):
                mount = mount_at(mounts, *place)
                if mount is None:
                    yield file.at(loc, f"nothing is mounted at {volume}", _UNDER_ARRAYS)
                elif mount.kind == "bind" and what_is_bound(mount.source) == "folder" and one not in written:
                    yield file.at(loc, f"{volume} is bound for reading alone, so it is on no disk", _UNDER_ARRAYS)


DISK_CHECKS: tuple[Callable[[Checked], Found], ...] = (_luns, _copies)

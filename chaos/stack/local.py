"""Local disks: every writable mount that `x-chaos` puts on no array lies on a LUN of the array `local`.

So faults of disks reach everything that a service mounts. A named volume, a volume that the image declares and a
bound folder get a LUN each; a bound folder's contents are copied on it, and the folder itself is never written to. A
bound file is copied for each trial. What can be neither (a socket, a device, the host's own folders) is bound
read-only.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import stat
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from chaos.stack.spec import LOCAL, NOCOPY, Lun, Mount, Service, Stack, place_name

SIZE_BYTES = 1 << 30
"""Of a local disk for which `x-chaos` gives no size; sparse, so that only what is written takes space."""
_TIMES_CONTENTS = 2
"""A disk has at least so many times the space of what is on it from the first."""
_BYTES_A_FILE = 16 << 10
"""A file system has an inode for so many bytes of its size."""
_MIB = 1 << 20
_OF_THE_HOST = (Path("/proc"), Path("/sys"), Path("/dev"), Path("/run"))
"""With all below them, and the root itself: of these nobody wants a copy."""
_IN_MEMORY = Path("/dev/shm")
"""What is below it is as any other file."""

KEPT_FROM_WRITING = "kept from writing"
"""Among a bind's options: the Compose file would have it written to."""
NO_VOLUMES: Mapping[str, Collection[str]] = {}


def on_local_disks(stack: Stack, image_volumes: Mapping[str, Collection[str]] = NO_VOLUMES) -> Stack:
    """The stack with every writable mount on a LUN; of one that is so already, the same.

    Args:
        stack: As the Compose file has it.
        image_volumes: By service, the paths that its image declares as volumes, where they are known.
    """
    services = {each.name: _with_volumes(each, stack.services, image_volumes) for each in stack.services.values()}
    disks = _Disks(dict(stack.luns), _written(services.values()))
    services = {
        name: replace(service, mounts=tuple(disks.mount(mount) for mount in service.mounts))
        for name, service in services.items()
    }
    return replace(stack, services=services, luns=disks.luns, volumes=())


def what_is_bound(source: str) -> Literal["folder", "file", "special", "nothing"]:
    """What a bind's source is; "special" is bound as it is, and never written to."""
    path = Path(os.path.realpath(source))
    if path == Path("/") or (any(map(path.is_relative_to, _OF_THE_HOST)) and _IN_MEMORY not in path.parents):
        return "special"
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return "nothing"
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "special"


def _with_volumes(
    service: Service, services: Mapping[str, Service], image_volumes: Mapping[str, Collection[str]]
) -> Service:
    return replace(service, mounts=(*service.mounts, *_of_images(service, services, image_volumes).values()))


def _of_images(
    service: Service, services: Mapping[str, Service], image_volumes: Mapping[str, Collection[str]]
) -> dict[str, Mount]:
    """The volumes that images declare, by path, but where the service mounts something else at the very path.

    Those of `volumes_from` go before those of its own image, as with the engine.
    """
    found: dict[str, Mount] = {}
    for text in service.volumes_from:
        other, _, mode = text.partition(":")
        theirs = _of_images(services[other], services, image_volumes)
        found |= {path: replace(one, read_only=one.read_only or mode == "ro") for path, one in theirs.items()}
    for path in sorted(map(posixpath.normpath, image_volumes.get(service.name, ()))):
        found.setdefault(path, Mount("volume", place_name(service.name, path), path))
    taken = {posixpath.normpath(mount.target) for mount in service.mounts}
    return {path: mount for path, mount in found.items() if path not in taken}


def _written(services: Iterable[Service]) -> dict[str, str]:
    """The bound folders that lie on disks, with the disk's name: whoever else binds one sees that disk.

    These are the folders that some service may write to, and those that are not there. Of several services that bind
    one the first by its name gives the disk its name, in whatever order the file has them.
    """
    found: dict[str, str] = {}
    for service in sorted(services, key=lambda each: each.name):
        for mount in service.mounts:
            if mount.kind == "bind" and (not mount.read_only or what_is_bound(mount.source) == "nothing"):
                found.setdefault(os.path.realpath(mount.source), place_name(service.name, mount.target))
    return found


@dataclass
class _Disks:
    """Collects the LUNs that mounts need."""

    luns: dict[str, Lun]
    bound: dict[str, str]

    def mount(self, mount: Mount) -> Mount:
        """The mount as it is to be made."""
        if mount.kind == "volume":
            self.luns.setdefault(mount.source, Lun(mount.source, LOCAL, SIZE_BYTES))
            return replace(mount, kind="lun")
        if mount.kind != "bind":
            return mount
        what, real = what_is_bound(mount.source), os.path.realpath(mount.source)
        if real in self.bound and what in ("folder", "nothing"):
            name = self.bound[real]
            contents = mount.source if what == "folder" else ""
            self.luns.setdefault(name, Lun(name, LOCAL, _size_for(contents), contents=contents))
            return replace(mount, kind="lun", source=name, options=NOCOPY)
        if what == "file" and not mount.read_only:
            return replace(mount, kind="file")
        return replace(mount, read_only=True, options=mount.options if mount.read_only else KEPT_FROM_WRITING)


def overlapping(stack: Stack) -> list[tuple[str, str]]:
    """Bound folders of which one lies in the other, and one is on a disk: what is written there is not seen here."""
    disks = {lun.contents for lun in stack.luns.values() if lun.contents}
    sources = sorted(stack.bound)
    return [
        (outer, inner)
        for outer in sources
        for inner in sources
        if outer != inner and PurePosixPath(inner).is_relative_to(outer) and {outer, inner} & disks
    ]


def _size_for(contents: str) -> int:
    if not contents:
        return SIZE_BYTES
    return max(SIZE_BYTES, size_of_copy(contents))


def size_of_copy(folder: str) -> int:
    """What a disk should have for what is in a folder of the host, in bytes and whole MiB."""
    least = _TIMES_CONTENTS * sum(_sizes(folder))
    return -(-least // _MIB) * _MIB


def _sizes(folder: str) -> Iterable[int]:
    """What all that is in a folder takes, as far as it can be looked into."""
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            with contextlib.suppress(OSError):
                yield max(_BYTES_A_FILE, os.lstat(f"{parent}/{name}").st_size)

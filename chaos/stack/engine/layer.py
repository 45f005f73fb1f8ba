"""A container's own layer: every path in it that its image does not have, or has otherwise.

Blocking calls of the engine's API; `chaos.stack.live.layers` runs them in threads.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from chaos.stack.engine.client import Engine, Refusal, is_gone
from chaos.stack.engine.containers import Container

_OVERLAYS = ("overlay2", "overlay")
"""What Docker and Podman call their storage that is one."""
_CHANGED = 0
"""The kind of a path in the engine's answer that the image has, too."""
_FOLDER = 1 << 31
"""The bit of a mode, as the engine writes it."""
_MTAB, _MOUNTS = "etc/mtab", "/proc/mounts"
"""A link that Podman makes in every container, and does not tell of."""
INIT = ("/sbin/docker-init", "/usr/sbin/docker-init", "/run/podman-init", "/dev/init")
"""Where engines mount their own init."""

NEW, KNOWN = "new folder", "folder of the image"


@dataclass(frozen=True)
class Overlay:
    """Folders of the host of which the kernel makes a container's root: what is written to lies over those below."""

    layer: Path
    below: tuple[Path, ...]


def paths(client: Engine, container: Container) -> dict[str, str]:
    """Every path in the container's own layer, with what it is: NEW, KNOWN, or empty for no folder.

    The engine's own answer compares whole images and takes a second; the writable layer of an overlay holds just
    what was written, where this process may look into it.
    """
    found = client.api.inspect_container(container.id)
    overlay = _described(found.get("GraphDriver") or {}) or _mounted(int(found["State"].get("Pid") or 0))
    if overlay is not None and os.access(overlay.layer, os.R_OK | os.X_OK):
        return in_layer(overlay)
    return _told(client, container)


def _described(driver: Mapping[str, Any]) -> Overlay | None:
    """As the engine describes its storage, where it does."""
    data = driver.get("Data") or {}
    if driver.get("Name") not in _OVERLAYS or not data.get("UpperDir"):
        return None
    return Overlay(Path(data["UpperDir"]), tuple(map(Path, (data.get("LowerDir") or "").split(":"))))


def _mounted(pid: int) -> Overlay | None:
    """As the kernel tells it of a process of the container: containerd's store of images is described by nobody."""
    try:
        return overlay_of(Path(f"/proc/{pid}/mountinfo").read_text()) if pid else None
    except OSError:  # it has ended
        return None


def overlay_of(mountinfo: str) -> Overlay | None:
    """The overlay at the root of a process's mounts; None where its root is something else, or cannot be told."""
    options: list[str] = []
    for line in mountinfo.splitlines():
        mount, _, kind = line.partition(" - ")
        if mount.split(" ")[4] == "/":
            options = kind.split(" ")[2].split(",") if kind.startswith("overlay ") else []
    named = [option.partition("=")[::2] for option in options]
    layer = next((Path(value) for name, value in named if name == "upperdir"), None)
    # as one list, or one by one since Linux 6.8
    below = [path for name, value in named if name in ("lowerdir", "lowerdir+") for path in value.split(":")]
    if layer is None or not layer.is_absolute() or any("\\" in path for path in (str(layer), *below)):
        return None
    # containerd gives paths relative to its folder of layers where all together are too long for the kernel
    return Overlay(layer, tuple(layer.parent.parent / path for path in below))


def parents(inner: Iterable[str]) -> set[str]:
    """All folders above these paths."""
    return {str(parent) for path in inner for parent in PurePosixPath(path).parents}


def in_layer(overlay: Overlay) -> dict[str, str]:
    """Everything in an overlay's writable layer that the engine has not made by itself."""
    found: dict[str, str] = {}
    for path in overlay.layer.rglob("*"):
        inner = path.relative_to(overlay.layer)
        if str(inner) == _MTAB and path.is_symlink() and str(path.readlink()) == _MOUNTS:
            continue
        is_folder = path.is_dir() and not path.is_symlink()
        known = is_folder and any((each / inner).is_dir() for each in overlay.below)
        found[f"/{inner}"] = KNOWN if known else NEW if is_folder else ""
    return found


def _told(client: Engine, container: Container) -> dict[str, str]:
    """The same, as the engine tells it."""
    kinds = {each["Path"]: each["Kind"] for each in client.api.diff(container.id) or []}
    outer = parents(kinds)
    folders = {path for path in kinds if path in outer or _is_folder(client, container, path)}
    return {path: (KNOWN if kind == _CHANGED else NEW) if path in folders else "" for path, kind in kinds.items()}


def _is_folder(client: Engine, container: Container, path: str) -> bool:
    try:
        content, found = client.api.get_archive(container.id, path)
    except Refusal as error:
        if is_gone(error):  # it was deleted
            return False
        raise
    content.close()
    return bool(found["mode"] & _FOLDER)

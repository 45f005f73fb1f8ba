"""A container's own layer: every path in it that its image does not have, or has otherwise.

Blocking calls of the engine's API; `chaos.stack.live.layers` runs them in threads.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from chaos.stack.engine.client import Engine, Refusal, is_gone
from chaos.stack.engine.containers import Container

_CHANGED = 0
"""The kind of a path in the engine's answer that the image has, too."""
_FOLDER = 1 << 31
"""The bit of a mode, as the engine writes it."""
INIT = ("/sbin/docker-init", "/usr/sbin/docker-init", "/run/podman-init", "/dev/init")
"""Where engines mount their own init."""

NEW, KNOWN = "new folder", "folder of the image"


def paths(client: Engine, container: Container) -> dict[str, str]:
    """Every path in the container's own layer, with what it is: NEW, KNOWN, or empty for no folder.

    The engine's own answer compares whole images and takes a second; the writable layer of an overlay holds just
    what was written, where this process may look into it.
    """
    driver: Mapping[str, Any] = client.api.inspect_container(container.id).get("GraphDriver") or {}
    data = driver.get("Data") or {}
    layer = Path(data.get("UpperDir") or "/nowhere")
    if driver.get("Name") == "overlay2" and _may_look_into(layer):
        return _in_layer(layer, [Path(each) for each in (data.get("LowerDir") or "").split(":")])
    return _told(client, container)


def parents(inner: Iterable[str]) -> set[str]:
    """All folders above these paths."""
    return {str(parent) for path in inner for parent in PurePosixPath(path).parents}


def _may_look_into(layer: Path) -> bool:
    return os.access(layer, os.R_OK | os.X_OK)


def _in_layer(layer: Path, below: Collection[Path]) -> dict[str, str]:
    """Everything in an overlay's writable layer, over the layers `below`."""
    found: dict[str, str] = {}
    for path in layer.rglob("*"):
        inner = path.relative_to(layer)
        is_folder = path.is_dir() and not path.is_symlink()
        known = is_folder and any((each / inner).is_dir() for each in below)
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

"""What services wrote that is on no LUN: into their containers' own layers, and into copies of bound files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import docker
import docker.errors

from chaos.agent.wire import Mounts
from chaos.stack.agent.link import Agent
from chaos.stack.engine.containers import Container
from chaos.stack.live.files import BoundFiles
from chaos.stack.spec import Service, Stack

_CHANGED = 0
"""The kind of a path in the engine's answer that the image has, too."""
_FOLDER = 1 << 31
"""The bit of a mode, as the engine writes it."""
_INIT = ("/sbin/docker-init", "/usr/sbin/docker-init", "/run/podman-init", "/dev/init")
"""Where engines mount their own init."""

NEW, KNOWN = "new folder", "folder of the image"


async def not_covered(
    client: docker.DockerClient,
    stack: Stack,
    agent: Agent,
    running: Mapping[str, Container],
    files: BoundFiles,
) -> tuple[str, ...]:
    """Paths that services wrote and that are on no LUN, as "service:/path", but for those that may be lost."""
    seen = (await agent.call(Mounts(tuple(running)))).services
    points = {name: {*mount_points(stack.services[name]), *seen.get(name, ())} for name in running}
    found = await asyncio.gather(
        *(asyncio.to_thread(changed_paths, client, each, points[name]) for name, each in running.items())
    )
    paths = [(name, path) for name, changed in zip(running, found, strict=True) for path in changed]
    changed_files = await asyncio.to_thread(files.changed)
    paths += [
        (service.name, mount.target)
        for service in stack.services.values()
        for mount in service.mounts
        if mount.kind == "file" and mount.source in changed_files
    ]
    return tuple(f"{name}:{path}" for name, path in paths if not stack.is_harmless(name, path))


def mount_points(service: Service) -> list[str]:
    """Where the engine mounts something for this service, as far as its description tells."""
    return [
        *(mount.target for mount in service.mounts),
        *(str(PurePosixPath("/run/secrets", name)) for name in service.secrets),
        *service.texts,
        *(_INIT if service.init else ()),
    ]


def changed_paths(client: docker.DockerClient, container: Container, points: Collection[str]) -> list[str]:
    """Paths that are in the container's own layer, and that its service has written; `points` are its mount points.

    The engine's own answer compares whole images and takes a second; the writable layer of an overlay holds just
    what was written, where this process may look into it.
    """
    driver: Mapping[str, Any] = client.api.inspect_container(container.id).get("GraphDriver") or {}
    data = driver.get("Data") or {}
    layer = Path(data.get("UpperDir") or "/nowhere")
    if driver.get("Name") == "overlay2" and _may_look_into(layer):
        below = [Path(each) for each in (data.get("LowerDir") or "").split(":")]
        return written(_in_layer(layer, below), points)
    return written(_told(client, container), points)


def written(paths: Mapping[str, str], points: Collection[str]) -> list[str]:
    """What of these paths a service has written, parents left out.

    The engine itself makes the mount points, and a working folder, even below one. Who mounts or removes something in a
    folder changes it, and leaves nothing in it that could be lost.

    Args:
        paths: What each is: NEW, KNOWN, or empty for no folder.
        points: Mount points.
    """
    outer = _parents(paths)
    mounted = [PurePosixPath(point) for point in points if point != "/"]

    def is_made_by_the_engine(path: PurePosixPath, kind: str) -> bool:
        return path in mounted or (bool(kind) and any(path.is_relative_to(point) for point in mounted))

    return [
        path
        for path, kind in sorted(paths.items())
        if path not in outer and kind != KNOWN and not is_made_by_the_engine(PurePosixPath(path), kind)
    ]


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


def _told(client: docker.DockerClient, container: Container) -> dict[str, str]:
    """The same, as the engine tells it."""
    kinds = {each["Path"]: each["Kind"] for each in client.api.diff(container.id) or []}
    outer = _parents(kinds)
    folders = {path for path in kinds if path in outer or _is_folder(client, container, path)}
    return {path: (KNOWN if kind == _CHANGED else NEW) if path in folders else "" for path, kind in kinds.items()}


def _parents(paths: Iterable[str]) -> set[str]:
    return {str(parent) for path in paths for parent in PurePosixPath(path).parents}


def _is_folder(client: docker.DockerClient, container: Container, path: str) -> bool:
    try:
        content, found = client.api.get_archive(container.id, path)
    except docker.errors.NotFound:  # it was deleted
        return False
    content.close()
    return bool(found["mode"] & _FOLDER)

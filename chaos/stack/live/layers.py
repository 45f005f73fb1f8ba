"""What services wrote that is on no LUN: into their containers' own layers, and into copies of bound files."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath

from chaos.agent.wire import Mounts
from chaos.stack.agent.link import Agent
from chaos.stack.engine import layer
from chaos.stack.engine.client import Engine
from chaos.stack.engine.containers import Container
from chaos.stack.live.files import BoundFiles
from chaos.stack.spec import Service, Stack


async def not_covered(
    client: Engine,
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
        *(layer.INIT if service.init else ()),
    ]


def changed_paths(client: Engine, container: Container, points: Collection[str]) -> list[str]:
    """Paths that are in the container's own layer, and that its service has written; `points` are its mount points."""
    return written(layer.paths(client, container), points)


def written(paths: Mapping[str, str], points: Collection[str]) -> list[str]:
    """What of these paths a service has written, parents left out.

    The engine itself makes the mount points, and a working folder, even below one. Who mounts or removes something in a
    folder changes it, and leaves nothing in it that could be lost.

    Args:
        paths: As `chaos.stack.engine.layer.paths` tells them.
        points: Mount points.
    """
    outer = layer.parents(paths)
    mounted = [PurePosixPath(point) for point in points if point != "/"]

    def is_made_by_the_engine(path: PurePosixPath, kind: str) -> bool:
        return path in mounted or (bool(kind) and any(path.is_relative_to(point) for point in mounted))

    return [
        path
        for path, kind in sorted(paths.items())
        if path not in outer and kind != layer.KNOWN and not is_made_by_the_engine(PurePosixPath(path), kind)
    ]

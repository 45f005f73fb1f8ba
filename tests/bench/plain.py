"""The other side of the comparison: the same service on a plain loop device, with no array behind it."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import docker

from chaos.errors import HarnessError
from chaos.stack.engine import containers, volumes
from chaos.stack.engine.containers import Container, ServicePlace
from chaos.stack.engine.identity import Run
from chaos.stack.engine.network import Network
from chaos.stack.spec import Lun, Service

_INDEX = 100
"""Of its address in the run's network, beyond those of the stack's services."""
_SECONDS_MAX = 60


@asynccontextmanager
async def on_plain_loop(
    client: docker.DockerClient, run: Run, service: Service, image: str, lun: Lun, source: Path
) -> AsyncIterator[Container]:
    """Start `service` with a copy of the file `source` behind a loop device, in the place of its LUN.

    Volume and container carry the run's labels, and the file the name that `holdfast clean` looks for, so that the
    guard and every later command remove what a killed bench leaves.
    """
    name = f"{lun.name}-plain"
    copy = source.with_name(f"holdfast-{run.id}-{name}-1")
    container: Container | None = None
    volume = ""
    try:
        await asyncio.to_thread(_run, "cp", "--sparse=always", str(source), str(copy))
        device = await asyncio.to_thread(_run, "losetup", "--find", "--show", str(copy))
        try:
            plain = Lun(name, lun.array, lun.size_bytes, lun.filesystem)
            volume = f"holdfast-{run.id}-{name}-1"
            await asyncio.to_thread(volumes.create_on_lun, client, run, volume, plain, device)
            place = ServicePlace(run, _network(client, run), _INDEX, image, {}, {})
            container = await asyncio.to_thread(
                containers.create, client, _renamed(service), place, 1, {lun.name: volume}, name
            )
            container = await asyncio.to_thread(containers.start, client, container)
        finally:
            # while it is mounted this means: free it at the unmount, whoever does that, and whatever becomes of us
            await asyncio.to_thread(_run, "losetup", "--detach", device)
        yield container
    finally:
        if container is not None:
            await asyncio.to_thread(containers.remove, client, container)
        if volume:
            await asyncio.to_thread(volumes.remove, client, run, volume)
        copy.unlink(missing_ok=True)


def _renamed(service: Service) -> Service:
    return Service(
        f"{service.name}-plain",
        command=service.command,
        environment=service.environment,
        mounts=service.mounts,
        healthcheck=service.healthcheck,
        stop_grace_seconds=service.stop_grace_seconds,
    )


def _network(client: docker.DockerClient, run: Run) -> Network:
    name = f"holdfast-{run.id}"
    found = client.api.inspect_network(name)
    return Network(found["Id"], name, found["IPAM"]["Config"][0]["Subnet"])


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS_MAX, check=False)
    except OSError as error:
        raise HarnessError(f"{command[0]} cannot be run: {error}; install util-linux") from error
    if done.returncode:
        raise HarnessError(f"`{' '.join(command)}`: {done.stderr.strip()}; loop devices need root")
    return done.stdout.strip()

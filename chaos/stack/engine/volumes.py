"""The engine's volumes: a LUN's file system mounted by the engine itself.

Blocking calls of the engine's API; `chaos.stack.live.disks` runs them in threads.
"""

from __future__ import annotations

import contextlib

import docker
import docker.errors

from chaos.errors import EngineError
from chaos.stack.engine.identity import Run
from chaos.stack.spec import Lun


def create_on_lun(client: docker.DockerClient, run: Run, name: str, lun: Lun, device: str) -> None:
    """Make the `local` volume that mounts the LUN's file system from its device.

    The engine returns an old volume of the same name without a word, so what came back is compared.

    Raises:
        EngineError: There is a volume of this name with another device.
    """
    options = {"type": lun.filesystem, "device": device}
    made = client.api.create_volume(name, driver="local", driver_opts=options, labels=run.labels("lun"))
    if (made.get("Options") or {}).get("device") != device:
        raise EngineError(f"volume {name} exists with another device; run `holdfast clean`")


def remove(client: docker.DockerClient, name: str) -> None:
    """Remove a volume whose containers are gone."""
    with contextlib.suppress(docker.errors.NotFound):
        client.api.remove_volume(name, force=True)

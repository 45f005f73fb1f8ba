"""The engine's volumes: a LUN's file system mounted by the engine itself.

Blocking calls of the engine's API; `chaos.stack.live.disks` runs them in threads.
"""

from __future__ import annotations

import time

import docker
import docker.errors

from chaos.errors import EngineError
from chaos.stack.engine import containers
from chaos.stack.engine.client import engine_errors, is_gone, status_of
from chaos.stack.engine.containers import Container
from chaos.stack.engine.identity import Run
from chaos.stack.spec import Lun

_IN_USE = 409
_IN_USE_SECONDS_MAX = 10.0
_RETRY_SECONDS = 0.1


def create_on_lun(client: docker.DockerClient, run: Run, name: str, lun: Lun, device: str) -> None:
    """Make the `local` volume that mounts the LUN's file system from its device.

    The engine returns an old volume of the same name without a word, so what came back is compared.

    Raises:
        EngineError: There is a volume of this name with another device, or the engine refuses.
    """
    options = {"type": lun.filesystem, "device": device}
    with engine_errors(f"making volume {name}"):
        made = client.api.create_volume(name, driver="local", driver_opts=options, labels=run.labels("lun"))
    if (made.get("Options") or {}).get("device") != device:
        raise EngineError(f"volume {name} exists with another device; run `holdfast clean`")


def remove(client: docker.DockerClient, run: Run, name: str) -> None:
    """Remove a volume whose containers are gone.

    One that has it nevertheless was made when nobody waited for it any more; nobody knows it, and it goes, too.

    Raises:
        EngineError: The engine does not remove it.
    """
    until = time.monotonic() + _IN_USE_SECONDS_MAX
    with engine_errors(f"removing volume {name}"):
        while True:
            try:
                client.api.remove_volume(name, force=True)
            except docker.errors.APIError as error:
                if is_gone(error):
                    return
                if status_of(error) != _IN_USE or time.monotonic() > until:
                    raise
            else:
                return
            for each in client.api.containers(all=True, filters={**run.filters(), "volume": [name]}):
                containers.remove(client, Container(each["Id"], name))
            time.sleep(_RETRY_SECONDS)

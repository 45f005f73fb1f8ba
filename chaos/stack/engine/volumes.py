"""The engine's volumes: a LUN's file system mounted by the engine itself.

Blocking calls of the engine's API; `chaos.stack.live.disks` runs them in threads.
"""

from __future__ import annotations

import itertools
import time

from chaos.errors import EngineError
from chaos.stack.engine import containers
from chaos.stack.engine.client import Engine, Refusal, engine_errors, is_gone, status_of
from chaos.stack.engine.containers import Container
from chaos.stack.engine.identity import Run
from chaos.stack.spec import Lun

_IN_USE = 409
_IN_USE_SECONDS_MAX = 10.0
_RETRY_SECONDS = 0.1
_COPY_SECONDS_MAX = 3600
_COPIES = itertools.count(1)


def create_on_lun(client: Engine, run: Run, name: str, lun: Lun, device: str) -> None:
    """Make the `local` volume that mounts the LUN's file system from its device.

    The engine returns an old volume of the same name without a word, so what came back is compared.

    Raises:
        EngineError: There is a volume of this name with another device, or the engine refuses.
    """
    options = {"type": lun.filesystem, "device": device}
    if lun.mounted_with:
        options["o"] = ",".join(lun.mounted_with)
    with engine_errors(f"making volume {name}"):
        made = client.api.create_volume(name, driver="local", driver_opts=options, labels=run.labels("lun"))
    if (made.get("Options") or {}).get("device") != device:
        raise EngineError(f"volume {name} exists with another device; run `holdfast clean`")


def remove(client: Engine, run: Run, name: str) -> None:
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
            except Refusal as error:
                if is_gone(error):
                    return
                if status_of(error) != _IN_USE or time.monotonic() > until:
                    raise
            else:
                return
            for each in client.api.containers(all=True, filters={**run.filters(), "volume": [name]}):
                containers.remove(client, Container(each["Id"], name))
            time.sleep(_RETRY_SECONDS)


def copy_folder(client: Engine, run: Run, image: str, folder: str, name: str) -> None:
    """Copy all that is in a folder of the host into an empty volume, with the folder's own owner and mode.

    By a container, since the engine may read what the user may not, and can give copies the owners that the originals
    have. Blocks for as long as it takes.

    Args:
        client: The engine.
        run: Whose container it is.
        image: One that has `cp`.
        folder: Its path.
        name: Of the volume.

    Raises:
        EngineError: It cannot be copied; the message says what `cp` said.
    """
    api = client.api
    host = api.create_host_config(binds=[f"{folder}:/from:ro", f"{name}:/to:rw,nocopy"], network_mode="none")
    with engine_errors(f"copying the bound folder {folder}"):
        made = api.create_container(
            image,
            # written back at once: else the engine waits for that while it unmounts, and says nothing meanwhile
            entrypoint=["sh", "-c", "cp -a -- /from/. /to/ && sync -f /to"],
            command=[],
            user="0",
            labels=run.labels("copy"),
            name=f"holdfast-{run.id}-copy-{next(_COPIES)}",
            host_config=host,
        )["Id"]
        api.start(made)
        code = int(api.wait(made, timeout=_COPY_SECONDS_MAX)["StatusCode"])
        said = api.logs(made, tail=5).decode(errors="replace").strip() if code else ""
        api.remove_container(made, force=True)
    if code:
        raise EngineError(f"the bound folder {folder} cannot be copied on its LUN: {said}")

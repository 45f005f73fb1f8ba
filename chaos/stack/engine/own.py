"""Containers of Holdfast's own, which stand beside a stack's services: the agent, the doctor's probe, the carrier.

Blocking calls of the engine's API. What goes wrong is a `Refusal`, but where another error is named.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker.types

from chaos.agent.process.cgroups import ROOT as CGROUPS_IN_AGENT
from chaos.errors import EngineError
from chaos.stack.engine.client import Engine, NoAnswer, Refusal, reason_of
from chaos.stack.engine.containers import LOG_BYTES_MAX
from chaos.stack.engine.identity import Run
from chaos.stack.engine.network import Network

_CAPABILITIES = ("SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "MKNOD", "KILL", "DAC_READ_SEARCH", "DAC_OVERRIDE", "SYS_NICE")
_DEVICES = ("b 7:* rwm", "c 10:229 rwm", "c 10:237 rwm")
"""Loop devices, /dev/fuse and /dev/loop-control."""
_SINGLE_DEVICES = (Path("/dev/fuse"), Path("/dev/loop-control"))
_OF_THE_HOST = ("/dev:/dev", f"/sys/fs/cgroup:{CGROUPS_IN_AGENT}")
"""What the agent sees of the host."""
_ENVIRONMENT = threading.Lock()
SEEN = "/seen"
REMEDY = (
    "run Holdfast on the machine of its engine: not towards a remote one or Docker Desktop's, and not inside a "
    "container whose cache folder is not the host's"
)
_SEEN_SECONDS_MAX = 20
_WHICH = f"import os; found = os.stat({SEEN!r}); print(found.st_dev, found.st_ino)"


def start_agent(client: Engine, run: Run, image: str, command: Sequence[str], folder: str, seen_as: str) -> str:
    """Create and start the agent's container; return its id.

    Args:
        client: The engine.
        run: Whose agent it is.
        image: The id of the agent's image.
        command: What the agent is told.
        folder: One of the host's, which the agent may write to.
        seen_as: That folder's path in the agent.
    """
    container = _create(
        client,
        {
            "image": image,
            "command": list(command),
            "name": f"holdfast-{run.id}-agent",
            "labels": run.labels("agent"),
        },
        pid_mode="host",
        binds=[*_OF_THE_HOST, f"{folder}:{seen_as}"],
        log_config=docker.types.LogConfig(type="none"),
        auto_remove=True,
    )
    client.api.start(container)
    return container


def probe(
    client: Engine, run: Run, image: str, source: str, seconds_max: int, seen: Path | None = None
) -> tuple[bytes, bytes]:
    """Run a Python program with the agent's privileges; return what it wrote, and what it complained of.

    Args:
        client: The engine.
        run: Whose container it is.
        image: The id of the agent's image.
        source: The program.
        seconds_max: So long it may take.
        seen: A folder of this host that the program finds as `SEEN`.

    Raises:
        EngineError: It does not end in time.
        Refusal: It cannot be started.
    """
    api = client.api
    container = _create(
        client,
        {"image": image, "entrypoint": "python3", "command": ["-c", source], "labels": run.labels("probe")},
        binds=list(_OF_THE_HOST),
        # a mount, and not one of the binds: of those an engine makes the folder where there is none
        mounts=[docker.types.Mount(SEEN, str(seen), type="bind", read_only=True)] if seen else [],
        log_config=docker.types.LogConfig(type="json-file"),  # the engine's own default may keep nothing to read
    )
    try:
        api.start(container)
        api.wait(container, timeout=seconds_max)
        return api.logs(container, stderr=False), api.logs(container, stdout=False)
    except NoAnswer as error:
        raise EngineError(f"it gave no answer in {seconds_max} s") from error
    finally:
        api.remove_container(container, force=True, v=True)


def elsewhere(client: Engine, run: Run, image: str, folder: Path) -> str:
    """Why a folder of this host is not the one that containers get at its path; "" where it is.

    It is another one where the engine runs on another machine, in a virtual machine or in a container: then nothing
    that is handed over in a folder arrives.

    Raises:
        EngineError: As of `probe`.
    """
    try:
        found, trouble = probe(client, run, image, _WHICH, _SEEN_SECONDS_MAX, folder)
    except Refusal as error:
        return f"it has no folder {folder} of this host: {reason_of(error)}"
    there, here = found.decode(errors="replace").split(), folder.stat()
    if not there:
        return f"it cannot look into {folder}: {trouble.decode(errors='replace').strip()[-200:]}"
    same = there == [str(here.st_dev), str(here.st_ino)]
    return "" if same else f"it has another folder at {folder}, so it does not run on this host"


def start_carrier(
    client: Engine, run: Run, image: str, command: str, network: Network, index: int, ports: Mapping[int, int]
) -> str:
    """Create and start the carrier's container by testcontainers; return its id.

    Args:
        client: The engine.
        run: Whose carrier it is.
        image: The id of its image.
        command: What its server is told.
        network: The run's.
        index: Of its fixed address there.
        ports: Of 127.0.0.1, by those of the container.
    """
    # imported late: it takes as long as a short command, and most stacks have no carrier
    from testcontainers.core.container import DockerContainer

    endpoint = network.endpoint(client, index)
    with _own_ways():
        made = DockerContainer("", command=command)
        made.image = image  # as an argument it would get a registry's name before it, where one is configured
        made.with_name(f"holdfast-{run.id}-carrier")
        # the engine takes (address, port), too
        made.ports.update({f"{port}/tcp": ("127.0.0.1", at) for port, at in ports.items()})  # type: ignore[misc]
        made.with_kwargs(
            labels=run.labels("carrier"),
            network=network.name,
            networking_config={network.name: endpoint},
            hostname="carrier",
            cap_drop=["ALL"],
            log_config=docker.types.LogConfig(type="json-file", config={"max-size": f"{LOG_BYTES_MAX}"}),
        )
        theirs = made.get_docker_client()
        theirs.client.close()
        theirs.client = client  # the engine that answered us, with our time limits
        made.start()
    return made.get_container_id()


def _create(client: Engine, what: Mapping[str, Any], **host: Any) -> str:
    """Create a container with the agent's privileges; return its id.

    Podman drops rules for devices, up to version 4 without having them in force either. Where an engine does not tell
    that it has them, the container gets the devices one by one: those that are there now.
    """
    api = client.api
    privileges = {**host, **_privileges()}
    container: str = api.create_container(**what, host_config=api.create_host_config(**privileges))["Id"]
    if api.inspect_container(container)["HostConfig"].get("DeviceCgroupRules"):
        return container
    api.remove_container(container, force=True)
    devices = [f"{device}:{device}:rwm" for device in _devices()]
    made = api.create_container(**what, host_config=api.create_host_config(**privileges, devices=devices))
    return str(made["Id"])


def _devices() -> list[Path]:
    """Those that an agent needs and that this host has."""
    return [
        path
        for path in (*_SINGLE_DEVICES, *sorted(Path("/dev").glob("loop[0-9]*")))
        if path.is_char_device() or path.is_block_device()
    ]


def _privileges() -> dict[str, Any]:
    """What the agent's container may do, as the engine's API takes it."""
    return {
        "cap_drop": ["ALL"],
        "cap_add": list(_CAPABILITIES),
        "security_opt": ["seccomp=unconfined", "apparmor=unconfined"],
        "device_cgroup_rules": list(_DEVICES),
        "cgroupns": "host",  # else version 2 shows paths relative to the agent's own
        "network_mode": "none",
    }


@contextmanager
def _own_ways() -> Iterator[None]:
    """Without testcontainers' reaper, for the guard sweeps; and let it change nothing for the rest of the process."""
    from testcontainers.core.config import testcontainers_config

    with _ENVIRONMENT:
        reaper, host = testcontainers_config.ryuk_disabled, os.environ.get("DOCKER_HOST")
        testcontainers_config.ryuk_disabled = True
        try:
            yield
        finally:
            testcontainers_config.ryuk_disabled = reaper
            if host is None:
                os.environ.pop("DOCKER_HOST", None)
            else:
                os.environ["DOCKER_HOST"] = host

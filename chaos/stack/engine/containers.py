"""One service as one container: made from its description, started, asked for its health, logged and removed.

Blocking calls of the engine's API; `chaos.stack.live.running` runs them in threads.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import select
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import docker.types

from chaos.errors import EngineError
from chaos.stack.engine.client import Engine, Refusal, engine_errors, status_of
from chaos.stack.engine.identity import Run
from chaos.stack.engine.network import Network
from chaos.stack.spec import NOCOPY, Mount, Service

LOG_BYTES_MAX = 4 << 20
_LOOK_SECONDS = 0.01
_LOOK_SECONDS_MAX = 0.25
_OUTPUT_BYTES = 1 << 16
_EXIT_SECONDS = 5.0
"""A busy engine knows the exit code of a command a moment after the end of its output."""
_NANO_CPUS = 1e9
_NOT_RUN = (400, 404, 409, 500)
"""How the engine answers where a command cannot be run inside: there is no such program, or no such user; the container
is gone, or does not run; it is just dying."""
_NO_PROGRAM = 126
_LAST_LINES = 5
_NEVER_STARTED = -1


class Unstartable(EngineError):
    """The engine does not make or start a container as it is: its disk cannot be mounted, its program is not there."""


@dataclass(frozen=True)
class Container:
    """A service's container. `pid` is that of its init process in the host's namespace."""

    id: str
    service: str
    pid: int = 0


@dataclass(frozen=True)
class ServicePlace:
    """Where containers of a run live: what is the same for all of a service's incarnations.

    Attributes:
        host_ports: By port of the container that of 127.0.0.1 at which it is reached.
        hosts: The fixed address of every name in the stack. Written into /etc/hosts: the engine's name server knows
            only containers that run, and asks the host's name server, outside the run's network, for those that do
            not, which takes 10 s where nobody answers.
        publishes: Whether it is, as phones reach it; else each port is reached at the container's own address, which
            spares the engine a proxy for each, and its rules.
        frame: The container whose network namespace it has; empty: it has one of its own.
    """

    run: Run
    network: Network
    index: int
    image: str
    host_ports: Mapping[int, int]
    hosts: Mapping[str, str]
    publishes: bool = True
    frame: str = ""

    def door(self, port: int) -> tuple[str, int]:
        """Where this host reaches a port of the container."""
        return ("127.0.0.1", self.host_ports[port]) if self.publishes else (self.network.address(self.index), port)


def create(
    client: Engine, service: Service, place: ServicePlace, attempt: int, sources: Mapping[str, str], hostname: str
) -> Container:
    """Create the container, not started. `sources` has the engine's volume of each LUN, and the copy of each file.

    A host name that was drawn is known to the other containers, as an engine makes it known that took it from the
    container's id.

    Raises:
        Unstartable: The engine refuses it; the message says what.
        EngineError: ... for a reason that has a remedy, which the message says.
    """
    api = client.api
    limits = service.limits
    of_host, own = _network(client, service, place, hostname)
    host = api.create_host_config(
        binds=[_bind(mount, sources) for mount in service.mounts if mount.kind != "tmpfs"]
        + [f"{path}:{PurePosixPath('/run/secrets', name)}:ro" for name, path in service.secrets.items()],
        tmpfs={mount.target: mount.options for mount in service.mounts if mount.kind == "tmpfs"},
        cap_add=list(service.cap_add),
        cap_drop=list(service.cap_drop),
        security_opt=list(service.security_opt) or None,
        sysctls=dict(service.sysctls) or None,
        group_add=list(service.group_add) or None,
        read_only=service.read_only,
        pids_limit=limits.pids or None,
        memswap_limit=limits.memory_and_swap_bytes or None,
        mem_swappiness=limits.swappiness,
        cpu_shares=limits.cpu_shares or None,
        cpuset_cpus=limits.cpuset or None,
        oom_kill_disable=limits.oom_kill_disable,
        oom_score_adj=limits.oom_score_adj or None,
        ulimits=[docker.types.Ulimit(name=one.name, soft=one.soft, hard=one.hard) for one in limits.ulimits],
        init=service.init or None,
        shm_size=service.shm_size_bytes or None,
        nano_cpus=int(service.cpus * _NANO_CPUS) or None,
        mem_limit=service.memory_bytes or None,
        log_config=docker.types.LogConfig(type="json-file", config={"max-size": f"{LOG_BYTES_MAX}"}),
        **of_host,
    )
    try:
        made = api.create_container(
            place.image,
            command=None if service.command is None else list(service.command),
            entrypoint=None if service.entrypoint is None else list(service.entrypoint),
            environment=dict(service.environment),
            user=service.user or None,
            working_dir=service.working_dir or None,
            tty=service.tty,
            stdin_open=service.stdin_open,
            stop_signal=service.stop_signal or None,
            healthcheck={"test": ["NONE"]},  # asked by us, while somebody waits for the answer
            labels=place.run.labels("service"),
            name=f"holdfast-{place.run.id}-{service.name}-{attempt}",
            host_config=host,
            **own,
        )
        if service.texts:
            api.put_archive(made["Id"], "/", _archive(service.texts))
    except Refusal as error:
        reason = str(error.explanation)
        remedy = (
            "; what its image has there does not fit on the LUN: give that a greater size under x-chaos.arrays"
            if "no space left on device" in reason
            else ""
        )
        raise _refusal(f"the engine refuses to create {service.name}: {reason}", remedy) from error
    return Container(made["Id"], service.name)


def create_frame(
    client: Engine, service: Service, place: ServicePlace, attempt: int, image: str, hostname: str
) -> Container:
    """Start a container that does nothing but keep a network namespace, as the service's own container would have it.

    `image` is one that has `sleep`.
    """
    api = client.api
    host, own = _network(client, service, place, hostname)
    with engine_errors(f"making the network namespace of {service.name}"):
        made = api.create_container(
            image,
            entrypoint=["sleep", "infinity"],
            command=[],
            labels=place.run.labels("frame"),
            name=f"holdfast-{place.run.id}-{service.name}-frame-{attempt}",
            host_config=api.create_host_config(
                cap_drop=["ALL"], log_config=docker.types.LogConfig(type="none"), **host
            ),
            **own,
        )["Id"]
        api.start(made)
        return Container(made, service.name, int(api.inspect_container(made)["State"]["Pid"]))


def _network(
    client: Engine, service: Service, place: ServicePlace, hostname: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """How a container is in the network, as the engine's API takes it: for its host's side, and for its own."""
    if place.frame:
        return {"network_mode": f"container:{place.frame}"}, {}
    published = place.host_ports if place.publishes else {}
    names = [service.name, *service.aliases, *(() if service.hostname else (hostname,))]
    networks: Any = {
        place.network.name: place.network.endpoint(client, place.index, names)
    }  # the stubs forget the name
    host = {
        "port_bindings": {port: ("127.0.0.1", host_port) for port, host_port in published.items()},
        "network_mode": place.network.name,
        "extra_hosts": _hosts(service, place),
    }
    own = {
        "hostname": hostname,
        "domainname": service.domainname or None,
        "ports": list(published),
        "networking_config": client.api.create_networking_config(networks),
    }
    return host, own


def start(client: Engine, container: Container) -> Container:
    """Start it, for the first time or again.

    Raises:
        Unstartable: Its program cannot be started, or one of its disks cannot be mounted.
        EngineError: A port is in use.
    """
    try:
        client.api.start(container.id)
        state = client.api.inspect_container(container.id)["State"]
    except Refusal as error:
        reason = str(error.explanation)
        remedy = (
            "; free that port or leave it out, and one is chosen"
            if "address already in use" in reason or "port is already allocated" in reason
            else ""
        )
        raise _refusal(f"{container.service} cannot be started: {reason}", remedy) from error
    return Container(container.id, container.service, int(state.get("Pid") or 0))


def _refusal(what: str, remedy: str) -> EngineError:
    """What has a remedy on this host, or in the stack's file, says nothing of the service."""
    return EngineError(what + remedy) if remedy else Unstartable(what)


def is_healthy(client: Engine, container: Container, service: Service, seconds_max: float) -> bool:
    """Run the service's own health check once, bounded by its own time-out, too; True where it has none."""
    check = service.healthcheck
    if check is None or not check.test:
        return True
    return succeeds(client, container, check.test, min(check.timeout_seconds, seconds_max), service.user or "")


def succeeds(client: Engine, container: Container, command: Sequence[str], seconds_max: float, user: str = "") -> bool:
    """Run a command inside and tell whether it ended in time, with 0; False also where the container does not run.

    One that does not end in time is left alone: the engine has no way to end it, and it ends with its container.
    """
    seconds_max = max(0.0, seconds_max)  # a deadline may have passed while somebody was on the way here
    until = time.monotonic() + seconds_max
    try:
        made = client.api.exec_create(container.id, list(command), user=user)
        # not detached: of a command that nobody is attached to, Podman 4 never learns that it has ended
        with _attached(client, made["Id"]) as wait:
            wait(min(_LOOK_SECONDS_MAX, seconds_max))
            return _exit_code(client, made["Id"], until, wait) == 0
    except Refusal as error:
        if status_of(error) in _NOT_RUN:
            return False
        raise


@contextlib.contextmanager
def _attached(client: Engine, command: str) -> Iterator[Callable[[float], None]]:
    """Start a command and throw away what it says, lest it waits for a reader.

    Yields:
        How to wait for its end: it returns after so many seconds, or when something happened.
    """
    stream: Any = client.api.exec_start(command, socket=True)
    is_open = True

    def wait(seconds: float) -> None:
        nonlocal is_open
        if not is_open:
            time.sleep(seconds)
        elif select.select([stream], [], [], seconds)[0]:
            is_open = bool(os.read(stream.fileno(), _OUTPUT_BYTES))

    try:
        yield wait
    finally:
        stream._response.close()  # which has the connection; to close the stream alone would leave it open


def execute(
    client: Engine,
    container: Container,
    command: Sequence[str],
    hush: Callable[[bytes], bytes] = bytes,
    user: str = "",
) -> tuple[int, str]:
    """Run a command inside; return its exit code and the end of its output.

    Where it cannot be run, these are 126 and what the engine says of it.
    """
    try:
        made = client.api.exec_create(container.id, list(command), user=user)
        output = client.api.exec_start(made["Id"])
        code = _exit_code(client, made["Id"], time.monotonic() + _EXIT_SECONDS)
    except Refusal as error:
        if error.status_code not in _NOT_RUN:
            raise
        code, output = _NO_PROGRAM, str(error.explanation).encode()
    return _NO_PROGRAM if code is None else code, hush(output)[-400:].decode(errors="replace").strip()


def _exit_code(client: Engine, command: str, until: float, wait: Callable[[float], None] = time.sleep) -> int | None:
    """That of a command that was started inside; None where it has not ended by then."""
    pause = _LOOK_SECONDS
    while True:
        found = client.api.exec_inspect(command)
        if found["ExitCode"] is not None and not found["Running"]:
            return int(found["ExitCode"])
        left = until - time.monotonic()
        if left < 0:
            return None
        wait(min(pause, left))
        pause = min(_LOOK_SECONDS_MAX, 1.5 * pause)


def state(client: Engine, container: Container) -> tuple[bool, int]:
    """Whether it runs, and the exit code if not; -1 of one that was never started."""
    found = client.api.inspect_container(container.id)["State"]
    return bool(found["Running"]), _NEVER_STARTED if found["Status"] == "created" else int(found["ExitCode"])


def last_words(client: Engine, container: Container, hush: Callable[[bytes], bytes]) -> str:
    """The last lines of the container's output; empty where it has none any more."""
    try:
        return hush(client.api.logs(container.id, tail=_LAST_LINES)).decode(errors="replace").strip()
    except Refusal:
        return ""


def save_log(client: Engine, container: Container, folder: Path, hush: Callable[[bytes], bytes]) -> None:
    """Append the end of the container's output to `<folder>/<service>.log`, which stays within 4 MiB."""
    with contextlib.suppress(Refusal):
        text = hush(client.api.logs(container.id, timestamps=True))
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{container.service}.log").open("ab") as file:
            room = max(0, LOG_BYTES_MAX - file.tell())
            file.write(text[len(text) - min(room, len(text)) :])


def events(client: Engine, run: Run, since: float, until: float) -> list[dict[str, object]]:
    """What the engine says that it did with this run's objects in a span of time (seconds of the epoch)."""
    told = client.api.events(since=int(since), until=int(until) + 1, filters=run.filters(), decode=True)
    return [
        {
            "time_ns": event.get("timeNano"),
            "type": event.get("Type"),
            # of an exec the engine adds the command, which may hold what is nobody's business
            "action": str(event.get("Action", "")).split(":")[0],
            "name": (event.get("Actor") or {}).get("Attributes", {}).get("name", ""),
            "exit_code": (event.get("Actor") or {}).get("Attributes", {}).get("exitCode"),
        }
        for event in told
    ]


def remove(client: Engine, container: Container) -> None:
    """Kill and remove; gone already is fine."""
    try:
        client.api.remove_container(container.id, force=True, v=True)
    except Refusal as error:
        if error.status_code not in (404, 409):
            raise EngineError(f"the engine does not remove {container.service}: {error.explanation}") from error


def kill_and_wait(client: Engine, container: Container) -> None:
    """End the container's processes at once, and return when they are gone."""
    with contextlib.suppress(Refusal):  # it has ended already
        client.api.kill(container.id, "SIGKILL")
    client.api.wait(container.id)


def stop(client: Engine, container: Container, grace_seconds: float) -> None:
    """Stop in order: SIGTERM, the grace period, SIGKILL."""
    try:
        client.api.stop(container.id, timeout=math.ceil(grace_seconds))
    except Refusal as error:
        if error.status_code != 404:
            raise EngineError(f"the engine does not stop {container.service}: {error.explanation}") from error


def _hosts(service: Service, place: ServicePlace) -> list[str]:
    """Lines of /etc/hosts as the engine takes them: of the stack's names, the service's links, and its own."""
    links = [(alias, place.hosts[other]) for alias, other in service.links.items() if other in place.hosts]
    own = {name for name, _ in (*links, *service.hosts)}
    shared = [(name, address) for name, address in place.hosts.items() if name not in own]
    return [f"{name}:{address}" for name, address in (*shared, *links, *service.hosts)]


def _archive(texts: Mapping[str, bytes]) -> bytes:
    """Files that everybody in the container may read, by their path."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, content in texts.items():
            file = tarfile.TarInfo(path.lstrip("/"))
            file.size, file.mode, file.mtime = len(content), 0o444, int(time.time())
            archive.addfile(file, io.BytesIO(content))
    return packed.getvalue()


def _bind(mount: Mount, sources: Mapping[str, str]) -> str:
    source = mount.source if mount.kind == "bind" else sources[mount.source]
    options = ["ro" if mount.read_only else "rw", *([NOCOPY] if NOCOPY in mount.options else [])]
    return f"{source}:{mount.target}:{','.join(options)}"

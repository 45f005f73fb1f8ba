"""The way to the container engine: Docker or Podman, found by DOCKER_HOST or by its usual sockets; what it is.

Only modules of this folder talk to it; all others hand the connection on, and catch what comes by the names below.
No API version is ever pinned: newer engines refuse old ones. Errors are told apart by status code alone.
"""

from __future__ import annotations

import errno
import grp
import os
import socket
import stat
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import docker
import docker.errors
import requests.exceptions

from chaos.errors import EngineError

Engine: TypeAlias = docker.DockerClient
"""A connection to an engine. Whoever is not of this folder hands it on or closes it, no more."""
Refusal: TypeAlias = docker.errors.APIError
"""The engine answered, and does not do it: `status_of` and `reason_of` tell more."""
NoAnswer: TypeAlias = requests.exceptions.RequestException
"""The engine is gone, or gave no answer in time."""
FAILURES = (docker.errors.DockerException, NoAnswer)
"""All that a call of the engine's API raises."""
CONNECTIONS_MAX = 32
"""Calls run in threads; a connection beyond the pool's size would be thrown away with a warning."""
_KNOCK_SECONDS_MAX = 5.0
_NOT_FOUND = 404
REMEDY = "`holdfast doctor --fix` installs and starts one where it may"
_NAMED = "DOCKER_HOST names this one: unset it, or name another"
_FORBIDDEN = (errno.EACCES, errno.EPERM)


def connect(timeout_seconds: float = 30) -> Engine:
    """Connect to the first engine that answers.

    Args:
        timeout_seconds: Bound of every later request to the engine, too.

    Raises:
        EngineError: None answers; the message says which addresses were tried and what they said.
    """
    return reach(timeout_seconds)[0]


def reach(timeout_seconds: float) -> tuple[Engine, str]:
    """As `connect`, and tell the address of the engine that answered."""
    tried, remedy = [], _NAMED if os.environ.get("DOCKER_HOST", "").strip() else REMEDY
    for address in addresses():
        try:
            return _open(address, timeout_seconds), address
        except (*FAILURES, OSError, ValueError) as error:
            tried.append(f"{address}: {reason_of(error)}")
            if isinstance(error, OSError) and error.errno in _FORBIDDEN and address.startswith("unix://"):
                remedy = _access(Path(address.removeprefix("unix://")))
    raise EngineError(
        f"no container engine answers ({'; '.join(tried)}); {remedy}", is_forbidden=remedy not in (REMEDY, _NAMED)
    )


def addresses() -> tuple[str, ...]:
    """Where an engine may be, best first: DOCKER_HOST alone where it is set, else the usual sockets."""
    named = os.environ.get("DOCKER_HOST", "").strip()
    if named:
        return (named,)
    own = os.environ.get("XDG_RUNTIME_DIR", "")
    sockets = ["/var/run/docker.sock", "/run/podman/podman.sock"]
    sockets += [f"{own}/docker.sock", f"{own}/podman/podman.sock"] if own else []
    sockets.append(str(Path.home() / ".docker/run/docker.sock"))
    there = [path for path in sockets if _is_socket(path)]
    return tuple(f"unix://{path}" for path in there or sockets[:1])


def _access(path: Path) -> str:
    """What lets a user reach an engine that runs and whose socket this user may not open."""
    group = ""
    with suppress(OSError, KeyError):
        found = path.stat()
        group = grp.getgrgid(found.st_gid).gr_name if found.st_mode & stat.S_IWGRP and found.st_gid else ""
    joining = f"join its group (`sudo usermod -aG {group} $USER`, then log in again), or " if group else ""
    return (
        f"an engine is there, and this user may not use its socket: {joining}run `sudo holdfast`; "
        "an engine without root would not do, since LUNs need block devices"
    )


@dataclass(frozen=True)
class About:
    """What an engine tells about itself.

    Attributes:
        product: "Docker", or what the engine calls itself where that is Podman.
        api: The newest version of its API.
        api_min: The oldest.
        storage_driver: Such as "overlay2".
        confined: "rootless" or "userns" where its containers have no root of the host's; else "".
        cgroups: The version of cgroups, "1" or "2".
    """

    product: str
    version: str
    api: str
    api_min: str
    storage_driver: str
    confined: str
    cgroups: str


def about(client: Engine) -> About:
    """Ask the engine what it is."""
    version: Mapping[str, Any] = client.version()
    info: Mapping[str, Any] = client.info()
    names = [str(part.get("Name", "")) for part in version.get("Components") or ()]
    security = [str(option) for option in info.get("SecurityOptions") or ()]
    return About(
        next((name for name in names if "podman" in name.lower()), "Docker"),
        str(version.get("Version", "?")),
        str(version.get("ApiVersion", "?")),
        str(version.get("MinAPIVersion", "?")),
        str(info.get("Driver", "?")),
        next((kind for kind in ("rootless", "userns") if any(f"name={kind}" in each for each in security)), ""),
        str(info.get("CgroupVersion") or "1"),
    )


def ask_registry(client: Engine, image: str) -> None:
    """Have the engine ask an image's registry for it; nothing is pulled.

    Raises:
        Refusal: The registry does not have it; or, with status 404, the engine has no such question, as Podman.
        NoAnswer: The registry, or the engine, gives no answer in time.
    """
    client.api.inspect_distribution(image)  # type: ignore[no-untyped-call]


def status_of(error: BaseException) -> int:
    """The engine's HTTP status behind an error, 0 where there is none."""
    return (error.status_code or 0) if isinstance(error, Refusal) else 0


def reason_of(error: BaseException) -> str:
    """What the engine said, or why it could say nothing: one line."""
    if isinstance(error, Refusal) and error.explanation:
        return str(error.explanation)
    # the SDK and requests wrap the one line that helps ("Permission denied") in several layers
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__context__
    return str(error)


def is_gone(error: BaseException) -> bool:
    """The object is not there: after a removal this means done."""
    return status_of(error) == _NOT_FOUND


@contextmanager
def engine_errors(doing: str) -> Iterator[None]:
    """Turn the SDK's errors into an EngineError that says what was being done.

    Args:
        doing: For example "starting db", the head of the message.
    """
    try:
        yield
    except docker.errors.DockerException as error:
        raise EngineError(f"{doing}: {reason_of(error)}; see `holdfast doctor`") from error
    except requests.exceptions.Timeout as error:
        raise EngineError(f"{doing}: the engine gave no answer in time; see `holdfast doctor`") from error
    except NoAnswer as error:
        raise EngineError(f"{doing}: the engine is gone; {REMEDY}") from error


def knock(path: Path | str) -> None:
    """Open and close a connection to a Unix socket.

    Raises:
        OSError: Nobody listens there.
    """
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        probe.settimeout(_KNOCK_SECONDS_MAX)
        probe.connect(str(path))


def _open(address: str, timeout_seconds: float) -> Engine:
    if address.startswith("unix://"):
        knock(address.removeprefix("unix://"))  # the SDK leaks its socket where nobody listens
    environment = {**os.environ, "DOCKER_HOST": address}
    client = docker.DockerClient.from_env(
        timeout=timeout_seconds,  # type: ignore[arg-type]  # the stubs say int, requests takes both
        environment=environment,
        max_pool_size=CONNECTIONS_MAX,
    )
    try:
        client.ping()
    except BaseException:
        client.close()
        raise
    return client


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(Path(path).stat().st_mode)
    except OSError:
        return False

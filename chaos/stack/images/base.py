"""The base image: pulled where a registry answers, else made from Debian's own packages with mmdebstrap."""

from __future__ import annotations

import io
import json
import os
import platform
import queue
import shutil
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import docker
import docker.errors
import requests.exceptions

from chaos.errors import ImageError
from chaos.stack.cache import cache_folder, locked
from chaos.stack.engine.client import connect, engine_errors, is_gone
from chaos.stack.images.packages import install, may_install
from chaos.stack.programs import run_program

BASE = "debian:bookworm-slim"
_SUITE = "bookworm"
_PULL_SECONDS_MAX = 600.0
_PULL_QUIET_SECONDS_MAX = 20.0
_MAKE_SECONDS_MAX = 300.0
_IMPORT_SECONDS_MAX = 300.0
_LEFT_OUT = ("/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/doc/*")
"""What Debian's own slim images leave out, too; `_KEPT` is kept of it."""
_KEPT = "/usr/share/doc/*/copyright"
_NO_SERVICES = b"#!/bin/sh\nexit 101\n"
"""The policy-rc.d of Debian's own images: a package that is installed in a build starts no service."""


def ensure_base(client: docker.DockerClient) -> str:
    """Return the id of the base image, pulled or made if it is not there.

    Raises:
        ImageError: It can be neither pulled nor made here.
        EngineError: The engine refused.
    """
    found = image_id(client, BASE)
    if found:
        return found
    with locked("image-base", _PULL_SECONDS_MAX + _MAKE_SECONDS_MAX):
        return image_id(client, BASE) or _from_cache(client) or _pulled(client) or _made(client)


def image_id(client: docker.DockerClient, name: str) -> str:
    """The id behind an image's name, "" where the engine does not have it."""
    with engine_errors(f"looking for image {name}"):
        try:
            return str(client.images.get(name).id)
        except docker.errors.APIError as error:
            if is_gone(error):
                return ""
            raise


def pull(client: docker.DockerClient, name: str, platform: str = "") -> str:
    """Pull an image, of a platform such as linux/arm64 if one is given, bounded in time and in silence.

    Returns:
        "" when it is there now, else why not.
    """
    repository, _, tag = name.rpartition(":")
    if not repository or "/" in tag:
        repository, tag = name, "latest"
    if "@" in name:
        repository, tag = name, ""
    progress: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def follow() -> None:
        try:
            for line in client.api.pull(
                repository, tag=tag or None, stream=True, decode=True, platform=platform or None
            ):
                progress.put(str(line.get("error", "")))
        except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
            progress.put(str(getattr(error, "explanation", None) or error))
        progress.put(None)

    # The SDK pulls without any time limit, so a thread waits for the engine, and this one for the thread.
    threading.Thread(target=follow, name="holdfast-pull", daemon=True).start()
    until = time.monotonic() + _PULL_SECONDS_MAX
    try:
        for trouble in _lines(progress, until):
            if trouble:
                return trouble
    except queue.Empty:
        return "the registry gave no answer in time"
    return ""


def _lines(progress: queue.SimpleQueue[str | None], until: float) -> Iterator[str]:
    while True:
        bound = min(_PULL_QUIET_SECONDS_MAX, until - time.monotonic())
        line = progress.get(timeout=max(bound, 0.0))
        if line is None:
            return
        yield line


def _pulled(client: docker.DockerClient) -> str:
    return "" if pull(client, BASE) else image_id(client, BASE)


def _from_cache(client: docker.DockerClient) -> str:
    tarball = _tarball()
    return _imported(client, tarball) if tarball.is_file() else ""


def _made(client: docker.DockerClient) -> str:
    tool = shutil.which("mmdebstrap")
    if tool is None and may_install():
        install("mmdebstrap", "debian-archive-keyring")
        tool = shutil.which("mmdebstrap")
    if tool is None:
        raise ImageError(
            f"{BASE} can be neither pulled (no registry answers) nor made (no mmdebstrap here); "
            f"install mmdebstrap, or load the image with `docker load`"
        )
    tarball = _tarball()
    tarball.parent.mkdir(parents=True, exist_ok=True)
    unfinished = tarball.with_name(f"unfinished-{os.getpid()}.tar")
    try:
        _run_mmdebstrap(tool, unfinished)
        _forbid_services(unfinished)
        unfinished.rename(tarball)
    finally:
        unfinished.unlink(missing_ok=True)
    return _imported(client, tarball)


def _run_mmdebstrap(tool: str, tarball: Path) -> None:
    command = [tool, "--variant=minbase", *(f"--dpkgopt=path-exclude={glob}" for glob in _LEFT_OUT)]
    command += [f"--dpkgopt=path-include={_KEPT}", _SUITE, str(tarball)]
    try:
        code, said = run_program(command, _MAKE_SECONDS_MAX)
    except TimeoutError as error:
        raise ImageError(f"{error}; is Debian's mirror reachable?") from error
    if code != 0:
        tail = "\n  ".join(said.splitlines()[-20:])
        raise ImageError(
            f"mmdebstrap cannot make {BASE}:\n  {tail}\nis Debian's mirror reachable, and the disk not full?"
        )


def _forbid_services(tarball: Path) -> None:
    # added afterwards, since mmdebstrap uses a file of this name itself, and removes it at its end
    member = tarfile.TarInfo("./usr/sbin/policy-rc.d")
    member.size, member.mode = len(_NO_SERVICES), 0o755
    with tarfile.open(tarball, "a:") as archive:
        archive.addfile(member, io.BytesIO(_NO_SERVICES))


def _imported(client: docker.DockerClient, tarball: Path) -> str:
    # PATH and CMD as in Debian's own image: an image without PATH starts no shell on some engines
    changes = ["ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 'CMD ["bash"]']
    with engine_errors(f"importing {tarball}"):
        with closing(connect(_IMPORT_SECONDS_MAX)) as patient, tarball.open("rb") as file:
            said = patient.api.import_image(file, changes=changes)
        made = str(json.loads(said.splitlines()[-1]).get("status", ""))
        if not made.startswith("sha256:"):
            raise ImageError(f"the engine did not import {tarball}: {said.strip()}; remove that file and run again")
        # tagged by the returned id: between import and tag another import may take the name
        repository, tag = BASE.split(":")
        client.api.tag(made, repository, tag)
    return made


def _tarball() -> Path:
    return cache_folder() / "images" / f"{_SUITE}-{platform.machine()}.tar"

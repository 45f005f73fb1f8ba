"""What lies in the folders that a stack binds: known by a digest, and copied on a LUN by a container.

A container, since the engine may read what the user may not, and can give copies the owners that the originals have.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import docker

from chaos.errors import EngineError
from chaos.stack.engine.client import engine_errors
from chaos.stack.engine.identity import Run

_READ_BYTES_MAX = 1 << 20
"""Of a larger file no byte is read for the digest: a change of it changes its times, which no program can forge."""
_COPY_SECONDS_MAX = 3600
_NUMBERS = itertools.count(1)


def digest(source: Path) -> str:
    """A digest of a file or a whole folder: names, owners, modes, links and contents.

    What this process may not read counts by what is told of it from outside.
    """
    total = hashlib.sha256()
    for path in _all_of(source):
        total.update(f"{os.path.relpath(path, source)}\0".encode(errors="surrogateescape"))
        with contextlib.suppress(OSError):
            total.update(_told_of(path, path == str(source)).encode(errors="surrogateescape"))
    return total.hexdigest()


def copy(client: docker.DockerClient, run: Run, image: str, folder: str, volume: str) -> None:
    """Copy all that is in a folder of the host into an empty volume, with the folder's own owner and mode.

    Blocks for as long as it takes.

    Raises:
        EngineError: It cannot be copied; the message says what `cp` said.
    """
    api = client.api
    host = api.create_host_config(binds=[f"{folder}:/from:ro", f"{volume}:/to:rw,nocopy"], network_mode="none")
    with engine_errors(f"copying the bound folder {folder}"):
        made = api.create_container(
            image,
            # written back at once: else the engine waits for that while it unmounts, and says nothing meanwhile
            entrypoint=["sh", "-c", "cp -a -- /from/. /to/ && sync -f /to"],
            command=[],
            user="0",
            labels=run.labels("copy"),
            name=f"holdfast-{run.id}-copy-{next(_NUMBERS)}",
            host_config=host,
        )["Id"]
        api.start(made)
        code = int(api.wait(made, timeout=_COPY_SECONDS_MAX)["StatusCode"])
        said = api.logs(made, tail=5).decode(errors="replace").strip() if code else ""
        api.remove_container(made, force=True)
    if code:
        raise EngineError(f"the bound folder {folder} cannot be copied on its LUN: {said}")


def _all_of(source: Path) -> Iterator[str]:
    yield str(source)
    for parent, folders, names in os.walk(source):
        folders.sort()
        yield from sorted(f"{parent}/{name}" for name in (*folders, *names))


def _told_of(path: str, is_source: bool) -> str:
    found = Path(path).stat(follow_symlinks=is_source)
    told = f"{found.st_mode} {found.st_uid} {found.st_gid} "
    if stat.S_ISLNK(found.st_mode):
        return told + str(Path(path).readlink())
    if not stat.S_ISREG(found.st_mode):
        return told
    if found.st_size <= _READ_BYTES_MAX:
        with contextlib.suppress(PermissionError), Path(path).open("rb") as file:
            return told + hashlib.file_digest(file, "sha256").hexdigest()
    return f"{told}{found.st_size} {found.st_ino} {found.st_mtime_ns} {found.st_ctime_ns}"

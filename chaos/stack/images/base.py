"""The base image: pulled where a registry answers, else made from Debian's own packages with mmdebstrap."""

from __future__ import annotations

import io
import platform
import shutil
import tarfile
from pathlib import Path

from chaos.errors import ImageError
from chaos.stack.cache import cache_folder, locked, unfinished
from chaos.stack.engine import images
from chaos.stack.engine.client import Engine
from chaos.stack.engine.identity import BASE_LABEL
from chaos.stack.engine.images import image_id
from chaos.stack.images.packages import install, may_install
from chaos.stack.images.pulling import pull
from chaos.stack.programs import run_program
from chaos.stack.pulse import Say, quiet

BASE = "debian:bookworm-slim"
_SUITE = "bookworm"
_LOCK_SECONDS_MAX = 900.0
_MAKE_SECONDS_MAX = 300.0
_LEFT_OUT = ("/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/doc/*")
"""What Debian's own slim images leave out, too; `_KEPT` is kept of it."""
_KEPT = "/usr/share/doc/*/copyright"
_NO_SERVICES = b"#!/bin/sh\nexit 101\n"
"""The policy-rc.d of Debian's own images: a package that is installed in a build starts no service."""


def ensure_base(client: Engine, say: Say = quiet) -> str:
    """Return the id of the base image, pulled or made if it is not there.

    Raises:
        ImageError: It can be neither pulled nor made here.
        EngineError: The engine refused.
    """
    found = image_id(client, BASE)
    if found:
        return found
    with locked("image-base", _LOCK_SECONDS_MAX):
        return image_id(client, BASE) or _from_cache(client, say) or _pulled(client, say) or _made(client, say)


def _pulled(client: Engine, say: Say) -> str:
    return "" if pull(client, BASE, say=say) else image_id(client, BASE)


def _from_cache(client: Engine, say: Say) -> str:
    tarball = _tarball()
    return _imported(client, tarball, say) if tarball.is_file() else ""


def _made(client: Engine, say: Say) -> str:
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
    part = unfinished(tarball)
    try:
        _run_mmdebstrap(tool, part, say)
        _forbid_services(part)
        part.rename(tarball)
    finally:
        part.unlink(missing_ok=True)
    return _imported(client, tarball, say)


def _run_mmdebstrap(tool: str, tarball: Path, say: Say) -> None:
    command = [tool, "--variant=minbase", *(f"--dpkgopt=path-exclude={glob}" for glob in _LEFT_OUT)]
    command += [f"--dpkgopt=path-include={_KEPT}", _SUITE, str(tarball)]
    try:
        code, said = run_program(command, _MAKE_SECONDS_MAX, say=say)
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


def _imported(client: Engine, tarball: Path, say: Say) -> str:
    say(f"importing {BASE}")
    # PATH and CMD as in Debian's own image: an image without PATH starts no shell on some engines
    path = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return images.import_tar(client, tarball, [path, 'CMD ["bash"]', f"LABEL {BASE_LABEL}=1"], BASE)


def _tarball() -> Path:
    return cache_folder() / "images" / f"{_SUITE}-{platform.machine()}.tar"

"""Installing packages of the distribution: as root on Debian or Ubuntu, and never elsewhere."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess

from chaos.errors import HarnessError

_SECONDS_MAX = 600
_FAMILY = frozenset({"debian", "ubuntu"})


def may_install() -> bool:
    """Whether `install` may be used here."""
    return os.geteuid() == 0 and is_debian() and shutil.which("apt-get") is not None


def is_debian() -> bool:
    """Whether this is Debian, Ubuntu or a child of them."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return False
    return bool(_FAMILY & {release.get("ID", ""), *release.get("ID_LIKE", "").split()})


def install(*names: str) -> None:
    """Install packages, after one update of the lists.

    Raises:
        HarnessError: apt-get failed; the message ends with its last lines.
    """
    _apt("update")
    _apt("install", "-y", "--no-install-recommends", *names)


def _apt(*arguments: str) -> None:
    # another apt may be at work, as on a machine that has just booted: wait for its lock instead of failing
    command = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=120", *arguments]
    shown = " ".join(("apt-get", *arguments))
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_SECONDS_MAX,
            check=False,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
    except subprocess.TimeoutExpired as error:
        raise HarnessError(f"`{shown}` did not end in {_SECONDS_MAX} s; run it by hand") from error
    if done.returncode != 0:
        tail = "\n  ".join(done.stdout.splitlines()[-10:])
        raise HarnessError(f"`{shown}` failed with {done.returncode}; run it by hand:\n  {tail}")

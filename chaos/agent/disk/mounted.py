"""Whether anybody has the file system of a device mounted, who, and where.

The engine's unmount is a lazy one (MNT_DETACH): it returns at once, and where another mount namespace still has a copy
of the mount, what the page cache holds is not written back before that one goes, too. A mounted file system holds its
device exclusively, whoever mounts it where, and lets go of it when the last write was answered.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import time
from collections.abc import Iterator

_LOOK_SECONDS = 0.01


def wait_until_free(device: str, seconds_max: float) -> bool:
    """Wait until nobody has the device's file system mounted, and its last write has arrived; False if not in time."""
    until = time.monotonic() + seconds_max
    while _is_held(device):
        if time.monotonic() > until:
            return False
        time.sleep(_LOOK_SECONDS)
    return True


def points(pid: int) -> tuple[str, ...]:
    """Where a process has something mounted, as it sees the paths.

    Raises:
        OSError: It has ended.
    """
    with open(f"/proc/{pid}/mountinfo") as file:
        return tuple(unescaped(line.split(" ")[4]) for line in file)


def unescaped(path: str) -> str:
    """A path of mountinfo, where blanks and backslashes are three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), path)


def holders(device: str) -> tuple[str, ...]:
    """One process of each mount namespace that has the device's file system, such as "sleep (pid 42)"."""
    found = []
    for pid, _ in _mounts(device):
        with contextlib.suppress(OSError):  # it has ended
            found.append(f"{_content(f'/proc/{pid}/comm').strip()} (pid {pid})")
    return tuple(found)


def places(device: str) -> tuple[str, ...]:
    """Where the device's file system is mounted, by one process of each mount namespace that has it."""
    return tuple(f"/proc/{pid}/root{path}" for pid, path in _mounts(device))


def _mounts(device: str) -> Iterator[tuple[int, str]]:
    """The same as (pid, path)."""
    number = os.stat(device).st_rdev
    wanted = f"{os.major(number)}:{os.minor(number)}"
    seen = set[str]()
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            namespace = os.readlink(f"/proc/{pid}/ns/mnt")
            lines = [] if namespace in seen else _content(f"/proc/{pid}/mountinfo").splitlines()
        except OSError:  # it has ended
            continue
        seen.add(namespace)
        paths = (fields[4] for fields in (line.split(" ") for line in lines) if fields[2] == wanted)
        yield from ((pid, unescaped(path)) for path in itertools.islice(paths, 1))


def _is_held(device: str) -> bool:
    try:
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return True
    return False


def _content(path: str) -> str:
    with open(path, errors="replace") as file:
        return file.read()

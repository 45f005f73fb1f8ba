"""Whether anybody has the file system of a device mounted, and whether it was unmounted in order.

The engine's unmount is a lazy one (MNT_DETACH): it returns at once, and where another mount namespace still has a copy
of the mount, what the page cache holds is not written back before that one goes, too. A mounted file system holds its
device exclusively, whoever mounts it where, and lets go of it when the last write was answered.
"""

from __future__ import annotations

import errno
import os
import re
import struct
import time

_LOOK_SECONDS = 0.01
_SUPERBLOCK, _SUPERBLOCK_BYTES = 1024, 1024
_FIELDS = struct.Struct("<56x HH 36x I 132x I")
"""Of struct ext4_super_block: s_magic, s_state, s_feature_incompat, s_last_orphan."""
_EXT4 = 0xEF53
_VALID, _ERRORS = 1, 2
_NEEDS_RECOVERY = 4


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
    number = os.stat(device).st_rdev
    wanted = f"{os.major(number)}:{os.minor(number)}"
    found: dict[str, str] = {}
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            namespace = os.readlink(f"/proc/{pid}/ns/mnt")
            if namespace not in found:
                has_it = any(line.split(" ")[2] == wanted for line in _content(f"/proc/{pid}/mountinfo").splitlines())
                found[namespace] = f"{_content(f'/proc/{pid}/comm').strip()} (pid {pid})" if has_it else ""
        except OSError:  # it has ended
            continue
    return tuple(who for who in found.values() if who)


def not_in_order(path: str, size_bytes: int) -> str:
    """Why a file does not hold a whole file system that was unmounted in order; empty where it does.

    What ext4 writes last when it is unmounted is the superblock, with the mark taken away that its journal has to be
    replayed. A copy is made from its begin on, so one that begins with such a superblock holds all that was written.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(_SUPERBLOCK)
            block = file.read(_SUPERBLOCK_BYTES)
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    if size != size_bytes:
        return f"it has {size} bytes and not {size_bytes}"
    magic, state, needs, orphan = _FIELDS.unpack_from(block)
    if magic != _EXT4:
        return "there is no ext4 on it"
    if needs & _NEEDS_RECOVERY:
        return "it was copied while it was mounted"
    if state & _ERRORS:
        return "its file system has errors"
    if not state & _VALID or orphan:
        return "it was not unmounted in order"
    return ""


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

"""Loop devices by ioctl, as in <linux/loop.h>."""

from __future__ import annotations

import errno
import fcntl
import os
import struct

_LOOP_CONFIGURE = 0x4C0A
_LOOP_CLR_FD = 0x4C01
_LOOP_CTL_GET_FREE = 0x4C82
_AUTOCLEAR = 4
_DIRECT_IO = 16
_ATTEMPTS = 64

_CONFIG = struct.Struct("<II" + "QQQQQIIII64s64s32s16s" + "64x")
"""struct loop_config: fd, block size, struct loop_info64, reserved."""


def attach(path: str, *, direct: bool = True) -> tuple[str, int]:
    """Attach the file to a free loop device.

    The device frees itself once the returned handle is closed and nothing has it mounted (LO_FLAGS_AUTOCLEAR),
    so that even a killed agent leaves none. With direct I/O the page cache above the file system is the only one; not
    every file system of a host can do that.

    Returns:
        The device, e.g. "/dev/loop3", and an open handle on it.

    Raises:
        OSError: No free device, or the kernel refused.
    """
    name = path.encode()[-63:]
    backing = os.open(path, os.O_RDWR | (os.O_DIRECT if direct else 0))
    control = os.open("/dev/loop-control", os.O_RDWR)
    try:
        for _ in range(_ATTEMPTS):
            number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
            device = f"/dev/loop{number}"
            _ensure_node(device, number)
            handle = _opened(device)
            info = (0, 0, 0, 0, 0, number, 0, 0, _AUTOCLEAR | (_DIRECT_IO if direct else 0), name, b"", b"", b"")
            try:
                fcntl.ioctl(handle, _LOOP_CONFIGURE, _CONFIG.pack(backing, 0, *info))
            except OSError as error:
                os.close(handle)
                if error.errno != errno.EBUSY:  # somebody else took it between the two calls
                    raise
            else:
                return device, handle
    finally:
        os.close(control)
        os.close(backing)
    raise OSError(errno.EBUSY, "no free loop device")


def detach(device: str) -> bool:
    """Free a loop device that a crash left; harmless where it is free already.

    Returns:
        Whether it is free now: one that is mounted frees itself only when it is no longer.
    """
    try:
        handle = os.open(device, os.O_RDWR)
    except OSError:
        return not is_bound(device)
    try:
        fcntl.ioctl(handle, _LOOP_CLR_FD)
    except OSError as error:
        if error.errno not in (errno.ENXIO, errno.EBUSY):
            raise
    finally:
        os.close(handle)
    return not is_bound(device)


def is_bound(device: str) -> bool:
    """Whether the device shows a file."""
    return os.path.exists(f"/sys/block/{os.path.basename(device)}/loop/backing_file")


def is_open(device: str) -> bool:
    """Whether a process of this host has the device open, as an agent has it whose LUN it shows. For root's eyes."""
    return opener(device) is not None


def opener(device: str) -> int | None:
    """The pid of a process of this host that has the device open. For root's eyes."""
    number = os.stat(device).st_rdev
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            handles = [f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd")]
        except OSError:  # it has ended
            continue
        for handle in handles:
            try:
                if "/loop" in os.readlink(handle) and os.stat(handle).st_rdev == number:
                    return int(pid)
            except OSError:  # it was closed meanwhile
                continue
    return None


def _opened(device: str) -> int:
    try:
        return os.open(device, os.O_RDWR)
    except PermissionError as error:
        # on Podman an agent has those that were there when it started
        raise OSError(
            error.errno,
            f"{device} is none of the loop devices that the engine gave the agent; have more before a run starts "
            "(`modprobe loop max_loop=64`, or `loop.max_loop=64` on the kernel's command line)",
        ) from error


def _ensure_node(device: str, number: int) -> None:
    """A /dev that is not a devtmpfs does not get new nodes by itself."""
    if not os.path.exists(device):
        os.mknod(device, 0o60660, os.makedev(7, number))

"""Tries, with an agent's privileges, what an agent does; prints one JSON object {name: "" or why not}.

Its source is run as it stands inside a container of the agent's image (or, with the argument "unshare", in
namespaces of its own on the host), so it imports nothing but the standard library. It leaves nothing behind.

Everything is probed by doing, in its smallest form. A file system or a queueing discipline that the kernel
does not know is told by the error number from one that it refuses to set up without the right arguments.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import socket
import struct
import sys
import tempfile
from collections.abc import Callable

_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000
_MS_REC, _MS_PRIVATE, _MNT_DETACH = 0x4000, 0x40000, 2
_LOOP_CTL_GET_FREE, _LOOP_SET_FD, _LOOP_CLR_FD = 0x4C82, 0x4C00, 0x4C01
_NETLINK_ROUTE, _NETLINK_NETFILTER = 0, 12
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_CREATE, _NLM_F_EXCL = 1, 4, 0x400, 0x200
_NLMSG_ERROR = 2
_RTM_NEWQDISC = 36
_TC_H_ROOT = 0xFFFFFFFF
_TCA_KIND = 1
_NFT_GETGEN = (10 << 8) | 16
_LOOPBACK = 1
_CGROUPS = ("/host/cgroup", "/sys/fs/cgroup")
"""Where the agent has the host's, and the host."""
_CAPABILITIES = {
    "SYS_ADMIN": 21,
    "NET_ADMIN": 12,
    "SYS_PTRACE": 19,
    "MKNOD": 27,
    "KILL": 5,
    "DAC_READ_SEARCH": 2,
    "DAC_OVERRIDE": 1,
    "SYS_NICE": 23,
}
"""Those of the agent (`chaos.stack.agent.link`), with their numbers."""

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> int:
    """Probe everything and print the results."""
    if "unshare" in sys.argv[1:]:
        _check(_libc.unshare(_CLONE_NEWNS | _CLONE_NEWNET))
        _check(_libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None))
    json.dump({name: _tried(probe) for name, probe in PROBES.items()}, sys.stdout)
    return 0


def _tried(probe: Callable[[], str]) -> str:
    try:
        return probe()
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}"


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _mount(source: str, folder: str, kind: str, options: str = "") -> int:
    done = _libc.mount(source.encode(), folder.encode(), kind.encode(), 0, options.encode())
    return 0 if done == 0 else ctypes.get_errno()


def _capabilities() -> str:
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123
        held = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff:"))
    return ", ".join(name for name, bit in _CAPABILITIES.items() if not held >> bit & 1)


def _fuse() -> str:
    with tempfile.TemporaryDirectory() as folder:
        device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        try:
            number = _mount("holdfast-probe", folder, "fuse", f"fd={device},rootmode=40000,user_id=0,group_id=0")
            if number:
                return f"mount: {os.strerror(number)}"
        finally:
            # closed before it is unmounted: nobody answers here, and this is what ends a request that waits
            os.close(device)
        _libc.umount2(folder.encode(), _MNT_DETACH)
    return ""


def _loop() -> str:
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(8):
            device = f"/dev/loop{fcntl.ioctl(control, _LOOP_CTL_GET_FREE)}"
            try:
                _attach(device)
            except OSError as error:
                if error.errno not in {errno.EBUSY, errno.ENXIO}:
                    raise
                continue  # another process took the free one, or has just let it go
            return ""
        return "every free loop device was taken by another process first"
    finally:
        os.close(control)


def _attach(device: str) -> None:
    with tempfile.TemporaryFile() as backing:
        backing.truncate(1 << 20)
        loop = os.open(device, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(loop, _LOOP_SET_FD, backing.fileno())
            fcntl.ioctl(loop, _LOOP_CLR_FD)
        finally:
            os.close(loop)


def _filesystem(kind: str) -> Callable[[], str]:
    def probe() -> str:
        with tempfile.TemporaryDirectory() as folder:
            number = _mount("/dev/null", folder, kind)
        # the kernel looks for the kind before the device, so any other refusal means that it knows it
        return os.strerror(number) if number in {errno.ENODEV, errno.EPERM, errno.EACCES} else ""

    return probe


def _discipline(kind: str) -> Callable[[], str]:
    def probe() -> str:
        name = kind.encode() + b"\0"
        attribute = struct.pack("=HH", 4 + len(name), _TCA_KIND) + name
        attribute += bytes(-len(attribute) % 4)
        body = struct.pack("=BxxxiIII", socket.AF_UNSPEC, _LOOPBACK, 0, _TC_H_ROOT, 0) + attribute
        number = _ask(_NETLINK_ROUTE, _RTM_NEWQDISC, _NLM_F_ACK | _NLM_F_CREATE | _NLM_F_EXCL, body)
        # without its options a known discipline is refused as invalid
        return "" if number in {0, errno.EINVAL} else os.strerror(number)

    return probe


def _freezer() -> str:
    root = next((each for each in _CGROUPS if os.path.isdir(each)), "")  # noqa: PTH112
    with open("/proc/self/cgroup", encoding="ascii") as file:  # noqa: PTH123
        own = {names: path for _, names, path in (line.strip().split(":", 2) for line in file)}
    for folder, name, word in (
        (f"{root}/freezer{own.get('freezer', '')}", "freezer.state", "THAWED"),
        (f"{root}{own.get('', '')}", "cgroup.freeze", "0"),
        (f"{root}/unified{own.get('', '')}", "cgroup.freeze", "0"),
    ):
        probe = f"{folder}/holdfast-probe-{os.getpid()}"
        if not os.path.isdir(folder):  # noqa: PTH112
            continue
        os.mkdir(probe)  # noqa: PTH102
        try:
            if os.path.exists(f"{probe}/{name}"):  # noqa: PTH110
                with open(f"{probe}/{name}", "w", encoding="ascii") as file:  # noqa: PTH123
                    file.write(word)
                return ""
        finally:
            os.rmdir(probe)  # noqa: PTH106
    return "no cgroup has a freezer"


def _nftables() -> str:
    number = _ask(_NETLINK_NETFILTER, _NFT_GETGEN, 0, struct.pack("=BBH", socket.AF_UNSPEC, 0, 0))
    return os.strerror(number) if number else ""


def _ask(family: int, kind: int, flags: int, body: bytes) -> int:
    with contextlib.closing(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, family)) as link:
        link.settimeout(5)
        link.bind((0, 0))
        link.send(struct.pack("=IHHII", 16 + len(body), kind, _NLM_F_REQUEST | flags, 1, 0) + body)
        answer = link.recv(65536)
    answered = struct.unpack_from("=H", answer, 4)[0]
    return -int(struct.unpack_from("=i", answer, 16)[0]) if answered == _NLMSG_ERROR else 0


PROBES: dict[str, Callable[[], str]] = {
    "capabilities": _capabilities,
    "fuse": _fuse,
    "loop": _loop,
    **{name: _filesystem(name) for name in ("ext4", "xfs", "btrfs", "overlay")},
    "freezer": _freezer,
    "nftables": _nftables,
    **{name: _discipline(name) for name in ("tbf", "netem")},
}


if __name__ == "__main__":
    sys.exit(main())

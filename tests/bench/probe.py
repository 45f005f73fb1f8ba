"""The traffic whose end is measured: writers on LUNs and a listener, which note the times in shared memory.

They run in containers (standard library only; this file's text is what their Python gets). A writer makes direct
writes with O_DSYNC of 4 KiB, one after the other, each of which the array sees as a write and a flush. A talker sends
datagrams, and a listener notes when each arrived. `Log` is the other end. CLOCK_MONOTONIC is the same in every
container of a host.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import socket
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

PORT = 7
DATAGRAM_PORT = 9
FOLDER = "/shared"
FILE = "log"
LUN_FOLDER = "/lun"
_SLOTS = 1 << 16
_HEAD = struct.Struct("<QQQ")
"""Writes so far, and the first and the end byte of the written file on its LUN."""
_SLOT = struct.Struct("<QQQ")
"""Start and end in ns of CLOCK_MONOTONIC, and errno."""
_BYTES = _HEAD.size + _SLOTS * _SLOT.size
_BLOCK = 4096
_BLOCKS = 64
_FS_IOC_FIEMAP = 0xC020660B
_FIEMAP = struct.Struct("<QQIIII" + "QQQ16xI12x")
_FIEMAP_SYNC = 1
_BETWEEN_DATAGRAMS_SECONDS = 1e-4


@dataclass(frozen=True)
class Attempt:
    """One write."""

    start_ns: int
    end_ns: int
    errno: int


class Log:
    """The shared memory."""

    def __init__(self, path: str) -> None:
        """Map it, made if need be."""
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        os.ftruncate(file, _BYTES)
        self._memory = mmap.mmap(file, _BYTES)
        os.close(file)

    @property
    def count(self) -> int:
        """Writes so far, failed ones too."""
        return int(_HEAD.unpack_from(self._memory)[0])

    @property
    def extent(self) -> tuple[int, int]:
        """Where on the LUN the file lies: first byte and end."""
        _, first, end = _HEAD.unpack_from(self._memory)
        return int(first), int(end)

    def begin(self, first: int, end: int) -> None:
        """The writer starts, or starts again, on these bytes of the LUN."""
        _HEAD.pack_into(self._memory, 0, self.count, first, end)

    def add(self, start_ns: int, end_ns: int, errno: int) -> None:
        """Note one write: the slot first, then the count that makes it visible."""
        count, first, end = _HEAD.unpack_from(self._memory)
        _SLOT.pack_into(self._memory, _HEAD.size + count % _SLOTS * _SLOT.size, start_ns, end_ns, errno)
        _HEAD.pack_into(self._memory, 0, count + 1, first, end)

    def since(self, count: int) -> Iterator[Attempt]:
        """Writes after the first `count`, oldest first."""
        for number in range(count, self.count):
            yield Attempt(*_SLOT.unpack_from(self._memory, _HEAD.size + number % _SLOTS * _SLOT.size))


def writer(number: str = "") -> None:
    """Write for ever; a write that fails is noted, and tried again. Of several each has a LUN and a log of its own."""
    log = Log(f"{FOLDER}/{FILE}{number}")
    path = f"{LUN_FOLDER}{number}/probe"
    filling = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.write(filling, bytes(_BLOCK * _BLOCKS))
    os.fsync(filling)
    os.close(filling)
    handle = os.open(path, os.O_RDWR | os.O_DIRECT | os.O_DSYNC)
    log.begin(*_extent(handle))
    aligned = mmap.mmap(-1, _BLOCK)
    count = 0
    while True:
        count += 1
        errno = 0
        start = time.monotonic_ns()
        try:
            os.pwrite(handle, aligned, count % _BLOCKS * _BLOCK)
        except OSError as error:
            errno = error.errno or 1
        log.add(start, time.monotonic_ns(), errno)


def writers(count: int) -> None:
    """So many of them, each a process."""
    for number in range(count):
        if not os.fork():
            writer(str(number))
    os.wait()


def talker(name: str) -> None:
    """Send a datagram to a service every 100 microseconds, as far as the machine lets it."""
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    address = (socket.gethostbyname(name), DATAGRAM_PORT)
    while True:
        link.sendto(struct.pack("<Q", time.monotonic_ns()), address)
        time.sleep(_BETWEEN_DATAGRAMS_SECONDS)


def listener() -> None:
    """Note when each datagram was sent and when it had arrived."""
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    link.bind(("0.0.0.0", DATAGRAM_PORT))
    log = Log(f"{FOLDER}/{FILE}")
    while True:
        (sent,) = struct.unpack("<Q", link.recv(8))
        log.add(sent, time.monotonic_ns(), 0)


def _extent(handle: int) -> tuple[int, int]:
    """Where the file lies on its device, which must be in one piece."""
    size = _BLOCK * _BLOCKS
    asked = bytearray(_FIEMAP.pack(0, size, _FIEMAP_SYNC, 0, 1, 0, 0, 0, 0, 0))
    fcntl.ioctl(handle, _FS_IOC_FIEMAP, asked)
    _, _, _, found, _, _, _, first, length, _ = _FIEMAP.unpack(asked)
    if found != 1 or length < size:
        raise OSError(f"the file of {size} bytes is in pieces: the first has {length}")
    return first, first + size


if __name__ == "__main__" and sys.argv[0] == "-c":
    door = socket.create_server(("0.0.0.0", PORT))  # a stack has a front door that accepts
    what = sys.argv[1:]
    if not what:
        writer()
    elif what[0] == "writers":
        writers(int(what[1]))
    elif what[0] == "talker":
        talker(what[1])
    else:
        listener()

"""Network namespaces that are kept while services come and go in them, and that must not tell one of another.

A connection is remembered for a minute after its end, but a machine that loses power forgets it. Here it is closed by
netlink (SOCK_DESTROY of <linux/sock_diag.h>), where the kernel can do that (CONFIG_INET_DIAG_DESTROY). And the files
that an engine mounts into every container of a namespace can be written to.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from chaos.agent.network import namespaces

_FILES = ("etc/hosts", "etc/hostname", "etc/resolv.conf")
_TABLES = {
    "tcp": (1, 4),
    "tcp6": (1, 4),
    "udp": (1, 4),
    "udp6": (1, 4),
    "raw": (1, 4),
    "packet": (2, 5),
    "unix": (4, 8),
}
"""Below /proc/PID/net, with the columns that tell a socket from others."""
_ATTEMPTS = 10
_LOOK_SECONDS = 0.01
_SOCK_DIAG = 4
_BY_FAMILY, _DESTROY = 20, 21
_REQUEST, _ACK, _DUMP = 1, 4, 0x300
_EVERY_STATE, _LISTENS = 0xFFFF_FFFF, 10
_HEADER = struct.Struct("=IHHII")
_ASKED = struct.Struct("=BBBBI")
"""Of struct inet_diag_req_v2, before the socket's identity: family, protocol, two that are not used, states."""
_STATE_AT, _IDENTITY = 1, slice(4, 52)
"""Where struct inet_diag_msg has them."""
_READ_BYTES = 1 << 18


class KeptNamespaces:
    """What there was in each before a service had it, by the pid of the process that keeps it."""

    def __init__(self) -> None:
        """None is known yet."""
        self._first: dict[int, frozenset[str]] = {}

    def tidy(self, pid: int) -> tuple[str, ...]:
        """Close what is left of services; tell what is not as it was first, a line each.

        Raises:
            OSError: The process is gone.
        """
        first = self._first.setdefault(pid, _seen(pid))
        for _ in range(_ATTEMPTS):
            differs = _seen(pid) ^ first
            if not differs:
                break
            with contextlib.suppress(OSError):  # what it does not close is told of
                _close(pid)
            time.sleep(_LOOK_SECONDS)
        return tuple(sorted(differs))


def _seen(pid: int) -> frozenset[str]:
    """Every socket in a namespace, with its addresses and its state, and what the files hold."""
    found = {f"{name}: {Path(f'/proc/{pid}/root/{name}').read_text(errors='replace')}" for name in _FILES}
    for table, columns in _TABLES.items():
        with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
            lines = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
            found.update(f"{table} {' '.join(line.split()[slice(*columns)])}" for line in lines)
    return frozenset(found)


def _close(pid: int) -> None:
    """Close every TCP socket but those that listen."""
    namespace = namespaces.of_process(pid)
    try:
        with namespaces.inside(namespace):
            link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG)
    finally:
        os.close(namespace)
    with link:
        for family in (socket.AF_INET, socket.AF_INET6):
            for state, identity in list(_sockets(link, family)):
                if state != _LISTENS:
                    link.send(_message(_DESTROY, _REQUEST | _ACK, family, identity))
                    link.recv(_READ_BYTES)


def _sockets(link: socket.socket, family: int) -> Iterator[tuple[int, bytes]]:
    """The state and the identity of each."""
    link.send(_message(_BY_FAMILY, _REQUEST | _DUMP, family, bytes(48)))
    while True:
        data = link.recv(_READ_BYTES)
        while data:
            size, kind, *_ = _HEADER.unpack_from(data)
            if kind != _BY_FAMILY:  # the end, or an error: then nothing is closed, and what is left is seen
                return
            body = data[_HEADER.size : size]
            yield body[_STATE_AT], body[_IDENTITY]
            data = data[(size + 3) & ~3 :]


def _message(kind: int, flags: int, family: int, identity: bytes) -> bytes:
    body = _ASKED.pack(family, socket.IPPROTO_TCP, 0, 0, _EVERY_STATE) + identity
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, 0, 0) + body

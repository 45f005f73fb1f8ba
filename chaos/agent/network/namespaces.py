"""Makes sockets inside containers' network namespaces, in a thread that enters one for a moment.

A socket belongs for ever to the namespace in which it was made, so that nobody has to enter twice.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


@contextmanager
def inside(namespace: int) -> Iterator[None]:
    """Move this thread, and no other, into the network namespace of an open handle.

    Raises:
        OSError: It cannot be entered.
    """
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter(namespace)
        try:
            yield
        finally:
            _enter(own)
    finally:
        os.close(own)


def of_process(pid: int) -> int:
    """An open handle on a process's network namespace.

    Raises:
        FileNotFoundError: The process is gone.
    """
    return os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def exists(pid: int) -> bool:
    """Whether a process has a network namespace: one that has ended has none, also while it waits to be reaped."""
    return os.path.exists(f"/proc/{pid}/ns/net")


def _enter(namespace: int) -> None:
    # os.setns came with Python 3.12
    if _LIBC.setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")

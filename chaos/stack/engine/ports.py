"""Ports of 127.0.0.1 that a run publishes, and keeps while nobody listens on them.

A service that is down leaves its port free, and phones go on knocking at it. Whoever listened there meanwhile, another
run's proxy or any program that asked the kernel for some port, would answer in its place, and the verdict would be
about a stranger. So these ports lie outside the range from which the kernel hands out ports, and no two runs have the
same.
"""

from __future__ import annotations

import os
import random
import socket
from collections import deque
from pathlib import Path

from chaos.stack.spec import Service

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST, _LAST = 10_000, 65_535
_ATTEMPTS = 1000
_KEPT = 512
"""Of a process that runs very many stacks, one after the other, the newest."""
_taken: deque[int] = deque()
"""Each is a socket whose name only one process of this host can have, until it is closed or this process ends."""


def host_ports(service: Service) -> dict[int, int]:
    """By port of its container that of 127.0.0.1: the one that is stated, or a free one."""
    return {port.container_port: port.host_port or free_port() for port in service.ports}


def free_port() -> int:
    """A port that nobody listens on now, and that no other run takes for as long as this process lives."""
    low, high = _handed_out()
    own = [port for port in range(_FIRST, _LAST + 1) if not low <= port <= high]
    for port in random.SystemRandom().sample(own, min(_ATTEMPTS, len(own))):
        if _take(port):
            return port
    with socket.create_server(("127.0.0.1", 0)) as probe:  # the kernel hands out every port there is
        return int(probe.getsockname()[1])


def _take(port: int) -> bool:
    reserved = socket.socket(socket.AF_UNIX)
    try:
        reserved.bind(f"\0holdfast-port-{port}")
        with socket.create_server(("127.0.0.1", port)):
            _taken.append(reserved.detach())
    except OSError:  # another run has it, or somebody listens there
        reserved.close()
        return False
    while len(_taken) > _KEPT:
        os.close(_taken.popleft())
    return True


def _handed_out() -> tuple[int, int]:
    """The first and the last port that the kernel gives to who asks for any."""
    try:
        low, high = _RANGE.read_text().split()
    except (OSError, ValueError):
        return 32_768, 60_999
    return int(low), int(high)

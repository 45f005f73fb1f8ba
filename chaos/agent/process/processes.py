"""Containers' processes: kills them through pidfds (never a reused pid), pauses them, counts received bytes."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import signal
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from chaos.agent.process.freezer import Freezer
from chaos.agent.process.memory import Dirt
from chaos.agent.wire_states import Killed, ServiceRead

_RECENT_SECONDS = 1.0


@dataclass
class Process:
    """The init process of one service's container, and its received bytes of the last seconds."""

    pid: int
    handle: int
    dirt: Dirt
    received: deque[tuple[int, int]] = field(default_factory=deque)
    frozen: Freezer | None = None
    killed: bool = False


class Processes:
    """The containers under test, by service."""

    def __init__(self) -> None:
        """No process is known yet."""
        self._known: dict[str, Process] = {}

    def watch(self, service: str, pid: int) -> None:
        """Take `pid` (in the host's namespace) as the init process of `service`.

        Raises:
            ProcessLookupError: It has ended already.
        """
        handle = os.pidfd_open(pid)
        self.forget(service)
        self._known[service] = Process(pid, handle, Dirt(pid))

    def pid(self, service: str) -> int:
        """The init process of a service.

        Raises:
            ProcessLookupError: It has ended, or was never watched.
        """
        if service not in self._known:
            raise ProcessLookupError(f"{service} does not run")
        return self._known[service].pid

    def known_pid(self, service: str) -> int | None:
        """The init process of a service; None where it does not run."""
        process = self._known.get(service)
        return process.pid if process is not None else None

    def is_alive(self, service: str) -> bool:
        """Whether the init process of a service runs, and nobody has killed it."""
        process = self._known.get(service)
        return process is not None and not process.killed and not _has_ended(process)

    def forget(self, service: str) -> None:
        """Drop a service that was removed."""
        process = self._known.pop(service, None)
        if process is not None:
            _thaw(process)  # whoever stops it waits for what it does with the signal
            os.close(process.handle)

    def settle(self, service: str) -> None:
        """Begin to count dirty bytes: what this service had written has just been written back."""
        if service in self._known:
            self._known[service].dirt.settle()

    def dirty_bytes(self, service: str) -> int:
        """Dirty bytes of a service since `settle`; 0 once it has ended."""
        process = self._known.get(service)
        return process.dirt.since_settled() if process is not None else 0

    def kill(self, service: str) -> Killed:
        """SIGKILL the init process, and with it every process of the container, now."""
        if not self.is_alive(service):
            return Killed()
        process = self._known[service]
        received = self._received_in_last_second(process)
        try:
            signal.pidfd_send_signal(process.handle, signal.SIGKILL)
        except ProcessLookupError:
            return Killed(received_bytes=received)
        process.killed = True
        _thaw(process)  # a frozen process of cgroup version 1 dies only when it wakes
        return Killed(alive=True, received_bytes=received)

    def pause(self, service: str, wanted: bool) -> ServiceRead:
        """Pause all processes of a container, or resume them; read it back.

        Raises:
            OSError: The kernel has no freezer for it, or refuses.
        """
        if not self.is_alive(service):
            return ServiceRead()
        process = self._known[service]
        found = ServiceRead(True, self._received_in_last_second(process), was_paused=process.frozen is not None)
        if not wanted:
            _thaw(process)
            return found
        freezer = process.frozen or Freezer(process.pid)
        freezer.freeze(True)
        process.frozen = freezer
        return dataclasses.replace(found, paused=freezer.is_frozen)

    def resume_all(self) -> None:
        """Let every container go on."""
        for process in self._known.values():
            _thaw(process)

    def ended(self) -> dict[str, bool]:
        """Services whose init process ended since the last call, and whether it was killed; they are forgotten."""
        waiting = select.poll()
        for process in self._known.values():
            waiting.register(process.handle, select.POLLIN)
        handles = {handle for handle, _ in waiting.poll(0)}
        ended = {name: process.killed for name, process in self._known.items() if process.handle in handles}
        for service in ended:
            self.forget(service)
        return ended

    def sample(self) -> None:
        """Note what every container has received so far; called a few times a second."""
        now = time.monotonic_ns()
        for process in self._known.values():
            # Too little may be read, never too much: what was read once has been received.
            known = process.received[-1][1] if process.received else 0
            process.received.append((now, max(known, received_bytes(process.pid))))
            while now - process.received[0][0] > _RECENT_SECONDS * 1e9:
                process.received.popleft()

    def _received_in_last_second(self, process: Process) -> int:
        """Since the oldest sample that is at most a second old: a little less than a second."""
        now = time.monotonic_ns()
        before = [count for at, count in process.received if now - at <= _RECENT_SECONDS * 1e9]
        return max(0, received_bytes(process.pid) - before[0]) if before else 0


def _thaw(process: Process) -> None:
    freezer, process.frozen = process.frozen, None
    if freezer is not None:
        with contextlib.suppress(FileNotFoundError, OSError):  # with its last process the cgroup is gone
            freezer.freeze(False)


def _has_ended(process: Process) -> bool:
    waiting = select.poll()
    waiting.register(process.handle, select.POLLIN)
    return bool(waiting.poll(0))


def received_bytes(pid: int) -> int:
    """Bytes of IP that a process's network namespace received from other hosts, broadcasts left out.

    IpExt InOctets counts loopback too; /proc/PID/net/dev tells loopback apart. The kernel counts a packet of loopback
    there first, and there it is read last: so packets on their way make the difference too small, never too great.
    """
    try:
        with open(f"/proc/{pid}/net/netstat") as file:
            octets = _ip_octets(file.read())
        with open(f"/proc/{pid}/net/dev") as file:
            loopback = next((line for line in file if line.strip().startswith("lo:")), "lo: 0")
    except (OSError, ValueError):
        return 0
    return octets - int(loopback.split(":")[1].split()[0])


def _ip_octets(text: str) -> int:
    lines = [line.split() for line in text.splitlines() if line.startswith("IpExt:")]
    counted: Mapping[str, str] = dict(zip(*lines, strict=True)) if len(lines) == 2 else {}
    return int(counted.get("InOctets", 0)) - int(counted.get("InMcastOctets", 0)) - int(counted.get("InBcastOctets", 0))

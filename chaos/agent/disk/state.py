"""A LUN as the agent keeps it: its content, its ports, the effects in force, and what was counted for each cause.

A `Port` is one attachment of a LUN to the host (one loop device). Power cut and loss close the port for good:
whatever the kernel still writes back through it is refused, and the LUN comes back through a new port.
"""

from __future__ import annotations

import errno
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from chaos.agent import states, wire
from chaos.agent.disk import effects
from chaos.agent.disk.effects import Effect
from chaos.agent.disk.lun import Lun


@dataclass
class Target:
    """A LUN with its traffic, the effects in force, and, for each cause, the counts of what they did to I/Os."""

    name: str
    lun: Lun
    filesystem: str = "ext4"
    mount_options: tuple[str, ...] = ()
    reads: int = 0
    writes: int = 0
    flushes: int = 0
    written_bytes: int = 0
    last_write_ns: int = 0
    chain: list[Effect] = field(default_factory=list)
    lost: bool = False
    counts: defaultdict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def wrote(self, size: int) -> None:
        """Count one write."""
        self.writes += 1
        self.written_bytes += size
        self.last_write_ns = time.monotonic_ns()

    @property
    def traffic(self) -> wire.LunTraffic:
        """What went through it so far."""
        return wire.LunTraffic(self.reads, self.writes, self.flushes, self.written_bytes, self.last_write_ns)

    def chain_for(self, wanted: Iterable[states.Effect]) -> list[Effect]:
        """The effects to come; those that are in force already go on, with their count of times.

        Raises:
            ValueError: One of them cannot be.
        """
        standing, chain = list(self.chain), []
        for each in wanted:
            kept = next((effect for effect in standing if effect.wanted == each), None)
            if kept is not None:
                standing.remove(kept)
            if kept is None:
                kept = effects.make(each, self.counts[each.cause])
                kept.begins(self.lun)
            chain.append(kept)
        return chain


@dataclass
class Port:
    """One attachment; `file` is its name in the FUSE file system, `device` the loop device above it.

    `cause` is the fault that it was closed for, -1 for none. `failed` and `failed_changes` tell of its file system:
    I/Os that failed, whoever failed them, and those of them that were to change it.
    """

    file: str
    target: Target
    closed: bool = False
    cause: int = -1
    device: str = ""
    handle: int = -1
    failed: int = 0
    failed_changes: int = 0

    def fails(self, operation: states.Operation) -> None:
        """An I/O of it failed."""
        self.failed += 1
        self.failed_changes += operation != "read"

    def refuse(self, operation: states.Operation) -> int:
        """An I/O came although it is closed: count it for the cause; return its errno."""
        self.fails(operation)
        self.target.counts[self.cause][effects.FAILED[operation]] += 1
        return errno.EIO

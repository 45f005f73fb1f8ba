"""A LUN as the agent keeps it: its content, its ports, the effects in force, and what was counted for each cause.

A `Port` is one attachment of a LUN to the host (one loop device). Power cut and loss close the port for good:
whatever the kernel still writes back through it is refused, and the LUN comes back through a new port.
"""

from __future__ import annotations

import errno
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from chaos.agent import states, wire_states
from chaos.agent.disk import effects
from chaos.agent.disk.effects import Effect, Io
from chaos.agent.disk.lun import Lun


@dataclass
class Target:
    """A LUN with its traffic, the effects in force, and, for each cause, the counts of what they did to I/Os.

    `armed` are told of every I/O that comes to it: the requests that wait for one.
    """

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
    armed: list[Callable[[Io], None]] = field(default_factory=list)

    def wrote(self, size: int) -> None:
        """Count one write."""
        self.writes += 1
        self.written_bytes += size
        self.last_write_ns = time.monotonic_ns()

    @property
    def traffic(self) -> wire_states.LunTraffic:
        """What went through it so far."""
        return wire_states.LunTraffic(self.reads, self.writes, self.flushes, self.written_bytes, self.last_write_ns)

    def cut(self, survivors: states.Survivors | None) -> int:
        """Take its power; return the bytes that were discarded."""
        if survivors is None:
            return self.lun.cut()
        chance = random.Random(f"{survivors.draw}/{self.name}")
        return self.lun.cut_in_part(chance, survivors.share, torn=survivors.torn)

    def chain_for(self, cause: int, wanted: Iterable[states.Effect], now_ns: int) -> list[Effect]:
        """The effects to come, in the order of their causes: those wanted are all of this cause.

        Those of other causes go on, and so do those wanted that are in force already, with their count of times.

        Raises:
            ValueError: One of them cannot be.
        """
        standing = [effect for effect in self.chain if effect.wanted.cause == cause]
        chain = [effect for effect in self.chain if effect.wanted.cause != cause]
        for each in wanted:
            if each.cause != cause:
                raise ValueError(f"an effect of cause {each.cause} cannot be wanted by cause {cause}; give it that one")
            kept = next((effect for effect in standing if effect.wanted == each), None)
            if kept is not None:
                standing.remove(kept)
            if kept is None:
                kept = effects.make(each, self.counts[each.cause])
                kept.begins(self.lun, now_ns)
            chain.append(kept)
        return sorted(chain, key=lambda effect: effect.wanted.cause)


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

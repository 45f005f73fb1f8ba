"""The state that a LUN is wanted in, and what its ports count: the mechanism that storage faults are made of.

A `Port` is one attachment of a LUN to the host (one loop device). Power cut and loss close the port for good:
whatever the kernel still writes back through it is refused, and the LUN comes back through a new port.
"""

from __future__ import annotations

import errno
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from chaos.agent.lun import Lun

_FAILED = {"read": "failed_reads", "write": "failed_writes", "flush": "failed_flushes"}
"""The operations of a LUN, each with its counter of failures."""


@dataclass
class IoRule:
    """What happens to `operations` in the byte range [first, end) (None: all), `times` times (None: always).

    They fail with EIO; with `hold` their answer is held back instead, until the rule is gone or the port closes.
    `cause` is whose rule it is, a number that the controller chose: what it does is counted for that cause alone.
    """

    operations: frozenset[str]
    times: int | None = None
    first: int = 0
    end: int | None = None
    hold: bool = False
    cause: int = 0

    def applies(self, operation: str, offset: int, size: int) -> bool:
        """Whether this request is one of those; counts it down."""
        if operation not in self.operations or self.times == 0:
            return False
        if operation != "flush" and (offset + size <= self.first or (self.end is not None and offset >= self.end)):
            return False
        if self.times is not None:
            self.times -= 1
        return True


@dataclass
class Counters:
    """What went through a LUN since it was made, over all ports. Times in ns of CLOCK_MONOTONIC."""

    reads: int = 0
    writes: int = 0
    flushes: int = 0
    written_bytes: int = 0
    last_write_ns: int = 0

    def wrote(self, size: int) -> None:
        """Count one write."""
        self.writes += 1
        self.written_bytes += size
        self.last_write_ns = time.monotonic_ns()


@dataclass
class Toll:
    """What one cause took of a LUN's requests: those that its rules, or ports closed for it, failed or held back."""

    failed_reads: int = 0
    failed_writes: int = 0
    failed_flushes: int = 0
    held: int = 0

    def fail(self, operation: str) -> None:
        """Count one failed request."""
        counter = _FAILED[operation]
        setattr(self, counter, getattr(self, counter) + 1)


@dataclass
class Target:
    """A LUN with its counters, its rules, and by cause what was taken of its requests."""

    name: str
    lun: Lun
    counters: Counters = field(default_factory=Counters)
    rules: list[IoRule] = field(default_factory=list)
    applied: dict[str, Any] = field(default_factory=dict)
    lost: bool = False
    tolls: defaultdict[int, Toll] = field(default_factory=lambda: defaultdict(Toll))


@dataclass
class Port:
    """One attachment; `file` is its name in the FUSE file system, `device` the loop device above it.

    `cause` is what it was closed for.
    """

    file: str
    target: Target
    closed: bool = False
    cause: int = 0
    device: str = ""
    handle: int = -1
    failed: int = 0
    failed_changes: int = 0

    def fail(self, operation: str, cause: int) -> int:
        """Count a request that failed for this cause; return its errno."""
        self.failed += 1
        self.failed_changes += operation != "read"
        self.target.tolls[cause].fail(operation)
        return errno.EIO


def rule_from(wanted: dict[str, Any]) -> IoRule:
    """Parse a rule of an `apply` request.

    It is {"cause": n, "fail": [operations], "times": n|null, "first": b, "end": b|null}, or {"cause": n,
    "hold": [operations]}.
    """
    hold = "hold" in wanted
    operations = frozenset(wanted["hold" if hold else "fail"])
    if not operations or operations - set(_FAILED):
        raise ValueError(f"a rule is about some of {', '.join(_FAILED)}, not {sorted(operations)}")
    first, end = wanted.get("first", 0), wanted.get("end")
    return IoRule(operations, wanted.get("times"), first, end, hold, wanted.get("cause", 0))

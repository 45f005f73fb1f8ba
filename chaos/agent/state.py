"""The state that a LUN is wanted in, and what its ports count: the mechanism that storage faults are made of.

A `Port` is one attachment of a LUN to the host (one loop device). Power cut and loss close the port for good:
whatever the kernel still writes back through it is refused, and the LUN comes back through a new port.
"""

from __future__ import annotations

import errno
import time
from dataclasses import dataclass, field
from typing import Any

from chaos.agent.lun import Lun

_FAILED = {"read": "failed_reads", "write": "failed_writes", "flush": "failed_flushes"}
"""The operations of a LUN, each with its counter of failures."""


@dataclass
class IoRule:
    """What happens to `operations` in the byte range [first, end) (None: all), `times` times (None: always).

    They fail with EIO; with `hold` their answer is held back instead, until the rule is gone or the port closes.
    """

    operations: frozenset[str]
    times: int | None = None
    first: int = 0
    end: int | None = None
    hold: bool = False

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
    failed_reads: int = 0
    failed_writes: int = 0
    failed_flushes: int = 0
    held: int = 0
    discarded_bytes: int = 0
    closed: int = 0
    last_write_ns: int = 0
    first_failed_ns: int = 0

    def wrote(self, size: int) -> None:
        """Count one write."""
        self.writes += 1
        self.written_bytes += size
        self.last_write_ns = time.monotonic_ns()

    def fail(self, operation: str) -> int:
        """Count one failed request; return its errno."""
        counter = _FAILED[operation]
        setattr(self, counter, getattr(self, counter) + 1)
        self.first_failed_ns = self.first_failed_ns or time.monotonic_ns()
        return errno.EIO


@dataclass
class Target:
    """A LUN with its counters, its rules and the port that is in use."""

    name: str
    lun: Lun
    counters: Counters = field(default_factory=Counters)
    rules: list[IoRule] = field(default_factory=list)
    applied: dict[str, Any] = field(default_factory=dict)
    lost: bool = False


@dataclass
class Port:
    """One attachment; `file` is its name in the FUSE file system, `device` the loop device above it."""

    file: str
    target: Target
    closed: bool = False
    device: str = ""
    handle: int = -1
    failed: int = 0
    failed_changes: int = 0

    def fail(self, operation: str) -> int:
        """Count a failed request; return its errno."""
        self.failed += 1
        self.failed_changes += operation != "read"
        return self.target.counters.fail(operation)


def rule_from(wanted: dict[str, Any]) -> IoRule:
    """Parse a rule of an `apply` request.

    It is {"fail": [operations], "times": n|null, "first": b, "end": b|null}, or {"hold": [operations]}.
    """
    hold = "hold" in wanted
    operations = frozenset(wanted["hold" if hold else "fail"])
    if not operations or operations - set(_FAILED):
        raise ValueError(f"a rule is about some of {', '.join(_FAILED)}, not {sorted(operations)}")
    return IoRule(operations, wanted.get("times"), wanted.get("first", 0), wanted.get("end"), hold)

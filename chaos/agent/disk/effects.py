"""What happens to an I/O on its way to a LUN: it meets a chain of effects, each of which counts its own evidence.

An effect may let an I/O pass, change it (its place, its data), fail it, hold it back, or have it answered as if it had
been done; of a read that was done it may change the data. To add one: its wanted form in `states`, its class here, and
a line in `_MADE_OF`. Nothing else of the agent knows which effects there are.
"""

from __future__ import annotations

import enum
import errno
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from chaos.agent import states

FAILED: Final[Mapping[str, str]] = {"read": "failed_reads", "write": "failed_writes", "flush": "failed_flushes"}
"""The counter of an operation's failures."""


@dataclass(slots=True)
class Io:
    """One request to a LUN, in bytes. Effects may change it.

    Attributes:
        data: What is to be written.
        error: The errno with which it fails, where an effect fails it.
        since_ns: When it came.
        due_ns: When to look again at one that is held back; None: when effects have changed or the port has closed.
        counted: The effects that have counted it already. One that is held back starts anew when it is looked at
            again, as it came but for this.
    """

    operation: states.Operation
    offset: int = 0
    size: int = 0
    data: bytes | memoryview = b""
    error: int = errno.EIO
    since_ns: int = field(default_factory=time.monotonic_ns)
    due_ns: int | None = None
    counted: tuple[Effect, ...] = ()


class Fate(enum.Enum):
    """What an effect makes of an I/O."""

    PASSES = enum.auto()
    FAILS = enum.auto()
    WAITS = enum.auto()
    IS_SKIPPED = enum.auto()
    """It is answered as if it had been done; a read then returns zeros."""


class Effect:
    """One effect in force. `counts` is what its cause did to this LUN so far; it outlives the effect."""

    def __init__(self, wanted: Any, counts: Counter[str]) -> None:
        """Bring `wanted`, of `states`, into force."""
        self.wanted = wanted
        self.counts = counts

    def meets(self, io: Io) -> Fate:
        """Decide about an I/O that has come, or that was held back until now."""
        return Fate.PASSES

    def returns(self, io: Io, data: bytes) -> bytes:
        """What a read that was done returns instead of `data`."""
        return data


class FailEffect(Effect):
    """See `states.Fail`."""

    def __init__(self, wanted: states.Fail, counts: Counter[str]) -> None:
        """Count down from `wanted.times`."""
        super().__init__(wanted, counts)
        self.left = wanted.times

    def meets(self, io: Io) -> Fate:
        """Fail it where it is one of those."""
        wanted: states.Fail = self.wanted
        if io.operation not in wanted.operations or self.left == 0:
            return Fate.PASSES
        end = wanted.end_byte
        if io.operation != "flush" and (
            io.offset + io.size <= wanted.first_byte or (end is not None and io.offset >= end)
        ):
            return Fate.PASSES
        if self.left is not None:
            self.left -= 1
        self.counts[FAILED[io.operation]] += 1
        return Fate.FAILS


class HoldEffect(Effect):
    """See `states.Hold`."""

    def meets(self, io: Io) -> Fate:
        """Hold it back where it is one of those; it counts once, however often it is looked at."""
        if io.operation not in self.wanted.operations:
            return Fate.PASSES
        if self not in io.counted:
            io.counted = (*io.counted, self)
            self.counts["held_ios"] += 1
        return Fate.WAITS


_MADE_OF: dict[type[Any], Callable[[Any, Counter[str]], Effect]] = {states.Fail: FailEffect, states.Hold: HoldEffect}


def make(wanted: states.Effect, counts: Counter[str]) -> Effect:
    """The effect that is wanted.

    Raises:
        ValueError: It is about no operation.
    """
    if not wanted.operations:
        raise ValueError("an effect is about some of read, write, flush, not about none")
    return _MADE_OF[type(wanted)](wanted, counts)

"""What happens to an I/O on its way to a LUN: it meets a chain of effects, each of which counts its own evidence.

An effect may let an I/O pass, change it (its place, its data), fail it, hold it back, or have it answered as if it had
been done; of a read that was done it may change the data. To add one: its wanted form in `states`, its class here, and
a line in `_MADE_OF`. Nothing else of the agent knows which effects there are.
"""

from __future__ import annotations

import enum
import errno
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from chaos.agent import states
from chaos.agent.disk.lun import Lun

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
        counted: The effects that have counted it already, each with a number of its own about it. One that is held
            back starts anew when it is looked at again, as it came but for this.
        then: What is done when it has gone its way, before its answer goes out.
    """

    operation: states.Operation
    offset: int = 0
    size: int = 0
    data: bytes | memoryview = b""
    error: int = errno.EIO
    since_ns: int = field(default_factory=time.monotonic_ns)
    due_ns: int | None = None
    counted: Mapping[Effect, int] = field(default_factory=dict)
    then: tuple[Callable[[], None], ...] = ()


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
        """Make what is wanted, of `states`."""
        self.wanted = wanted
        self.counts = counts

    def begins(self, lun: Lun, now_ns: int) -> None:
        """It comes into force on this LUN, between two I/Os; at one time on all LUNs of a fault."""

    def meets(self, io: Io) -> Fate:
        """Decide about an I/O that has come, or that was held back until now."""
        return Fate.PASSES

    def returns(self, io: Io, data: bytes) -> bytes:
        """What a read that was done returns instead of `data`."""
        return data

    def count(self, io: Io, name: str, number: int = 0) -> None:
        """Count an I/O once, however often it is looked at, with a number to be remembered of it."""
        io.counted = {**io.counted, self: number}
        self.counts[name] += 1


class SomeEffect(Effect):
    """An effect on some I/Os, so many times."""

    def __init__(self, wanted: Any, counts: Counter[str]) -> None:
        """Count down from `wanted.times`."""
        super().__init__(wanted, counts)
        self.left: int | None = wanted.times

    def takes(self, io: Io) -> bool:
        """Whether an I/O that this effect has not counted yet is one of those; then there is one less to come."""
        wanted, end = self.wanted, self.wanted.end_byte
        if io.operation not in wanted.operations or self.left == 0:
            return False
        if io.operation != "flush" and (
            io.offset + io.size <= wanted.first_byte or (end is not None and io.offset >= end)
        ):
            return False
        if self.left is not None:
            self.left -= 1
        return True


class FailEffect(SomeEffect):
    """See `states.Fail`."""

    def meets(self, io: Io) -> Fate:
        """Fail it where it is one of those."""
        if not self.takes(io):
            return Fate.PASSES
        self.counts[FAILED[io.operation]] += 1
        return Fate.FAILS


class HoldEffect(Effect):
    """See `states.Hold`."""

    def meets(self, io: Io) -> Fate:
        """Hold it back where it is one of those."""
        if io.operation not in self.wanted.operations:
            return Fate.PASSES
        if self not in io.counted:
            self.count(io, "held_ios")
        return Fate.WAITS


class FlapEffect(Effect):
    """See `states.Flap`. `gaps` counts those in which an I/O came, `longest_wait_ms` is of I/Os that went on then."""

    def begins(self, lun: Lun, now_ns: int) -> None:
        """The first gap does, too."""
        self._began_ns = now_ns
        self._gap = -1

    def meets(self, io: Io) -> Fate:
        """Hold it back or fail it in a gap; the number that is remembered of one held is when that was."""
        wanted: states.Flap = self.wanted
        if io.operation not in wanted.operations:
            return Fate.PASSES
        now = time.monotonic_ns()
        gap, since_ns = divmod(now - self._began_ns, wanted.away_ns + wanted.back_ns)
        if since_ns >= wanted.away_ns or (wanted.gaps is not None and gap >= wanted.gaps):
            if held_ns := io.counted.get(self):
                self.counts["longest_wait_ms"] = max(self.counts["longest_wait_ms"], (now - held_ns) // 1_000_000)
                io.counted = {**io.counted, self: 0}
            return Fate.PASSES
        if gap > self._gap:
            self._gap = gap
            self.counts["gaps"] += 1
        if wanted.fails:
            self.counts[FAILED[io.operation]] += 1
            return Fate.FAILS
        if self not in io.counted:
            self.count(io, "held_ios", now)
        io.due_ns = now - since_ns + wanted.away_ns
        return Fate.WAITS


class DelayEffect(SomeEffect):
    """See `states.Delay`. One after the other passes a limit of bytes, in the order in which they come."""

    def __init__(self, wanted: states.Delay, counts: Counter[str]) -> None:
        """Nothing is under way."""
        super().__init__(wanted, counts)
        self._free_ns = 0

    def meets(self, io: Io) -> Fate:
        """Hold it back until its time has come; the number that is remembered of it is that time."""
        now = time.monotonic_ns()
        if self not in io.counted:
            if not self.takes(io):
                return Fate.PASSES
            begun, limit = max(self._free_ns, io.since_ns), self.wanted.bytes_per_second
            self._free_ns = begun if limit is None else begun + io.size * 1_000_000_000 // limit
            self.count(io, "delayed_ios", self._free_ns + self.wanted.latency_ns)
        io.due_ns = io.counted[self]
        return Fate.WAITS if now < io.due_ns else Fate.PASSES


class LieEffect(SomeEffect):
    """See `states.Lie`."""

    def meets(self, io: Io) -> Fate:
        """Skip it where it is one of those."""
        if self not in io.counted:
            if not self.takes(io):
                return Fate.PASSES
            self.count(io, "ignored_flushes" if io.operation == "flush" else "ignored_writes")
        return Fate.IS_SKIPPED


class MisdirectEffect(SomeEffect):
    """See `states.Misdirect`."""

    def meets(self, io: Io) -> Fate:
        """Send it to another place where it is one of those."""
        if self not in io.counted:
            if not self.takes(io):
                return Fate.PASSES
            self.count(io, "misdirected_writes")
        shift = self.wanted.shift_bytes
        io.offset += -shift if io.offset >= shift else shift
        return Fate.PASSES


class CorruptEffect(SomeEffect):
    """See `states.Corrupt`."""

    def meets(self, io: Io) -> Fate:
        """Remember it where it is one of those."""
        if self not in io.counted and self.takes(io):
            self.count(io, "corrupted_reads")
        return Fate.PASSES

    def returns(self, io: Io, data: bytes) -> bytes:
        """With a bit turned over in the first byte of every 4096."""
        if self not in io.counted:
            return data
        wrong = bytearray(data)
        for place in range(0, len(wrong), _WRONG_EVERY_BYTES):
            wrong[place] ^= 1
        return bytes(wrong)


class StaleEffect(SomeEffect):
    """See `states.Stale`."""

    def begins(self, lun: Lun, now_ns: int) -> None:
        """Remember what is there now."""
        self._then = lun.view()

    def returns(self, io: Io, data: bytes) -> bytes:
        """What was there then, where that is something else."""
        then = self._then.read(io.offset, io.size)
        if then == data or not (self in io.counted or self.takes(io)):
            return data
        self.count(io, "stale_reads")
        return then


class RotEffect(Effect):
    """See `states.Rot`."""

    def begins(self, lun: Lun, now_ns: int) -> None:
        """All at once; it stays when the effect ends."""
        wanted: states.Rot = self.wanted
        chance = random.Random(wanted.draw)
        self.counts["rotten_blocks"] += lun.rot(chance, wanted.blocks, wanted.first_byte, wanted.end_byte)


class RollBackEffect(Effect):
    """See `states.RollBack`. The log may not go back so far: what it did is counted."""

    def begins(self, lun: Lun, now_ns: int) -> None:
        """All at once; it stays when the effect ends."""
        wanted: states.RollBack = self.wanted
        instant, age_ns = lun.instant_before(now_ns - wanted.age_ns, now_ns)
        self.counts["rolled_back_bytes"] += lun.roll_back(instant, flushed=wanted.flushed)
        self.counts["rolled_back_ms"] += age_ns // 1_000_000


class FullEffect(Effect):
    """See `states.Full`."""

    def begins(self, lun: Lun, now_ns: int) -> None:
        """There is so much room yet."""
        self._lun = lun
        self._room = self.wanted.room_bytes

    def meets(self, io: Io) -> Fate:
        """Fail it where it needs more room than there is."""
        if io.operation != "write" or (needed := self._lun.blank_bytes(io.offset, io.size)) == 0:
            return Fate.PASSES
        if needed > self._room:
            io.error = errno.ENOSPC
            self.counts[FAILED["write"]] += 1
            return Fate.FAILS
        if self not in io.counted:
            self._room -= needed
            io.counted = {**io.counted, self: 0}
        return Fate.PASSES


_WRONG_EVERY_BYTES: Final = 4096
_MADE_OF: dict[type[Any], Callable[[Any, Counter[str]], Effect]] = {
    states.Fail: FailEffect,
    states.Hold: HoldEffect,
    states.Flap: FlapEffect,
    states.Delay: DelayEffect,
    states.Lie: LieEffect,
    states.Misdirect: MisdirectEffect,
    states.Corrupt: CorruptEffect,
    states.Stale: StaleEffect,
    states.Rot: RotEffect,
    states.Full: FullEffect,
    states.RollBack: RollBackEffect,
}


def make(wanted: states.Effect, counts: Counter[str]) -> Effect:
    """The effect that is wanted.

    Raises:
        ValueError: It is about no operation.
    """
    if not wanted.operations:
        raise ValueError("an effect is about some of read, write, flush, not about none")
    return _MADE_OF[type(wanted)](wanted, counts)

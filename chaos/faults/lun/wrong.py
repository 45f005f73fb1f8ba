"""Faults of disks that answer as always, and are wrong: nobody is told, so only a checksum, a copy or a loss shows it.

Injected: flushes and writes that are answered and not done, writes that land elsewhere, reads that return something
else or something old, bits that turn over where they are stored.
"""

from __future__ import annotations

from collections.abc import Mapping

from chaos.agent.states import Corrupt, Lie, LunState, Misdirect, RollBack, Rot, Stale
from chaos.experiment.catalogue import ParameterInfo
from chaos.faults.lun.disk import EVERYWHERE, ON_SOME_IOS, SECTOR_BYTES, SECTORS, TIMES, OnSomeIos, byte_range
from chaos.faults.lun.medium import LunEvidence, LunFault
from chaos.faults.registry import fault

SHIFT_SECTORS_MAX = (4 << 20) // SECTOR_BYTES
"""So much before or after its place there is room for a write on the smallest LUN."""


SECONDS = ParameterInfo("number", minimum=0.001, maximum=3600, default=2.0)
"""How far back."""


@fault("disk.lying_flush")
class LyingFlush(LunFault):
    """Flushes are answered and not done, as of a disk with a write cache that ignores them to look quick.

    Alone this loses nothing. A power cut of the LUN meanwhile takes all that was written since the last flush that was
    done, however often it was flushed.

    Bites when at least one flush was ignored.

    Attributes:
        times: How many; None: until healed.
    """

    targets = EVERYWHERE
    parameters = {"times": TIMES}  # noqa: RUF012 - a mapping by annotation of the base class

    times: int | None = None

    def wanted(self, lun: LunState, cause: int) -> LunState:
        """Flushes ignored."""
        return lun.with_effect(Lie(frozenset({"flush"}), self.times, cause=cause))

    def why_not_bitten(self, evidence: LunEvidence) -> str:
        """One flush that was ignored."""
        return "" if evidence.ios.get("ignored_flushes") else "no flush was ignored"


@fault("disk.lost_write")
class LostWrite(OnSomeIos):
    """Writes are answered and not done: what was there before stays there.

    Bites when at least one write was ignored.
    """

    def wanted(self, lun: LunState, cause: int) -> LunState:
        """Writes ignored."""
        return lun.with_effect(Lie(**self.some({"write"}, cause)))

    def why_not_bitten(self, evidence: LunEvidence) -> str:
        """One write that was ignored."""
        return "" if evidence.ios.get("ignored_writes") else "no write was ignored"


@fault("disk.misdirected_write")
class MisdirectedWrite(OnSomeIos):
    """Writes are done at another place of the LUN: what was there is gone, and what was to be replaced stays.

    Bites when at least one write was misdirected.

    Attributes:
        shift_sectors: So many sectors of 512 bytes before its place; after it where there is nothing before.
            `sectors` is about the place meant.
    """

    parameters = {  # noqa: RUF012 - a mapping by annotation of the base class
        **ON_SOME_IOS,
        "shift_sectors": ParameterInfo("integer", minimum=1, maximum=SHIFT_SECTORS_MAX, default=2048),
    }

    shift_sectors: int = 2048

    def wanted(self, lun: LunState, cause: int) -> LunState:
        """Writes misdirected."""
        return lun.with_effect(Misdirect(**self.some({"write"}, cause), shift_bytes=self.shift_sectors * SECTOR_BYTES))

    def why_not_bitten(self, evidence: LunEvidence) -> str:
        """One write at another place."""
        return "" if evidence.ios.get("misdirected_writes") else "no write was misdirected"


@fault("disk.corrupt_read")
class CorruptRead(OnSomeIos):
    """Reads return the data with a bit of each 4096 bytes turned over, as of a bad cable; what is stored is right.

    Bites when at least one read was corrupted.
    """

    def wanted(self, lun: LunState, cause: int) -> LunState:
        """Reads corrupted."""
        return lun.with_effect(Corrupt(**self.some({"read"}, cause)))

    def why_not_bitten(self, evidence: LunEvidence) -> str:
        """One read that returned something else."""
        return "" if evidence.ios.get("corrupted_reads") else "no read was corrupted"


@fault("disk.stale_read")
class StaleRead(OnSomeIos):
    """Reads return what was there when the fault took hold, as of an array that serves an old copy; writes are kept.

    Bites when at least one read returned something else than what is there.
    """

    def wanted(self, lun: LunState, cause: int) -> LunState:
        """Reads of old data."""
        return lun.with_effect(Stale(**self.some({"read"}, cause)))

    def why_not_bitten(self, evidence: LunEvidence) -> str:
        """One read that returned something else."""
        return "" if evidence.ios.get("stale_reads") else "no read returned old data"


@fault("disk.bit_rot")
class BitRot(LunFault):
    """One bit of each of some blocks turns over where it is stored; it stays so until a service writes the block again.

    Bites when there was a block to rot: one that was written and flushed.

    Attributes:
        blocks: How many blocks of 4096 bytes.
        draw: From which they are drawn.
        sectors: {"first": n, "count": n} in sectors of 512 bytes; None: the whole LUN.
    """

    targets = EVERYWHERE
    parameters = {  # noqa: RUF012 - a mapping by annotation of the base class
        "blocks": ParameterInfo("integer", minimum=1, maximum=1_000_000, default=8),
        "draw": ParameterInfo("integer", default=0),
        "sectors": SECTORS,
    }

    blocks: int = 8
    draw: int = 0
    sectors: Mapping[str, int] | None = None

    def wanted(self, lun: LunState, cause: int) -> LunState:
        """Rotten blocks."""
        return lun.with_effect(Rot(self.blocks, self.draw, cause=cause, **byte_range(self.sectors)))

    def why_not_bitten(self, evidence: LunEvidence) -> str:
        """One rotten block."""
        return "" if evidence.ios.get("rotten_blocks") else "no block had been written and flushed, so none could rot"


@fault("disk.rollback")
class RollBackLun(LunFault):
    """A LUN, or a whole array, is again what it was some seconds ago, as after a restore of an old snapshot.

    Nobody is told. All that is struck goes back to one instant. File systems that are mounted go on with what they have
    in memory; combine it with a power cut for machines that find the old content when they start.

    Bites when something else is there than just before.

    Attributes:
        seconds: How long ago; never longer than the LUN exists. It goes less far where the write log, which has the
            changes of 256 MiB, does not reach back; `rolled_back_ms` says how far.
    """

    targets = EVERYWHERE
    parameters = {"seconds": SECONDS}  # noqa: RUF012 - a mapping by annotation of the base class

    seconds: float = 2.0

    def wanted(self, lun: LunState, cause: int) -> LunState:
        """As it was."""
        return lun.with_effect(RollBack(round(self.seconds * 1e9), cause=cause))

    def why_not_bitten(self, evidence: LunEvidence) -> str:
        """Something else there."""
        return "" if evidence.ios.get("rolled_back_bytes") else "nothing had been written in that time"

"""Faults of one disk, or of the disks of one array.

Injected: loss of power with everything that was not flushed; loss for good; failing reads, writes and flushes,
slow ones, and such that get no answer. Never injected here: partial transfers, wrong data (see `wrong`), reordering
within one flush interval.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from chaos.agent.states import Delay, Fail, Hold, LunState, Operation, Survivors
from chaos.agent.states import Full as NoRoom
from chaos.experiment.catalogue import ParameterInfo
from chaos.faults.lun.medium import LunEvidence, LunFault
from chaos.faults.registry import fault

SECTOR_BYTES = 512
IDLE = "nothing was on its way to the disk (no write of the load in the 5 s before, no dirty pages)"
"""What a fault of power, or the loss of a disk, could not meet; the service may have lost data all the same."""

ALL: frozenset[Operation] = frozenset({"read", "write", "flush"})
OPERATIONS = ParameterInfo("choices", choices=("read", "write", "flush"), default=["read", "write", "flush"])
TIMES = ParameterInfo("integer", minimum=1, maximum=1_000_000, optional=True)
SECTORS = ParameterInfo("counts", keys=("first", "count"), optional=True)
ON_SOME_IOS = {"times": TIMES, "sectors": SECTORS}
EVERYWHERE = ("array", "arrays", "lun", "service", "role")


@fault("disk.power_cut")
class PowerCut(LunFault):
    """The machines on these LUNs lose power: processes die at once, every write since the last flush is gone.

    Their page cache is gone too, so on their further LUNs, whose arrays keep their power, whatever had not left it.

    Healing is power coming back: the boot-time check of the file systems, containers made anew, services started.

    Bites when the LUN took a write of the load in the 5 s before, or its services had dirty pages, and these were
    killed and it was closed.
    0 bytes discarded, right after a flush, is valid and shown.

    Attributes:
        keep: The share of the blocks written since the last flush that survives, drawn block by block; 0: none does.
        torn: Whether the last survivor has only its first sectors of 512 bytes.
        draw: From which the survivors are drawn, together with the LUN's name.
    """

    targets = EVERYWHERE
    kills = True
    parameters = {  # noqa: RUF012 - a mapping by annotation of the base class
        "keep": ParameterInfo("number", maximum=1, default=0.0),
        "torn": ParameterInfo("flag", default=False),
        "draw": ParameterInfo("integer", default=0),
    }

    keep: float = 0.0
    torn: bool = False
    draw: int = 0

    def wanted(self, lun: LunState, cause: int) -> LunState:
        """Off."""
        return lun.powered_off(Survivors(self.keep, self.draw, self.torn) if self.keep else None)

    def why_not_bitten(self, evidence: LunEvidence) -> str:
        """Written shortly before, services killed, closed."""
        if not evidence.was_written:
            older = "older writes that were never flushed, and " if evidence.discarded_bytes else ""
            return f"{IDLE}, so the cut could take only {older}what its services keep in memory"
        if evidence.killed < evidence.services:
            return f"{evidence.killed} of {evidence.services} services were running and killed"
        return "" if evidence.closed == evidence.luns else f"{evidence.closed} of {evidence.luns} LUNs were closed"


def byte_range(sectors: Mapping[str, int] | None) -> dict[str, Any]:
    """The part of a LUN that an effect is about, from {"first": n, "count": n} in sectors; None: the whole LUN."""
    if sectors is None:
        return {}
    first = sectors["first"] * SECTOR_BYTES
    return {"first_byte": first, "end_byte": first + sectors["count"] * SECTOR_BYTES}


@dataclass(frozen=True, kw_only=True)
class OnSomeIos(LunFault):
    """A fault of some I/Os of a LUN.

    Attributes:
        times: How many; None: until healed.
        sectors: {"first": n, "count": n} in sectors of 512 bytes; None: the whole LUN. Flushes have no sectors.
    """

    targets = EVERYWHERE
    parameters = ON_SOME_IOS

    times: int | None = None
    sectors: Mapping[str, int] | None = None

    def some(self, operations: Collection[Operation], cause: int) -> dict[str, Any]:
        """Which I/Os an effect is about."""
        return {
            "operations": frozenset(operations),
            "times": self.times,
            "cause": cause,
            **byte_range(self.sectors),
        }


@fault("disk.io_error")
class IoError(OnSomeIos):
    """Reads, writes or flushes of a LUN fail with EIO, as of a bad sector or a failing controller.

    Bites when at least one I/O was failed. A file system that gave up is checked and mounted again at heal.

    Attributes:
        operations: What fails.
    """

    parameters = {"operations": OPERATIONS, **ON_SOME_IOS}  # noqa: RUF012 - a mapping by annotation of the base class

    operations: frozenset[Operation] = ALL

    def wanted(self, lun: LunState, cause: int) -> LunState:
        """Failing as the parameters say."""
        return lun.with_effect(Fail(**self.some(self.operations, cause)))

    def why_not_bitten(self, evidence: LunEvidence) -> str:
        """One failed I/O."""
        return "" if evidence.failed_ios else "no I/O was failed"


@fault("disk.lose")
class Lose(LunFault):
    """The disks are gone for good; services on them keep running and get I/O errors.

    Not healed: afterwards the stack's runbook puts blank LUNs in their place.

    Bites when a LUN took a write of the load in the 5 s before, or its services had dirty pages, all were closed, and
    an I/O failed afterwards.
    """

    targets: ClassVar[tuple[str, ...]] = ("lun", "service", "role")
    for_good = True

    def wanted(self, lun: LunState, cause: int) -> LunState:
        """Gone."""
        return lun.gone()

    def why_not_bitten(self, evidence: LunEvidence) -> str:
        """Written shortly before, closed, and missed afterwards."""
        if not evidence.was_written:
            return f"{IDLE}, so nobody was writing to what was lost"
        if evidence.closed < evidence.luns:
            return f"{evidence.closed} of {evidence.luns} LUNs were closed"
        return "" if evidence.failed_ios else "no I/O failed afterwards"


@fault("disk.hang")
class Hang(LunFault):
    """I/Os of a LUN get no answer until it is healed, as of a controller that has stopped; then all of them do.

    Who waits for such an I/O cannot be killed meanwhile. Other LUNs go on.

    Bites when at least one I/O was held.

    Attributes:
        operations: What hangs.
    """

    targets = EVERYWHERE
    parameters = {  # noqa: RUF012 - a mapping by annotation of the base class
        "operations": OPERATIONS,
    }

    operations: frozenset[Operation] = ALL

    def wanted(self, lun: LunState, cause: int) -> LunState:
        """I/Os held."""
        return lun.with_effect(Hold(self.operations, cause))

    def why_not_bitten(self, evidence: LunEvidence) -> str:
        """One held I/O."""
        return "" if evidence.held_ios else "no I/O was held"


@fault("disk.slow")
class Slow(OnSomeIos):
    """I/Os of a LUN take longer, as of a disk that retries inside, an array under load, or a worn-out SSD.

    Bites when at least one I/O was delayed.

    Attributes:
        operations: What is slow.
        latency_ms: How much later each of them is done.
        bytes_per_second: What passes at most, one I/O after the other; None: no limit.
    """

    parameters = {  # noqa: RUF012 - a mapping by annotation of the base class
        "operations": OPERATIONS,
        "latency_ms": ParameterInfo("integer", minimum=0, maximum=60_000, default=50),
        "bytes_per_second": ParameterInfo("integer", minimum=4096, maximum=10**12, optional=True),
        **ON_SOME_IOS,
    }

    operations: frozenset[Operation] = ALL
    latency_ms: int = 50
    bytes_per_second: int | None = None

    def wanted(self, lun: LunState, cause: int) -> LunState:
        """I/Os delayed."""
        some, latency_ns = self.some(self.operations, cause), self.latency_ms * 1_000_000
        return lun.with_effect(Delay(**some, latency_ns=latency_ns, bytes_per_second=self.bytes_per_second))

    def why_not_bitten(self, evidence: LunEvidence) -> str:
        """One delayed I/O."""
        return "" if evidence.ios.get("delayed_ios") else "no I/O was delayed"


@fault("disk.full")
class Full(LunFault):
    """The pool behind a thin LUN is exhausted: writes fail where nothing was written before, others go on.

    The service sees ENOSPC while its file system has room, as from a thin pool without any.

    Bites when at least one write was failed.

    Attributes:
        room_bytes: So much of what is blank can still be written.
    """

    targets = EVERYWHERE
    parameters = {  # noqa: RUF012 - a mapping by annotation of the base class
        "room_bytes": ParameterInfo("integer", maximum=10**12, default=0),
    }

    room_bytes: int = 0

    def wanted(self, lun: LunState, cause: int) -> LunState:
        """Full."""
        return lun.with_effect(NoRoom(self.room_bytes, cause))

    def why_not_bitten(self, evidence: LunEvidence) -> str:
        """One failed write."""
        return "" if evidence.ios.get("failed_writes") else "no write was failed"

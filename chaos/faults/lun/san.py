"""Faults of a whole array: what its LUNs have in common.

Injected: the loss of every LUN at one instant; the loss of every path to them, once or again and again; the time that a
second controller takes to take over. Never injected here: the loss of one LUN alone (see `disk.lose`), or of one path
of several, which multipath hides.

A target that names a service or a role means the arrays under it, whatever else is on them.
"""

from __future__ import annotations

from typing import Literal

from chaos.agent.states import Fail, Flap, Hold, LunState, RollBack
from chaos.experiment.catalogue import ParameterInfo
from chaos.faults.lun import disk
from chaos.faults.lun.medium import LunEvidence, LunFault
from chaos.faults.lun.wrong import SECONDS
from chaos.faults.registry import fault

_MODE = ParameterInfo("text", choices=("hang", "fail"), default="hang")


def _seconds(default: float) -> ParameterInfo:
    return ParameterInfo("number", minimum=0.01, maximum=600, default=default)


@fault("san.lose")
class Lose(disk.Lose):
    """Every LUN of an array is gone for good; services on it keep running and get I/O errors.

    Not healed: afterwards the stack's runbook puts blank LUNs in their place.

    Bites when a LUN took a write of the load in the 5 s before, or its services had dirty pages, all were closed, and
    an I/O failed afterwards.
    """

    targets = ("array", "arrays", "service", "role")
    whole_arrays = True


@fault("san.unavailable")
class Unavailable(LunFault):
    """All paths to an array are down, until they are healed; nothing that the array has taken is lost.

    With `hang` I/Os wait for the paths to come back, as under dm-multipath's `queue_if_no_path`; with `fail` they
    fail with EIO, as under `no_path_retry fail`.

    Bites when at least one I/O was held, or failed.

    Attributes:
        mode: hang or fail.
    """

    targets = ("array", "arrays", "service", "role")
    whole_arrays = True
    parameters = {"mode": _MODE}  # noqa: RUF012 - a mapping by annotation of the base class

    mode: Literal["hang", "fail"] = "hang"

    def wanted(self, lun: LunState, cause: int) -> LunState:
        """I/Os held, or failed."""
        return lun.with_effect(Hold(disk.ALL, cause) if self.mode == "hang" else Fail(disk.ALL, cause=cause))

    def why_not_bitten(self, evidence: LunEvidence) -> str:
        """One I/O that was held, or failed."""
        if self.mode == "hang":
            return "" if evidence.held_ios else "no I/O was held"
        return "" if evidence.failed_ios else "no I/O was failed"


@fault("san.path_flapping")
class PathFlapping(LunFault):
    """All paths to an array go away and come back, again and again; nothing that the array has taken is lost.

    In each gap I/Os wait for its end, or fail, as under `san.unavailable`; between the gaps all goes on as before.

    Bites when an I/O was held, or failed, in at least two gaps.

    Attributes:
        mode: hang or fail.
        times: How many gaps; it is over with the last one. None: until healed.
        away_seconds: How long each is.
        back_seconds: From its end to the next one.
    """

    targets = ("array", "arrays", "service", "role")
    whole_arrays = True
    parameters = {  # noqa: RUF012 - a mapping by annotation of the base class
        "mode": _MODE,
        "times": ParameterInfo("integer", minimum=2, maximum=100_000, optional=True),
        "away_seconds": _seconds(1.0),
        "back_seconds": _seconds(1.0),
    }

    mode: Literal["hang", "fail"] = "hang"
    times: int | None = None
    away_seconds: float = 1.0
    back_seconds: float = 1.0

    @property
    def lasts_seconds(self) -> float | None:
        """To the end of the last gap."""
        if self.times is None:
            return None
        return self.times * (self.away_seconds + self.back_seconds) - self.back_seconds

    def wanted(self, lun: LunState, cause: int) -> LunState:
        """I/Os held, or failed, in turns."""
        away_ns, back_ns = round(self.away_seconds * 1e9), round(self.back_seconds * 1e9)
        return lun.with_effect(Flap(away_ns, back_ns, self.times, fails=self.mode == "fail", cause=cause))

    def why_not_bitten(self, evidence: LunEvidence) -> str:
        """I/Os in two gaps: with one alone it would be an outage."""
        gaps = evidence.ios.get("gaps", 0)
        return "" if gaps >= 2 else f"I/Os came in {gaps} of its gaps, and less than 2 are no flapping"


@fault("san.controller_failover")
class ControllerFailover(LunFault):
    """The controller of an array fails: all I/Os wait until the other one has taken over, then go on by themselves.

    Nothing that the array has taken is lost, and nobody sees an error.

    Bites when at least one I/O waited.

    Attributes:
        stall_seconds: How long that takes; then it is over.
    """

    targets = ("array", "arrays", "service", "role")
    whole_arrays = True
    parameters = {"stall_seconds": _seconds(5.0)}  # noqa: RUF012 - a mapping by annotation of the base class

    stall_seconds: float = 5.0

    @property
    def lasts_seconds(self) -> float:
        """Until the other one has taken over."""
        return self.stall_seconds

    def wanted(self, lun: LunState, cause: int) -> LunState:
        """One gap in which I/Os wait."""
        return lun.with_effect(Flap(round(self.stall_seconds * 1e9), gaps=1, cause=cause))

    def why_not_bitten(self, evidence: LunEvidence) -> str:
        """One I/O that waited."""
        return "" if evidence.held_ios else "no I/O waited"


@fault("san.cache_loss")
class CacheLoss(LunFault):
    """An array loses power and with it its write cache: what was written and flushed in the last seconds is gone.

    The array had answered these flushes. Services keep running and get I/O errors until it is back; then the file
    systems are checked and attached anew, and their containers made anew.

    Bites when something that had been written is gone, and the LUNs were closed.

    Attributes:
        seconds: How much of the past the cache held; as of `disk.rollback`.
    """

    targets = ("array", "arrays", "service", "role")
    whole_arrays = True
    parameters = {"seconds": SECONDS}  # noqa: RUF012 - a mapping by annotation of the base class

    seconds: float = 2.0

    def wanted(self, lun: LunState, cause: int) -> LunState:
        """Off, and as it was."""
        return lun.powered_off().with_effect(RollBack(round(self.seconds * 1e9), flushed=True, cause=cause))

    def why_not_bitten(self, evidence: LunEvidence) -> str:
        """Something gone, and closed."""
        if not evidence.ios.get("rolled_back_bytes"):
            return "nothing had been written in that time"
        return "" if evidence.closed == evidence.luns else f"{evidence.closed} of {evidence.luns} LUNs were closed"

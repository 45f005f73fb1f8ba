"""LUNs as a medium of faults: their targets, and what is counted of I/Os."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

from chaos.agent.states import LunState
from chaos.experiment.catalogue import TargetForm
from chaos.experiment.plan import Target
from chaos.faults.base import Evidence, Fault, Medium, Missing, places
from chaos.stack.spec import Stack

RECENT_WRITE_SECONDS = 5.0
LARGEST = frozenset({"gaps", "longest_wait_ms", "rolled_back_ms"})
"""Counts of `LunEvidence.ios` that are the largest of any LUN, and no sum over them."""
_ON_A_LUN = "name a service on a LUN; a volume that its image alone declares counts once `volumes` has its path, too"


@dataclass(frozen=True)
class LunEvidence(Evidence):
    """What a fault did to LUNs.

    Attributes:
        dirty_bytes: What services had written and the kernel had not yet, just before: of a cut those on these LUNs,
            of a loss those that write to no other LUN.
        closed: LUNs that it closed, of `luns` aimed at.
        ios: What its effects and the ports that it closed did to I/Os afterwards, by name: "failed_reads",
            "failed_writes", "failed_flushes", "held_ios"; of `LARGEST` that of one LUN, of all else the sum.
        discarded_bytes: Unflushed bytes dropped by a cut; 0 right after a flush.
        kept_bytes: Unflushed bytes that survived it.
        killed: Services whose processes were killed, of `services` that should be.
        received_bytes: What these services had received from others in the second before.
        seconds_since_write: Between the last write that a target LUN took in the load and the fault; None: no write.
    """

    luns: int = 0
    dirty_bytes: int = 0
    closed: int = 0
    ios: Mapping[str, int] = field(default_factory=dict)
    discarded_bytes: int = 0
    kept_bytes: int = 0
    services: int = 0
    killed: int = 0
    received_bytes: int = 0
    seconds_since_write: float | None = None

    @property
    def failed_ios(self) -> int:
        """I/Os that failed, of all kinds."""
        return sum(count for name, count in self.ios.items() if name.startswith("failed_"))

    @property
    def held_ios(self) -> int:
        """I/Os whose answers were held back."""
        return self.ios.get("held_ios", 0)

    @property
    def was_written(self) -> bool:
        """Whether a target LUN took a write of the load shortly before, or one was under way to it.

        A service that never flushes lets the kernel write when it likes, which may be half a minute later.
        """
        recent = self.seconds_since_write is not None and self.seconds_since_write <= RECENT_WRITE_SECONDS
        return recent or self.dirty_bytes > 0

    def counted(self) -> Mapping[str, int | float | str]:
        """Everything that is not zero, and the bytes that a cut discarded."""
        shown = {name: value for name, value in (vars(self) | dict(self.ios)).items() if value and name != "ios"}
        if self.closed:
            shown["discarded_bytes"] = self.discarded_bytes
        if self.seconds_since_write is not None:
            shown["seconds_since_write"] = round(self.seconds_since_write, 4)
        return shown


class LunMedium(Medium):
    """The LUNs of a stack. A target that names a service or a role means the LUNs that it mounts."""

    name = "lun"
    forms = (
        TargetForm("array", "name", "array", "an array"),
        TargetForm("arrays", "names", "array", "several arrays"),
        TargetForm("lun", "name", "lun", "a LUN"),
        TargetForm("service", "name", "service", "a service"),
        TargetForm("role", "name", "role", "a role"),
    )
    needs = ("engine", "privileges", "capabilities", "fuse", "loop", "ext4")
    live = "chaos.faults.lun.live:LiveLuns"
    at_ios = True

    def missing(self, fault: type[Fault[Any]], target: Target, stack: Stack) -> list[Missing]:
        """Also services that mount nothing which the fault could strike."""
        missing = super().missing(fault, target, stack)
        if missing or target.key == "lun":
            return missing
        return [
            Missing(where, *said)
            for where, name in places(target)
            for said in _without_luns(target.key, name, stack, cast(type[LunFault], fault))
        ]

    def services(self, target: Target, stack: Stack) -> tuple[str, ...]:
        """Those named, or those on its LUNs."""
        return super().services(target, stack) or stack.services_on(luns_named(target, stack))

    def strikes(self, target: Target, stack: Stack) -> str:
        """The LUNs, and the services on them."""
        luns = luns_named(target, stack)
        return "; ".join([*([f"LUNs {', '.join(luns)}"] if luns else []), super().strikes(target, stack)])


def _without_luns(key: str, name: str, stack: Stack, fault: type[LunFault]) -> list[tuple[str, str]]:
    """What to say of a target that has nothing which a fault of LUNs could strike, and the hint."""
    luns = stack.luns_of(stack.candidates(name)) if key in ("service", "role") else stack.arrays[name]
    if not luns:
        return [(f"{name} mounts no LUN, and {fault.name} strikes LUNs", _ON_A_LUN)]
    if fault.whole_arrays and not stack.beside(luns):
        message = f"{name} has local disks alone, and {fault.name} strikes the arrays of a SAN"
        return [(message, "put its volume on an array under x-chaos.arrays, or use a fault of disks")]
    return []


def luns_named(target: Target, stack: Stack) -> tuple[str, ...]:
    """The LUNs of a target that names LUNs or arrays."""
    if target.key == "lun":
        return tuple(stack.lun_named(name) for name in target.names)
    arrays = target.names if target.key in ("array", "arrays") else ()
    return tuple(lun.name for lun in stack.luns.values() if lun.array in arrays)


class LunFault(Fault[LunEvidence]):
    """A fault of LUNs.

    Attributes:
        whole_arrays: Whether it strikes every LUN of the arrays that its target's LUNs are on.
        kills: Whether the machines on its LUNs die with it: the processes, and what they hold in their page cache.
    """

    medium = LunMedium()
    whole_arrays: ClassVar[bool] = False
    kills: ClassVar[bool] = False

    def wanted(self, lun: LunState, cause: int) -> LunState:
        """The state of a target LUN while the fault is in force, given what it would be without.

        Args:
            lun: The baseline, or what other faults want of it: the fault adds to that and takes nothing away.
            cause: The number of this fault, by which its effects count their evidence.
        """
        raise NotImplementedError

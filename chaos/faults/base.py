"""What a fault is: the state that it wants of its targets, and the counters that prove that it bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from chaos.experiment.catalogue import ParameterInfo, Strikes, TargetKind
from chaos.faults.state import CarrierState, LinkState, LunState, ServiceState

RECENT_WRITE_SECONDS = 5.0


@dataclass(frozen=True)
class Evidence:
    """What a fault did to its targets, from just before it took hold until it was healed: its own doing alone.

    What another fault had closed, paused or killed before is not counted, nor what another's rule or port failed.

    Attributes:
        seconds_since_write: Between the last write that a target LUN took in the load and the fault; None: no write.
        dirty_bytes: What the services on these LUNs had written and the kernel had not yet, just before.
        closed: LUNs that it closed, of `luns` aimed at.
        failed: I/Os that failed by operation, afterwards.
        held_ios: I/Os whose answers were held back.
        discarded_bytes: Unflushed bytes dropped by a cut; 0 right after a flush.
        killed, paused, recreated: Services whose processes were killed or paused, or which were stopped and got a new
            container, of `services` that should be.
        received_bytes: What these services had received from others in the second before.
        links_in_use: Links that carried packets in the 5 s before, of `links` that were closed.
        dropped_packets: Dropped on links that had been in use.
        carrier_changes: What the carrier was read back doing: toxics, and 1 where it accepted nobody.
        delay_ms: By how much the carrier was told to make replies late, give or take the jitter.
    """

    luns: int = 0
    seconds_since_write: float | None = None
    dirty_bytes: int = 0
    closed: int = 0
    failed_reads: int = 0
    failed_writes: int = 0
    failed_flushes: int = 0
    held_ios: int = 0
    discarded_bytes: int = 0
    services: int = 0
    killed: int = 0
    paused: int = 0
    recreated: int = 0
    received_bytes: int = 0
    links: int = 0
    links_in_use: int = 0
    dropped_packets: int = 0
    carrier_changes: int = 0
    delay_ms: int = 0

    @property
    def failed_ios(self) -> int:
        """I/Os that failed, of all kinds."""
        return self.failed_reads + self.failed_writes + self.failed_flushes

    @property
    def was_written(self) -> bool:
        """Whether a target LUN took a write of the load shortly before, or one was under way to it.

        A service that never flushes lets the kernel write when it likes, which may be half a minute later.
        """
        recent = self.seconds_since_write is not None and self.seconds_since_write <= RECENT_WRITE_SECONDS
        return recent or self.dirty_bytes > 0

    def counted(self) -> Mapping[str, int | float | str]:
        """What there is to show: everything that is not zero, and the bytes that a cut discarded."""
        shown = {name: value for name, value in vars(self).items() if value}
        if self.closed:
            shown["discarded_bytes"] = self.discarded_bytes
        if self.seconds_since_write is not None:
            shown["seconds_since_write"] = round(self.seconds_since_write, 4)
        return shown


class Fault:
    """One kind of fault. Objects are frozen dataclasses whose fields are the fault's parameters.

    Attributes:
        name: As experiments write it; set by `@fault`.
        targets: How experiments may say where it strikes.
        strikes: What it changes the state of.
        parameters: What experiments may give, by field.
        for_good: Whether the fault outlives the trial's heal phase, so that only the runbook helps.
        whole_arrays: Whether it strikes every LUN of the arrays that its target's LUNs are on.
        kills: Whether the machines on its LUNs die with it: the processes, and what they hold in their page cache.
        needs_witness: Whether what the service did has to be seen by another way while the fault is in force.
    """

    name: ClassVar[str]
    targets: ClassVar[tuple[TargetKind, ...]]
    strikes: ClassVar[Strikes] = "luns"
    parameters: ClassVar[Mapping[str, ParameterInfo]] = {}
    for_good: ClassVar[bool] = False
    whole_arrays: ClassVar[bool] = False
    kills: ClassVar[bool] = False
    needs_witness: ClassVar[bool] = False

    def wanted_lun(self, lun: LunState) -> LunState:
        """The state of a target LUN while the fault is in force, given what it would be without."""
        return lun

    def wanted_service(self, service: ServiceState) -> ServiceState:
        """The state of a target service while the fault is in force, given what it would be without."""
        return service

    def wanted_link(self, link: LinkState) -> LinkState:
        """The state of a target link while the fault is in force, given what it would be without."""
        return link

    def wanted_carrier(self, carrier: CarrierState) -> CarrierState:
        """The state of the carrier while the fault is in force, given what it would be without."""
        return carrier

    def why_not_bitten(self, evidence: Evidence) -> str:
        """The empty string when the evidence reaches this fault's minimum, else what is missing."""
        raise NotImplementedError

"""What the doctor finds: plain frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from chaos.errors import EXIT_HARNESS, EXIT_HELD

State = Literal["ok", "gap", "info"]


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
        name: What, for example "loop".
        state: "gap" where something is missing, "info" where there is nothing to judge.
        value: What was seen.
        remedy: What to do about a gap.
    """

    name: str
    state: State
    value: str
    remedy: str = ""


@dataclass(frozen=True)
class FaultReadiness:
    """Whether this host can do a fault, else the findings that stand in the way."""

    fault: str
    missing: tuple[str, ...] = ()

    @property
    def possible(self) -> bool:
        """Nothing stands in the way."""
        return not self.missing


@dataclass(frozen=True)
class Diagnosis:
    """All findings, the faults that they leave, and whether `fixtures/minimal` can run."""

    findings: tuple[Finding, ...]
    faults: tuple[FaultReadiness, ...]
    missing: tuple[str, ...]

    @property
    def can_run(self) -> bool:
        """Whether `fixtures/minimal` can run here."""
        return not self.missing

    @property
    def exit_code(self) -> int:
        """0 when `fixtures/minimal` can run, else 3; other gaps are only listed."""
        return EXIT_HELD if self.can_run else EXIT_HARNESS


_AGENT = ("engine", "privileges", "capabilities")
_CARRIER = (*_AGENT, "toxiproxy")
_DISK = (*_AGENT, "fuse", "loop", "ext4")
NEEDS: dict[str, tuple[str, ...]] = {
    "san.lose": _DISK,
    "san.unavailable": _DISK,
    "disk.power_cut": _DISK,
    "disk.lose": _DISK,
    "disk.hang": _DISK,
    "disk.io_error": _DISK,
    "process.kill": _AGENT,
    "process.recreate": _AGENT,
    "process.pause": (*_AGENT, "freezer"),
    "network.partition": (*_AGENT, "nftables"),
    "carrier.down": _CARRIER,
    "carrier.latency": _CARRIER,
    "carrier.lose_replies": _CARRIER,
}
"""What each fault needs, by the findings' names."""
MINIMAL_NEEDS = (*_DISK, "disk space", "cache folder")


def conclude(findings: tuple[Finding, ...]) -> Diagnosis:
    """Draw the conclusions: what was not found to be a gap does not stand in the way."""
    gaps = {finding.name for finding in findings if finding.state == "gap"}

    def missing(needs: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(need for need in needs if need in gaps)

    faults = tuple(FaultReadiness(fault, missing(needs)) for fault, needs in NEEDS.items())
    return Diagnosis(findings, faults, missing(MINIMAL_NEEDS))

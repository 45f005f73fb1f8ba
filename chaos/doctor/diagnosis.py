"""What the doctor finds: plain frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from chaos.errors import EXIT_HARNESS, EXIT_HELD
from chaos.faults import known_faults
from chaos.faults.lun.medium import LunMedium

State = Literal["ok", "gap", "info"]


@dataclass(frozen=True)
class Finding:
    """The result of one probe.

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
    """Whether a fault can run on this host, else the findings that prevent it."""

    fault: str
    missing: tuple[str, ...] = ()

    @property
    def possible(self) -> bool:
        """Whether nothing prevents it."""
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


MINIMAL_NEEDS = (*LunMedium.needs, "disk space", "cache folder")


def conclude(findings: tuple[Finding, ...]) -> Diagnosis:
    """Draw the conclusions: only a gap prevents a fault."""
    gaps = {finding.name for finding in findings if finding.state == "gap"}

    def missing(needs: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(need for need in needs if need in gaps)

    faults = tuple(
        FaultReadiness(name, missing((*fault.medium.needs, *fault.needs))) for name, fault in known_faults().items()
    )
    return Diagnosis(findings, faults, missing(MINIMAL_NEEDS))

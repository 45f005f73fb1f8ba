"""What this host can do, which faults that leaves, and the remedy for each gap."""

from chaos.doctor.diagnosis import Diagnosis, FaultReadiness, Finding
from chaos.doctor.fixing import fix
from chaos.doctor.probes import examine
from chaos.doctor.report import render, to_document

__all__ = ["Diagnosis", "FaultReadiness", "Finding", "examine", "fix", "render", "to_document"]

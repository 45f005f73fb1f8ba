"""A diagnosis as text and as JSON."""

from __future__ import annotations

from chaos.doctor.diagnosis import Diagnosis

_MARKS = {"ok": "ok ", "gap": "GAP", "info": "  ."}


def render(diagnosis: Diagnosis) -> str:
    """Lay out a diagnosis: a line for each finding, the remedy under each gap, the faults, the conclusion."""
    width = max(len(finding.name) for finding in diagnosis.findings)
    lines = []
    for finding in diagnosis.findings:
        lines.append(f"{_MARKS[finding.state]}  {finding.name:{width}}  {finding.value}")
        if finding.state == "gap":
            lines.append(f"     {'':{width}}  -> {finding.remedy}")
    lines += ["", "faults"]
    name_width = max(len(fault.fault) for fault in diagnosis.faults)
    for fault in diagnosis.faults:
        outcome = "can be done" if fault.possible else f"cannot: {', '.join(fault.missing)}"
        lines.append(f"{_MARKS['ok' if fault.possible else 'gap']}  {fault.fault:{name_width}}  {outcome}")
    lines.append("")
    lines.append(
        "The minimal stack can run here."
        if diagnosis.can_run
        else f"The minimal stack cannot run here: {', '.join(diagnosis.missing)}."
    )
    return "\n".join(lines)


def to_document(diagnosis: Diagnosis) -> dict[str, object]:
    """The JSON document of `holdfast doctor --json`."""
    return {
        "can_run": diagnosis.can_run,
        "missing": list(diagnosis.missing),
        "findings": [
            {"name": each.name, "state": each.state, "value": each.value, "remedy": each.remedy}
            for each in diagnosis.findings
        ],
        "faults": [
            {"name": each.fault, "possible": each.possible, "missing": list(each.missing)} for each in diagnosis.faults
        ],
    }

"""From findings to conclusions, and how they are shown."""

from __future__ import annotations

import json
import re

from chaos.doctor.diagnosis import MINIMAL_NEEDS, Diagnosis, Finding, State, conclude
from chaos.doctor.report import render, to_document
from chaos.faults import catalogue


def diagnosis(**gaps: State) -> Diagnosis:
    findings = [Finding(name, gaps.get(name, "ok"), "seen", f"mend {name}") for name in (*MINIMAL_NEEDS, "netem")]
    return conclude(tuple(findings))


def test_without_gaps_every_fault_can_be_done() -> None:
    healthy = diagnosis()
    assert healthy.can_run
    assert healthy.exit_code == 0
    assert {fault.fault for fault in healthy.faults} == set(catalogue().known)
    assert all(fault.possible for fault in healthy.faults)


def test_without_loop_devices_only_disk_faults_are_out() -> None:
    ill = diagnosis(loop="gap")
    assert ill.exit_code == 3
    assert ill.missing == ("loop",)
    assert {fault.fault: fault.missing for fault in ill.faults} == {
        name: ("loop",) if name.startswith(("disk.", "san.")) else () for name in catalogue().known
    }


def test_without_toxiproxy_only_the_carriers_faults_are_out() -> None:
    ill = conclude((Finding("toxiproxy", "gap", "not here"),))
    assert ill.can_run
    out = {fault.fault: fault.missing for fault in ill.faults if not fault.possible}
    assert out == dict.fromkeys(["carrier.down", "carrier.latency", "carrier.lose_replies"], ("toxiproxy",))


def test_a_gap_that_no_fault_needs_is_listed_and_no_more() -> None:
    listed = diagnosis(netem="gap")
    assert listed.exit_code == 0
    assert "GAP  netem" in render(listed)
    assert "-> mend netem" in render(listed)


def test_a_finding_that_could_not_be_made_stands_in_nobodys_way() -> None:
    assert diagnosis(loop="info").can_run


def test_the_text_names_the_faults_and_the_conclusion() -> None:
    text = render(diagnosis(ext4="gap"))
    assert re.search(r"^GAP  san\.lose +cannot: ext4$", text, re.MULTILINE)
    assert re.search(r"^ok   process\.kill +can be done$", text, re.MULTILINE)
    assert text.endswith("The minimal stack cannot run here: ext4.")
    assert render(diagnosis()).endswith("The minimal stack can run here.")


def test_the_document_is_json_with_a_remedy_for_every_gap() -> None:
    document = json.loads(json.dumps(to_document(diagnosis(fuse="gap"))))
    assert document["can_run"] is False
    assert document["missing"] == ["fuse"]
    gaps = [finding for finding in document["findings"] if finding["state"] == "gap"]
    assert gaps == [{"name": "fuse", "state": "gap", "value": "seen", "remedy": "mend fuse"}]
    assert {"name": "process.kill", "possible": True, "missing": []} in document["faults"]

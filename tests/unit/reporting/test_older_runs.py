"""Run folders of an earlier version are judged as they were, and shown: verdict, counts, classes, copies, roles."""

from __future__ import annotations

import json
import lzma
import shutil
from pathlib import Path

import pytest

from chaos import judge_again
from chaos.reporting.page.file import write_report

KEPT = sorted((Path(__file__).parent / "older").iterdir())
"""Plan, history and the result that it had then, of four trials before facts stood in fields (2026-11)."""


def unpacked(kept: Path, folder: Path) -> Path:
    shutil.copy(kept / "plan.yaml", folder)
    (folder / "history.jsonl").write_bytes(lzma.decompress((kept / "history.jsonl.xz").read_bytes()))
    return folder


@pytest.mark.parametrize("kept", KEPT, ids=lambda kept: kept.name)
def test_an_older_run_has_the_verdict_the_counts_and_the_classes_that_it_had(kept: Path, tmp_path: Path) -> None:
    then = json.loads((kept / "result.json").read_text())
    now = judge_again(unpacked(kept, tmp_path))
    assert now.judgement is not None
    assert (now.verdict, dict(now.judgement.anomalies)) == (then["verdict"], then["anomalies"])
    assert dict(now.judgement.operations) == then["operations"]
    assert {"covered": now.judgement.covered, "coverable": now.judgement.coverable} == then["covered"]


@pytest.mark.parametrize("kept", KEPT, ids=lambda kept: kept.name)
def test_the_page_of_an_older_run_still_tells_its_faults_copies_and_roles(kept: Path, tmp_path: Path) -> None:
    result = judge_again(unpacked(kept, tmp_path))
    write_report(result)
    page = (tmp_path / "report.html").read_text()
    assert result.verdict in page
    assert all(fault.name in page for fault in result.faults)
    if kept.name == "sidekick_2009":
        assert "all on the one array core" in page
        assert "primary then: pg" in page
        assert "struck by san.lose" in page

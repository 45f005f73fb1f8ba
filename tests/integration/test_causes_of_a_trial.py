"""Photos that are larger than the service takes: the trial tells why, and how often."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from chaos.reporting.block import verdict_block
from tests.integration.plans import SMALL, plan_of, reasons, run_one

pytestmark = pytest.mark.engine


def test_a_limit_of_the_service_that_photos_exceed_is_told_with_its_count_on_terminal_page_and_document(
    tmp_path: Path,
) -> None:
    size = (8 << 20) + 1
    load = replace(SMALL, operations=80, photos=0.4, photo_bytes_min=size, photo_bytes_max=size, resets=0)
    load = replace(load, request_seconds_max=8.0)
    result = run_one(plan_of(workload=load), tmp_path)
    (cause,) = (each for each in result.causes.listed if "413" in each.text)
    assert cause.attempts >= 3, reasons(result)
    assert (cause.of, cause.outcome) == ("write", "info")
    assert any("413" in line and f"{cause.attempts:,} write info" in line for line in verdict_block(result))
    document = json.loads((result.run_dir / "result.json").read_text())
    assert asdict(cause) in document["causes"]
    history = (result.run_dir / "history.jsonl").read_text()
    assert sum('"outcome":"info"' in line and ": 413 " in line for line in history.splitlines()) == cause.attempts

"""`holdfast search`: what an audit expects is tried first, found, made smaller, kept with a test, and gone on with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from chaos.errors import EXIT_USAGE, EXIT_VIOLATED
from tests.integration.command import holdfast

pytestmark = pytest.mark.engine

ROOT = Path(__file__).resolve().parents[2]


def test_what_is_acknowledged_from_the_page_cache_is_expected_found_made_smaller_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "cached.yaml"
    file.write_text(
        f"""
experiment: cached
why: nobody says that a power cut shows it
stack: {ROOT / "fixtures" / "minimal" / "compose.yaml"}
variables: {{PG_FSYNC: "off"}}
workload: {{users: 4, devices_per_user: 2, operations: 80, rate_per_second: 100, photos: 0, resets: 0}}
search: {{faults: ["process.*", disk.power_cut], events: 2}}
checks: {{minimum_acknowledged: 20}}
"""
    )
    some = ("--guided", "--trials", "1", "--shrink", "2", "--seed", "3", "--json")
    first = holdfast("search", file, *some, cwd=tmp_path, seconds_max=600.0)  # a dozen trials
    assert first.code == EXIT_VIOLATED, first.stderr
    assert "acknowledged before they were flushed anywhere" in first.stderr
    folder = tmp_path / first.document["folder"]
    [found] = first.document["counterexamples"]
    assert found["schedule"][0].startswith("disk.power_cut core"), found
    assert (len(found["schedule"]), found["confirmed"], found["executions"]) == (1, 3, 2)
    assert found["came_again"] >= 4

    [test] = (tmp_path / found["folder"]).glob("test_*.py")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "1 failed" in ran.stdout
    assert "are lost" in ran.stdout

    on = holdfast("search", folder, "--guided", "--trials", "1", "--shrink", "0", "--json", cwd=tmp_path)
    assert on.document["trials"] == 1, on.stderr
    assert on.document["tried"][0] == first.document["tried"][0], "it was not tried again"
    assert on.document["counterexamples"] == [found]

    assert holdfast("search", tmp_path, cwd=tmp_path).code == EXIT_USAGE

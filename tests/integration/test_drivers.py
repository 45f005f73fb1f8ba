"""What the author of a driver is told, on the real stack: its defects, who blocks, and `holdfast driver-test`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.errors import EXIT_HARNESS, EXIT_HELD, EXIT_VIOLATED
from chaos.experiment.loader import write_plan
from chaos.history.reader import read_history
from tests.integration.command import holdfast
from tests.integration.plans import ROOT, plan_of
from tests.unit.workload.honest_drivers import BLOCKED_SECONDS

pytestmark = pytest.mark.engine
DRIVERS = ROOT / "tests" / "unit" / "workload"
AT_ONCE_SECONDS = 10.0
"""A busy machine takes some; what is not told at once takes 60."""


def written(driver: str, folder: Path) -> None:
    """A plan with this driver, as `plan.yaml` in a folder."""
    plan = plan_of(driver=driver, driver_folder=DRIVERS)
    write_plan(replace(plan, workload=replace(plan.workload, request_seconds_max=5.0)), folder / "plan.yaml")


def test_a_defect_of_the_driver_is_told_at_once_with_its_line_and_the_run_is_where_latest_points(
    tmp_path: Path,
) -> None:
    written("honest_drivers:MisspellsAField", tmp_path)
    outcome = holdfast("run", "plan.yaml", "--json", cwd=tmp_path)
    assert outcome.code == EXIT_HARNESS
    reason = outcome.document["reason"]
    assert reason.startswith("driver honest_drivers:MisspellsAField: KeyError: 'servd_by', honest_drivers.py:")
    run = tmp_path / outcome.document["run_dir"]
    assert (tmp_path / "reports" / "runs" / "latest").resolve() == run.resolve()
    assert json.loads((run / "error.json").read_text())["reason"] == reason
    assert f"report: {outcome.document['run_dir']}/report.html" in outcome.stderr
    events = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    begun = next(event["t"] for event in events if event.get("name") == "canaries")
    assert (events[-1]["t"] - begun) / 1e9 < AT_ONCE_SECONDS


@pytest.mark.long
def test_a_driver_that_blocks_for_longer_than_the_agent_waits_ends_no_trial_and_is_named(tmp_path: Path) -> None:
    written("honest_drivers:BlocksOnce", tmp_path)
    outcome = holdfast("run", "plan.yaml", "--json", cwd=tmp_path)
    assert outcome.code == EXIT_HELD, outcome.document["reason"]
    history = read_history(tmp_path / outcome.document["run_dir"] / "history.jsonl")
    (stalled,) = [note.text for note in history.notes if note.topic == "stalled"]
    assert "honest_drivers.py:" in stalled
    assert float(stalled.split(" for ")[1].split()[0]) >= BLOCKED_SECONDS - 1


def test_driver_test_finds_the_reference_driver_ok_in_seconds(tmp_path: Path) -> None:
    written("http", tmp_path)
    outcome = holdfast("driver-test", "plan.yaml", "--json", cwd=tmp_path)
    assert outcome.code == EXIT_HELD, outcome.stderr
    assert {check["outcome"] for check in outcome.document["checks"]} == {"ok"}
    assert not (tmp_path / "reports").exists()


def test_driver_test_tells_what_is_wrong_and_what_to_do(tmp_path: Path) -> None:
    written("bad_drivers:Tidies", tmp_path)
    outcome = holdfast("driver-test", "plan.yaml", "--json", cwd=tmp_path)
    assert outcome.code == EXIT_VIOLATED
    wrong = [check for check in outcome.document["checks"] if check["outcome"] == "wrong"]
    assert [(each["check"], bool(each["remedy"])) for each in wrong] == [("everything shows what was put", True)]

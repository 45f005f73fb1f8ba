"""A trial runs again from its run folder, copied to where its project is not; and several trials draw anew."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from chaos.errors import EXIT_HELD, EXIT_USAGE, EXIT_VIOLATED
from chaos.experiment.loader import load_plan
from chaos.faults import catalogue
from tests.integration.command import holdfast
from tests.integration.plans import ROOT

pytestmark = pytest.mark.engine
EXPERIMENT = """\
experiment: again
stack: ../fixtures/minimal/compose.yaml
workload: {users: 6, operations: 300, rate_per_second: 300, photos: 0}
checks: {require_mix: false, minimum_acknowledged: 50}
schedule:
  - fault: disk.power_cut
    target: {array: core}
    at: {acknowledged: [120, 200]}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of its own, which can be deleted."""
    (tmp_path / "project/experiments").mkdir(parents=True)
    for name in ("minimal", "images"):
        shutil.copytree(ROOT / "fixtures" / name, tmp_path / "project/fixtures" / name)
    file = tmp_path / "project/experiments/again.yaml"
    file.write_text(EXPERIMENT)
    return file


def test_a_trial_that_lost_records_loses_them_again_from_a_copied_run_folder(project: Path, tmp_path: Path) -> None:
    """The value that loses them came from the environment, so that it is asked for again."""
    first = holdfast("run", project, "--seed", "3", "--json", cwd=tmp_path, environment={"PG_FSYNC": "off"})
    assert first.code == EXIT_VIOLATED, first.stderr
    copy = tmp_path / "elsewhere"
    shutil.copytree(tmp_path / first.document["run_dir"], copy)
    shutil.rmtree(project.parents[1])
    shutil.rmtree(tmp_path / "reports")

    refused = holdfast("run", copy / "plan.yaml", "--json", cwd=tmp_path)
    assert refused.code == EXIT_USAGE
    assert "variable PG_FSYNC: set it" in refused.stderr

    again = holdfast("run", copy / "plan.yaml", "--json", cwd=tmp_path, environment={"PG_FSYNC": "off"})
    assert again.code == EXIT_VIOLATED, again.stderr
    warnings = [line for line in again.stderr.splitlines() if "warning" in line]
    assert ["db has fsync=off" in line for line in warnings] == [True], "and none of what has changed"
    assert (again.document["images"], again.document["seed"]) == (first.document["images"], 3)

    other = holdfast("run", copy / "plan.yaml", "--json", cwd=tmp_path, environment={"PG_FSYNC": "on"})
    assert other.code == EXIT_HELD, other.stderr
    assert "warning: variable PG_FSYNC has another value than in the run" in other.stderr


@pytest.mark.long
def test_a_driver_of_the_projects_own_is_in_the_run_folder(project: Path, tmp_path: Path) -> None:
    (project.parent / "own_driver.py").write_text("from own_base import Base\n\n\nclass Own(Base):\n    pass\n")
    (project.parent / "own_base.py").write_text("from chaos.workload.drivers.http import HttpSession as Base\n")
    with project.open("a") as file:
        file.write("driver: own_driver:Own\n")
    first = holdfast("run", project, "--seed", "3", "--json", cwd=tmp_path)
    assert first.code == EXIT_HELD, first.stderr
    copy = tmp_path / "elsewhere"
    shutil.move(tmp_path / first.document["run_dir"], copy)
    shutil.rmtree(project.parents[1])
    again = holdfast("run", copy / "plan.yaml", "--json", cwd=tmp_path)
    assert again.code == EXIT_HELD, again.stderr
    assert "warning" not in again.stderr


@pytest.mark.long
def test_every_trial_strikes_where_validate_says_that_its_seed_does(project: Path, tmp_path: Path) -> None:
    drawn = holdfast("validate", project, "--seed", "3", "--times", "2", "--json", cwd=tmp_path).document["plans"]
    done = holdfast("run", project, "--seed", "3", "--times", "2", "--json", cwd=tmp_path)
    assert done.code == EXIT_HELD, done.stderr
    ran = [load_plan(tmp_path / trial["run_dir"] / "plan.yaml", catalogue()) for trial in done.document["trials"]]
    assert [plan.seed for plan in ran] == [3, 4]
    struck = [plan.schedule[0].at.acknowledged for plan in ran]
    assert struck == [plan["schedule"][0]["at"]["acknowledged"] for plan in drawn]
    assert struck[0] != struck[1]

    plan = tmp_path / done.document["trials"][1]["run_dir"] / "plan.yaml"
    again = holdfast("run", plan, "--times", "2", "--json", cwd=tmp_path)
    assert again.code == EXIT_HELD, again.stderr
    assert [trial["seed"] for trial in json.loads(again.stdout)["trials"]] == [4, 4]

"""`holdfast explore`: an unsafe setting is found in every state that shows it, a safe one in none."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.errors import EXIT_HELD, EXIT_USAGE, EXIT_VIOLATED
from tests.integration.command import holdfast

pytestmark = pytest.mark.engine

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"


def test_an_unsafe_setting_is_found_kept_as_a_run_and_repeated_and_the_exploration_goes_on(tmp_path: Path) -> None:
    file = EXPERIMENTS / "power_cut_fsync_off.yaml"
    first = holdfast("explore", file, "--points", "2", "--seed", "1", "--json", cwd=tmp_path)
    assert first.code == EXIT_VIOLATED, first.stderr
    found = first.document
    assert (found["checked"], found["violated"], found["undecided"]) == (2, 2, 0)
    assert found["boundaries"] > 20
    assert found["acknowledged"] > 500
    folder = Path(found["folder"])

    on = holdfast("explore", folder, "--points", "3", "--json", cwd=tmp_path)
    assert (on.code, on.document["checked"]) == (EXIT_VIOLATED, 3), on.stderr
    assert on.document["states"][0] in found["states"], "it was not checked again"

    again = holdfast("check", folder / "violation", "--json", cwd=tmp_path)
    assert (again.code, again.document["reason"]) == (EXIT_VIOLATED, on.document["earliest"]["why"]), again.stderr
    assert "disk.power_cut" in again.document["reason"]

    repeated = holdfast("run", folder / "violation" / "plan.yaml", "--json", cwd=tmp_path)
    assert repeated.code == EXIT_VIOLATED, repeated.stderr

    assert holdfast("explore", tmp_path, cwd=tmp_path).code == EXIT_USAGE


def test_a_safe_setting_keeps_everything_in_every_state(tmp_path: Path) -> None:
    """Also where a part of what is not flushed survives."""
    file = tmp_path / "few.yaml"
    file.write_text(
        f"""
experiment: few
why: a handful of operations
stack: {EXPERIMENTS.parent / "fixtures" / "minimal" / "compose.yaml"}
workload: {{users: 2, devices_per_user: 2, operations: 12, resets: 0}}
schedule: []
checks: {{minimum_acknowledged: 5}}
"""
    )
    done = holdfast("explore", file, "--points", "10", "--subsets", "9", "--jobs", "3", "--json", cwd=tmp_path)
    assert done.code == EXIT_HELD, done.stderr + done.stdout
    assert (done.document["checked"], done.document["violated"], done.document["undecided"]) == (10, 0, 0)

"""What several trials need before there is an engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.errors import HarnessError
from chaos.experiment.plan import Checks, Limits, Plan, Workload
from chaos.trials import run_trials

MINIMAL = Path(__file__).parents[2] / "fixtures/minimal/compose.yaml"


@pytest.mark.parametrize("place", ["file/runs", "/sys/runs"])
def test_a_run_folder_that_cannot_be_made_is_an_error_with_the_remedy(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("no folder")
    plan = Plan("x", "", (MINIMAL,), 1, Workload(), (), Checks(), Limits())
    with pytest.raises(
        HarnessError, match=r"the run folder .*runs.* cannot be made: .*; run from a folder that you may"
    ):
        run_trials([plan], runs=tmp_path / place)

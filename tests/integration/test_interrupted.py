"""Ctrl-C and SIGTERM in every phase: the shell's exit code, a document without a verdict, and a clean host."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.errors import EXIT_SIGINT, EXIT_SIGTERM
from chaos.experiment.loader import write_plan
from tests.integration.command import running
from tests.integration.plans import CORE, plan_of, strike
from tests.residue import of_run

pytestmark = pytest.mark.engine
END_SECONDS_MAX = 10.0

LINE_BEFORE = {
    "reset": "image of gateway",
    "load": "canaries",
    "fault": "disk.power_cut core injected",
    "recover": "heal ",
    "door 1": "converge",
    "cold restart": "door 2",
}
"""The last line that is said before a phase begins."""


@pytest.fixture(autouse=True)
def not_in_the_background() -> Iterator[None]:
    """A shell lets what it starts with `&` ignore SIGINT, and every child of it too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("phase", LINE_BEFORE)
def test_a_signal_in_any_phase_ends_the_run_and_leaves_nothing(phase: str, tmp_path: Path) -> None:
    folders = [tmp_path / "interrupted", tmp_path / "terminated"]
    for folder in folders:
        folder.mkdir()
        write_plan(plan_of(strike("disk.power_cut", CORE)), folder / "plan.yaml")
    interrupted, terminated = folders
    # both at once: two runs do not disturb each other, and the test takes half the time
    with (
        running("run", "plan.yaml", "--json", cwd=interrupted) as one,
        running("run", "plan.yaml", "--json", cwd=terminated) as other,
    ):
        one.wait_until_it_says(LINE_BEFORE[phase])
        one.interrupt()
        other.wait_until_it_says(LINE_BEFORE[phase])
        other.terminate()
        ends = [(one.end(), EXIT_SIGINT, "SIGINT"), (other.end(), EXIT_SIGTERM, "SIGTERM")]
    for outcome, code, name in ends:
        assert outcome.code == code, outcome.stderr
        assert outcome.document["verdict"] is None
        assert outcome.document["exit_code"] == code
        assert name in outcome.document["reason"]
        assert "Traceback" not in outcome.stderr
        assert outcome.seconds < END_SECONDS_MAX
        assert not of_run(outcome.run_id)

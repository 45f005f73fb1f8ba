"""Hypothesis strategies for plans, for property tests of one's own: `from chaos import plans`.

    @plans.trials(20)
    @given(plans.of("experiments/orders.yaml"))
    def test_no_order_is_lost(plan: plans.Drawn) -> None:
        assert plans.run(plan).verdict != "VIOLATED"

What is drawn is a schedule of faults with all its parameters, and a seed for each user, from which follows what that
user does. Hypothesis keeps what failed in its database of examples, and tries it first the next time.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase

from chaos.experiment.loader import write_plan
from chaos.experiment.plan import ACTIONS_FILE
from chaos.preflight.opening import open_experiment
from chaos.reporting.page.file import HtmlReport
from chaos.reporting.result import PLAN_FILE, TrialResult
from chaos.search.strategies import Drawn, drawn_plans
from chaos.stack.cleanup.sweep import sweep
from chaos.trials import run_trials
from chaos.workload.actions import write_actions

__all__ = ["Drawn", "of", "run", "trials"]

RUNS: Final = Path("reports/runs")
EXAMPLES: Final = Path(".hypothesis/holdfast")
"""The database of examples; Hypothesis's own is left alone."""


def of(file: Path | str) -> st.SearchStrategy[Drawn]:
    """Plans of an experiment: its stack and workload, its own faults, and others that are drawn.

    Raises:
        UsageError: The experiment cannot be run, or no fault that may be drawn can strike its stack.
    """
    opened = open_experiment(Path(file), 0)
    return drawn_plans(opened.plans[0], opened.stack)


def trials(count: int) -> settings:
    """The settings of a property test that runs so many trials; a trial takes seconds, and is not made smaller.

    `holdfast search` makes a finding smaller with fewer trials than Hypothesis would take.
    """
    return settings(
        max_examples=count,
        deadline=None,
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
        database=DirectoryBasedExampleDatabase(EXAMPLES),
        suppress_health_check=[*HealthCheck],
        print_blob=True,
    )


def run(plan: Drawn | Path | str, *, runs: Path = RUNS) -> TrialResult:
    """Run one trial, of what was drawn or of a plan's file, on a stack copy of its own; its folder is kept in `runs`.

    Raises:
        UsageError: The plan cannot be run.
        HarnessError: Anything but the service failed; there is no verdict.
    """
    sweep(all_=False)
    with tempfile.TemporaryDirectory(prefix="holdfast-plan-") as folder:
        file = written(plan, Path(folder)) if isinstance(plan, Drawn) else Path(plan)
        return run_trials(open_experiment(file).plans, runs=runs, listeners=[HtmlReport()])[0]


def written(drawn: Drawn, folder: Path) -> Path:
    """Write what was drawn as a plan with its actions into a folder, and return the plan's file."""
    write_actions(drawn.actions, folder / ACTIONS_FILE)
    write_plan(replace(drawn.plan, actions=folder / ACTIONS_FILE), folder / PLAN_FILE)
    return folder / PLAN_FILE

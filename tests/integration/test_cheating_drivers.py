"""A driver that answers the final reads from what it remembers, on a stack that loses nothing: never HELD."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

import pytest

from chaos.errors import EXIT_HARNESS, EXIT_INCONCLUSIVE, EXIT_VIOLATED
from chaos.experiment.loader import write_plan
from tests.integration.command import Outcome, running
from tests.integration.plans import ROOT, plan_of

pytestmark = pytest.mark.engine
CHEATS = ("WrittenBySession", "WrittenByProcess", "ReadOncePerSession", "ReadOncePerProcess")
DRIVERS = ROOT / "tests" / "unit" / "workload"
READY_SECONDS_MAX = 20.0
"""So long the trial waits for a full read to show what it knows to be there."""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """How a run with each of them ended; all at once, since they mostly wait."""
    with ExitStack() as stack:
        commands = {}
        for cheat in CHEATS:
            plan = plan_of(driver=f"cheating_drivers:{cheat}", driver_folder=DRIVERS)
            plan = replace(plan, limits=replace(plan.limits, ready_seconds_max=READY_SECONDS_MAX))
            folder = tmp_path_factory.mktemp(cheat)
            write_plan(plan, folder / "plan.yaml")
            commands[cheat] = stack.enter_context(running("run", "plan.yaml", "--json", cwd=folder))
        return {cheat: command.end() for cheat, command in commands.items()}


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_driver_that_reads_from_its_own_memory_never_leads_to_held(cheat: str, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[cheat]
    assert outcome.code in (EXIT_VIOLATED, EXIT_INCONCLUSIVE, EXIT_HARNESS), outcome.stderr
    assert outcome.document["verdict"] != "HELD"
    if outcome.code == EXIT_HARNESS:  # what the trial itself has written is not what the driver reads
        assert "canary" in outcome.document["reason"]

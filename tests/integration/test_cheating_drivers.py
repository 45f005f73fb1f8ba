"""A driver that answers the final reads from elsewhere, on a stack that loses nothing: never HELD."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.errors import EXIT_HARNESS, EXIT_HELD, EXIT_INCONCLUSIVE, EXIT_VIOLATED
from chaos.experiment.loader import write_plan
from tests.integration.command import Outcome, running
from tests.integration.plans import ROOT, plan_of
from tests.unit.workload import elsewhere_drivers

pytestmark = pytest.mark.engine
CHEATS = ("WrittenBySession", "WrittenByProcess", "ReadOncePerSession", "ReadOncePerProcess")
ELSEWHERE = ("Shelf", "SharedMemory", "SqliteAtHome", "Module", "EverySecondOwner", "OnlyKnocks", "SyncsElsewhere")
HONEST = ("OneConnectionForAll", "OneConnectionEach")
DRIVERS = ROOT / "tests" / "unit" / "workload"
READY_SECONDS_MAX = 20.0
"""So long the trial waits for a full read to show what it knows to be there."""
AT_ONCE = 4


def started(names: list[str], folders: Path) -> dict[str, Outcome]:
    """How a run with each of these drivers ended; some at once, since they mostly wait."""
    outcomes: dict[str, Outcome] = {}
    for begin in range(0, len(names), AT_ONCE):
        with ExitStack() as stack:
            commands = {}
            for name in names[begin : begin + AT_ONCE]:
                plan = plan_of(driver=name, driver_folder=DRIVERS)
                plan = replace(plan, limits=replace(plan.limits, ready_seconds_max=READY_SECONDS_MAX))
                folder = folders / name.replace(":", "-")
                folder.mkdir()
                write_plan(plan, folder / "plan.yaml")
                environment = {"SHELF": str(folder)}
                commands[name] = stack.enter_context(
                    running("run", "plan.yaml", "--json", cwd=folder, environment=environment)
                )
            outcomes |= {name: command.end() for name, command in commands.items()}
    return outcomes


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Outcome]]:
    """Of every driver, by its name."""
    names = [f"cheating_drivers:{each}" for each in CHEATS]
    names += [f"elsewhere_drivers:{each}" for each in ELSEWHERE]
    names += [f"honest_drivers:{each}" for each in HONEST]
    yield started(names, tmp_path_factory.mktemp("drivers"))
    shutil.rmtree(elsewhere_drivers.SharedMemory.place, ignore_errors=True)
    (Path.home() / f"{elsewhere_drivers.SHELF.name}.sqlite").unlink(missing_ok=True)


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_driver_that_reads_from_its_own_memory_never_leads_to_held(cheat: str, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[f"cheating_drivers:{cheat}"]
    assert outcome.code in (EXIT_VIOLATED, EXIT_INCONCLUSIVE, EXIT_HARNESS), outcome.stderr
    assert outcome.document["verdict"] != "HELD"
    if outcome.code == EXIT_HARNESS:  # what the trial itself has written is not what the driver reads
        assert "canary" in outcome.document["reason"]


@pytest.mark.parametrize("cheat", ELSEWHERE)
def test_a_driver_that_reads_what_phones_and_readers_share_never_leads_to_held(
    cheat: str, outcomes: dict[str, Outcome]
) -> None:
    name = f"elsewhere_drivers:{cheat}"
    outcome = outcomes[name]
    assert outcome.code in (EXIT_INCONCLUSIVE, EXIT_HARNESS), outcome.stderr
    if outcome.code == EXIT_HARNESS:
        assert name in outcome.document["reason"]
    else:
        assert outcome.document["anomalies"]["not-asked"] > 0
        assert "were read without asking the service" in outcome.document["reason"]


@pytest.mark.parametrize("honest", HONEST)
def test_an_honest_driver_is_held_whatever_its_connections_look_like(honest: str, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[f"honest_drivers:{honest}"]
    assert outcome.code == EXIT_HELD, outcome.document["reason"]

"""Searches of the zoo: what counts as found and as an alarm, and what a later session goes on with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from chaos.experiment.loader import load
from chaos.faults import catalogue
from chaos.stack.compose.load import load_stack
from tests.zoo import sought as seeking
from tests.zoo.__main__ import main
from tests.zoo.results import Results
from tests.zoo.table import Variant, beside, table
from tests.zoo.telling import rows

VARIANTS = table()


def _tried(number: int, outcome: str, *classes: str) -> dict[str, Any]:
    anomalies = dict.fromkeys(classes, 1)
    return {"number": number, "outcome": outcome, "anomalies": anomalies, "schedule": ["process.kill db", "a"]}


SMALL = {"seconds": 5.0, "schedule": ["process.kill db"], "executions": 9, "came_again": 5, "measured": 5}
CLEAN = {"tried": [_tried(1, "HELD")], "trials": 1, "conclusive": 1, "counterexamples": []}
LOST = {"tried": [_tried(2, "VIOLATED", "lost"), _tried(1, "HELD")], "counterexamples": [SMALL]}
OTHER = {"tried": [_tried(1, "VIOLATED", "duplicated")], "counterexamples": []}


class Searches:
    """Stands in the place of `holdfast search`."""

    def __init__(self) -> None:
        self.variant: dict[str, Any] = LOST
        self.twin: dict[str, Any] = CLEAN
        self.trouble = ""
        self.asked: list[str] = []

    def __call__(
        self, variant: Variant, experiment: Mapping[str, Any], seed: int, jobs: int, options: Sequence[str]
    ) -> tuple[dict[str, Any], float, str]:
        self.asked.append(experiment["experiment"])
        found = self.twin if experiment["experiment"].endswith("_fixed") else self.variant
        return ({}, 60.0, self.trouble) if self.trouble else ({**found}, 60.0, "")


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> Searches:
    found = Searches()
    monkeypatch.setattr(seeking, "_search", found)
    return found


def test_a_search_counts_trials_up_to_the_finding_and_leaves_out_the_time_of_making_it_smaller(
    searches: Searches, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", "fsync_off", "--results", str(tmp_path)]) == 0
    [found] = Results(tmp_path).sought.values()
    assert (found.trials, found.seconds, found.events, found.executions) == (2, 55.0, 1, 9)
    assert "guided: 1 of 1 found, 1 with the class of the table" in capsys.readouterr().out
    [*_, row] = rows(VARIANTS.values(), Results(tmp_path))
    assert row == "| `fsync_off` | guided | `lost` | 2 | 0.9 | 1 | 9 | 5 of 5 | 0 of 1 |"


@pytest.mark.parametrize(("variant", "twin"), [(CLEAN, CLEAN), (LOST, LOST), (OTHER, OTHER)])
def test_nothing_found_and_an_alarm_in_the_twin_are_misses(
    searches: Searches, tmp_path: Path, variant: dict[str, Any], twin: dict[str, Any]
) -> None:
    searches.variant, searches.twin = variant, twin
    assert main(["search", "fsync_off", "--results", str(tmp_path)]) == 1


def test_a_bug_that_is_found_with_another_class_is_found_and_that_is_told(
    searches: Searches, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    searches.variant = OTHER
    assert main(["search", "fsync_off", "--results", str(tmp_path)]) == 0
    assert "guided: 1 of 1 found, 0 with the class of the table" in capsys.readouterr().out


def test_a_later_session_goes_on_with_what_is_left_and_with_what_broke_off(searches: Searches, tmp_path: Path) -> None:
    given = ["search", "fsync_off", "evicted", "--results", str(tmp_path)]
    assert main([*given, "--minutes", "0"]) == 1
    assert searches.asked == []
    searches.trouble = "exit 3: no engine"
    assert main(given) == 1
    searches.trouble = ""
    assert main(given) == 0
    asked = len(searches.asked)
    assert main(given) == 0
    assert len(searches.asked) == asked == 8


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_a_twin_is_searched_in_the_space_of_its_variant(variant: Variant) -> None:
    with beside(variant, variant.sought_in_twin) as file:
        plan = load(file, 1, catalogue())
    assert (plan.schedule, plan.expect) == ((), "HELD")
    assert variant.sought_in_twin.items() >= variant.space.items()
    load_stack(plan.stack, plan.variables, plan.profiles, {})


@pytest.mark.parametrize("twin", [{}, {"tried": [_tried(1, "INCONCLUSIVE")], "trials": 1, "conclusive": 0}])
def test_a_twin_of_which_nothing_was_proven_is_not_as_it_must_be(
    searches: Searches, tmp_path: Path, twin: dict[str, Any]
) -> None:
    searches.twin = twin
    command = ["search", "fsync_off", "--results", str(tmp_path)]
    assert main(command) == 1
    searches.twin = CLEAN
    assert main(command) == 0, "it is tried again"

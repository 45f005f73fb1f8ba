"""The table of the zoo: whoever runs it, or searches in it, can rely on its form."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaos.checks.classes import OF_SESSIONS, VIOLATING
from chaos.experiment.loader import load
from chaos.faults import catalogue
from chaos.stack.compose.load import load_stack
from tests.zoo import shown as showing
from tests.zoo.__main__ import main
from tests.zoo.table import Variant, beside, table, write

ROOT = Path(__file__).parents[2]
VARIANTS = table()
EACH = pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
SYNCSTACK_MAX = 6


@EACH
def test_a_variant_has_a_story_and_a_class_that_violates(variant: Variant) -> None:
    plan = load(variant.experiment, 1, catalogue())
    assert plan.expect == "VIOLATED"
    assert len(plan.why) > 100
    assert variant.anomaly in (OF_SESSIONS if plan.checks.sessions == "strict" else VIOLATING)


@EACH
def test_a_twin_differs_in_its_fix_alone_and_its_stack_can_be_loaded(variant: Variant) -> None:
    shown = load(variant.experiment, 1, catalogue())
    with beside(variant, variant.twin) as file:
        twin = load(file, 1, catalogue())
    assert twin.expect == "HELD"
    assert (twin.schedule, twin.workload) == (shown.schedule, shown.workload)
    assert replace(twin.checks, require_mix=True) == replace(shown.checks, require_mix=True)
    assert (twin.stack, twin.variables) != (shown.stack, shown.variables)
    for plan in (shown, twin):
        load_stack(plan.stack, plan.variables, plan.profiles, {})


def test_no_two_variants_are_made_by_the_same_settings_and_few_need_the_whole_stack() -> None:
    made = [(str(v.shown["stack"]), str(v.shown.get("variables"))) for v in VARIANTS.values()]
    assert len(set(made)) == len(made) >= 16
    assert sum("syncstack" in stack for stack, _ in made) <= SYNCSTACK_MAX


def test_what_is_looked_for_has_no_schedule_and_its_space_tells_nothing_of_the_bug(tmp_path: Path) -> None:
    write(list(VARIANTS.values()), tmp_path)
    for name, variant in VARIANTS.items():
        plan = load(tmp_path / f"{name}.yaml", 1, catalogue())
        assert (plan.schedule, plan.variables) == ((), variant.shown.get("variables", {}))
    keys = {"workload", "checks", "driver", "limits", "search"}
    assert {key for variant in VARIANTS.values() for key in variant.space} <= keys
    assert len({str(variant.space["search"]["faults"]) for variant in VARIANTS.values()}) == 1


def _trial(verdict: str, *anomalies: str) -> dict[str, Any]:
    return {"verdict": verdict, "anomalies": dict.fromkeys(anomalies, 1)}


def test_a_loss_of_another_class_and_a_twin_that_is_not_held_are_missed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = {"shown": _trial("VIOLATED", "lost"), "twin": _trial("HELD")}

    def documents(file: Path, first_seed: int, seeds: int, jobs: int) -> tuple[list[dict[str, Any]], str]:
        return [trials["twin" if file.name.startswith(".zoo-") else "shown"]] * seeds, ""

    monkeypatch.setattr(showing, "documents", documents)
    assert main(["show", "fsync_off"]) == 0
    trials["shown"] = _trial("VIOLATED", "duplicated")
    assert main(["show", "fsync_off"]) == 1
    trials["shown"], trials["twin"] = _trial("VIOLATED", "duplicated", "lost"), _trial("INCONCLUSIVE")
    assert main(["show", "fsync_off"]) == 1
    assert main(["show", "no_such_name"]) == 1
    assert "missed: fsync_off" in capsys.readouterr().out


def test_the_page_has_every_variant_with_its_class() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\| `([\w-]+)` \|", (ROOT / "docs" / "zoo.md").read_text(), re.MULTILINE)
    assert rows == [(name, variant.anomaly) for name, variant in VARIANTS.items()]

"""The experiments that come with Holdfast, held against the real faults and their own stacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.experiment.files import is_experiment
from chaos.experiment.loader import load, load_plan, write_plan
from chaos.faults import catalogue
from chaos.preflight.preview import warnings
from chaos.preflight.targets import check_targets
from chaos.stack.compose import load_stack

FOLDER = Path(__file__).parents[3] / "experiments"
FILES = sorted(path for path in FOLDER.rglob("*.yaml") if is_experiment(path))


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_it_loads_with_its_stack_and_its_plan_reads_back(file: Path, tmp_path: Path) -> None:
    plan = load(file, 4711, catalogue())
    stack = load_stack(plan.stack, plan.variables, plan.profiles, {})
    check_targets(plan, stack, file)
    write_plan(plan, tmp_path / "plan.yaml")
    assert load_plan(tmp_path / "plan.yaml", catalogue()) == plan


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_the_readme_says_what_it_is_expected_to_give(file: Path) -> None:
    plan = load(file, 1, catalogue())
    (row,) = [
        line
        for line in (FOLDER / "README.md").read_text(encoding="utf-8").splitlines()
        if line.startswith(f"| `{file.relative_to(FOLDER)}` |")
    ]
    assert row.endswith(f"| {plan.expect} |")
    assert plan.why


def test_only_stacks_with_all_on_one_array_have_a_common_cause() -> None:
    for file in FILES:
        plan = load(file, 1, catalogue())
        stack = load_stack(plan.stack, plan.variables, plan.profiles, {})
        said = [line for line in warnings(plan, stack) if "one failure takes them" in line]
        names = {path.name for path in plan.stack}
        one_copy = (len(plan.stack) == 1 and plan.stack[0].parent.name == "incident") or "busy-pages.yaml" in names
        shared = "one-array.yaml" in names  # the others have two LUNs of one server
        assert bool(said) == (one_copy or shared), file

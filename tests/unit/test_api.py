"""The public names: what `from chaos import ...` has, its page, and that it does not change by accident."""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import chaos
from chaos.faults import registry

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "api.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.M | re.S)

PUBLIC = """
    Ack Changes ConnectedSession Copy DriverOptions Evidence Fault FrontDoor HarnessError HoldfastError LiveMedium
    Medium Missing NotNow Opened ParameterInfo PlainSession Plan Record Refused ScheduledFault Session SourceError
    Strike Surroundings Target TargetForm TrialResult Trigger UsageError Workload WriteId fault judge_again
    open_experiment plans property run_trials send_once
"""


def test_the_public_names_are_these_and_no_others() -> None:
    """Taking one away breaks other people's drivers, tests and plugins: that needs a note in the changelog."""
    assert chaos.__all__ == PUBLIC.split()
    assert sorted(chaos._HOME) == chaos.__all__


@pytest.mark.parametrize("name", chaos.__all__)
def test_a_public_name_is_there_and_documented_with_an_example(name: str) -> None:
    assert getattr(chaos, name) is not None
    assert re.search(rf"^\| .*`{name}`.* \|", PAGE.read_text(), re.M), f"{PAGE.name} has no row for {name}"
    if name not in ("Copy", "Opened", "Session", "TrialResult", "Refused"):
        assert any(re.search(rf"\b{name}\b", block) for block in BLOCKS), f"{PAGE.name} has no example of {name}"


def test_another_name_is_refused_with_where_the_names_are() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'nonsense'; `holdfast docs api` has its public names"):
        _ = chaos.nonsense


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    known = dict(registry.known_faults())
    with monkeypatch.context() as patch:
        patch.setattr(registry, "_FAULTS", known)
        yield


@pytest.mark.parametrize("block", BLOCKS)
def test_an_example_of_the_page_runs_and_imports_public_names_alone(
    block: str, own_registry: None, tmp_path: Path
) -> None:
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("chaos"):
            assert node.module == "chaos"
            assert {each.name for each in node.names} <= set(chaos.__all__)
    (tmp_path / "example.py").write_text(block)
    runpy.run_path(str(tmp_path / "example.py"), run_name="example")


def test_importing_the_package_imports_no_engine_and_no_arrays() -> None:
    heavy = ("docker", "numpy", "pydantic", "aiohttp")
    code = f"import sys, chaos; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("page", ["drivers.md"])
def test_the_pages_for_users_import_public_names(page: str) -> None:
    assert not re.findall(r"^from chaos\.\w+", (DOCS / page).read_text(), re.M)

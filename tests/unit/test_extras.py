"""What only some need is an extra: everything else works without it, and what needs it says so."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from chaos import cli
from chaos.checks import file
from chaos.errors import MissingExtra, UsageError
from chaos.workload.drivers import load_doors, load_driver
from chaos.workload.drivers.http import HttpSession
from tests.unit.checks.files import written
from tests.unit.checks.service import Load, legal_history

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "chaos"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OF_EXTRAS = {
    "allure": "allure",
    "allure_commons": "allure",
    "asyncmy": "mariadb",
    "asyncpg": "postgresql",
    "distributed": "scheduler",
    "numba": "large",
    "numpy": "large",
    "pyarrow": "export",
    "redis": "redis",
}
"""Modules, and the extra that brings each."""
AT_HOME = (
    "checks/bulk/",
    "history/export.py",
    "reporting/formats/allure.py",
    "search/executors/scheduled.py",
    "workload/drivers/copies.py",
    "workload/drivers/sql/mariadb.py",
    "workload/drivers/sql/postgresql.py",
    "workload/drivers/redis.py",
)
"""Where they may be imported: nothing else imports these modules before it needs them."""
_AFRESH = ("chaos.checks.bulk", "chaos.history.export", "chaos.search.executors.scheduled")


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if no extra were installed."""
    for name in OF_EXTRAS:
        monkeypatch.setitem(sys.modules, name, None)
    for name in [each for each in sys.modules if each.startswith(_AFRESH)]:
        monkeypatch.delitem(sys.modules, name)


def test_no_package_of_an_extra_is_a_dependency() -> None:
    heavy = tuple(OF_EXTRAS)
    assert not [each for each in PROJECT["dependencies"] if each.startswith(heavy)]
    extras = PROJECT["optional-dependencies"]
    assert set(OF_EXTRAS.values()) <= set(extras)
    (everything,) = extras["all"]
    assert everything == f"holdfast[{','.join(sorted(set(extras) - {'all'}))}]"


def test_packages_of_extras_are_imported_by_few_modules_alone() -> None:
    for path in PACKAGE.rglob("*.py"):
        place = path.relative_to(PACKAGE).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            heavy = {name.partition(".")[0] for name in names} & OF_EXTRAS.keys()
            assert not heavy or place.startswith(AT_HOME), f"{place} imports {heavy}"


def test_everything_else_can_be_imported_without_any_extra() -> None:
    modules = [
        ".".join(("chaos", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        for path in PACKAGE.rglob("*.py")
        if not path.relative_to(PACKAGE).as_posix().startswith(AT_HOME) and path.name != "__main__.py"
    ]
    program = "import importlib, sys\n"
    program += f"sys.modules.update(dict.fromkeys({tuple(OF_EXTRAS)}))\n"
    program += f"for name in {modules}: importlib.import_module(name)"
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


@pytest.mark.usefixtures("without")
def test_a_large_history_is_judged_the_same_without_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(legal_history(Load(1, users=2, operations=80)), tmp_path)
    _, small = file.judge_file(path)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(file, "SMALL_BYTES", 0)

    assert file.judge_file(path)[1] == small
    told = capsys.readouterr().err
    assert told.startswith(f"holdfast: {path} has ")
    assert told.endswith("install it with: pip install 'holdfast[large]'\n")
    assert told.count("\n") == 1


@pytest.mark.usefixtures("without")
def test_a_table_without_the_extra_is_refused_before_anything_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("chaos.reporting.formats.chosen.report_again", lambda *given: pytest.fail("it was judged"))

    assert cli.main(["check", str(tmp_path), "--export", "x.parquet"]) == 64
    assert capsys.readouterr().err.endswith("install it with: pip install 'holdfast[export]'\n")


@pytest.mark.usefixtures("without")
def test_a_search_on_a_scheduler_without_the_extra_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = ROOT / "experiments" / "search" / "minimal.yaml"
    monkeypatch.chdir(tmp_path)
    assert cli.main(["search", str(experiment), "--scheduler", "tcp://127.0.0.1:1"]) == 64
    assert capsys.readouterr().err.endswith("install it with: pip install 'holdfast[scheduler]'\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("without")
def test_a_library_of_a_driver_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "chaos.workload.drivers.copies", raising=False)
    with pytest.raises(UsageError, match=r"door 'replica' of HttpSession: .*pip install 'holdfast\[postgresql\]'"):
        load_doors(HttpSession, ["replica"])
    (tmp_path / "needy.py").write_text("import asyncpg\n")
    with pytest.raises(UsageError, match=r"driver 'needy:Needy' cannot .*pip install 'holdfast\[postgresql\]'"):
        load_driver("needy:Needy", tmp_path)


@pytest.mark.usefixtures("without")
@pytest.mark.parametrize("name", ["redis"])
def test_a_driver_that_needs_an_extra_says_which(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [each for each in sys.modules if each.startswith((f"{name}.", f"chaos.workload.drivers.{name}"))]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(UsageError, match=rf"driver '{name}' cannot .*pip install 'holdfast\[{name}\]'"):
        load_driver(name)


def test_a_missing_extra_says_how_to_install_it() -> None:
    error = MissingExtra("the colour blue", "blue", ImportError("No module named 'blue'"))
    assert str(error) == (
        "the colour blue needs more than is installed (No module named 'blue'); "
        "install it with: pip install 'holdfast[blue]'"
    )

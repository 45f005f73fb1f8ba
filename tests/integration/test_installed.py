"""The wheel, installed into an environment of its own and used from another folder, needs nothing of this tree."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from chaos.errors import EXIT_HELD
from tests.integration.plans import ROOT

pytestmark = pytest.mark.engine
STEP_SECONDS_MAX = 150.0
FROM_THE_TREE = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


def do(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program without anything in its environment that points to this tree."""
    environment = {name: value for name, value in os.environ.items() if name not in FROM_THE_TREE}
    return subprocess.run(
        arguments, cwd=cwd, env=environment, capture_output=True, text=True, timeout=STEP_SECONDS_MAX, check=False
    )


def done(*arguments: str | Path, cwd: Path) -> str:
    """Run a program that must succeed; return what it says."""
    outcome = do(*arguments, cwd=cwd)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return outcome.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment with the wheel in it.

    The dependencies are those of the environment that runs this test, by a .pth file: Python reads no .pth files of
    a folder that is named in one, so the editable install of this tree stays out of sight.
    """
    folder = tmp_path_factory.mktemp("installed")
    wheels, place = folder / "wheels", folder / "environment"
    done(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", wheels, cwd=ROOT)
    [wheel] = wheels.glob("*.whl")
    done(sys.executable, "-m", "venv", "--without-pip", place, cwd=folder)
    pip = (sys.executable, "-m", "pip", "--python", place / "bin" / "python", "--disable-pip-version-check")
    done(*pip, "install", "--quiet", "--no-index", "--no-deps", wheel, cwd=folder)
    site = done(place / "bin" / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder)
    Path(site.strip(), "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return place


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one experiment and the stack that it names, and nothing else."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "experiments").mkdir()
    shutil.copy(ROOT / "experiments" / "power_cut.yaml", folder / "experiments")
    without = shutil.ignore_patterns("__pycache__")
    for name in ("minimal", "images"):
        shutil.copytree(ROOT / "fixtures" / name, folder / "fixtures" / name, ignore=without)
    return folder


def test_the_package_is_the_installed_one(environment: Path, elsewhere: Path) -> None:
    place = done(environment / "bin" / "python", "-c", "import chaos.cli; print(chaos.cli.__file__)", cwd=elsewhere)
    assert Path(place.strip()).is_relative_to(environment)


def test_every_page_of_the_documentation_is_there(environment: Path, elsewhere: Path) -> None:
    holdfast = environment / "bin" / "holdfast"
    names = {line.split()[0] for line in done(holdfast, "docs", cwd=elsewhere).splitlines()}
    assert names == {path.stem for path in (ROOT / "docs").glob("*.md") if path.stem != "README"} | {"reports"}
    assert done(holdfast, "docs", "drivers", cwd=elsewhere) == (ROOT / "docs" / "drivers.md").read_text()


def test_doctor_says_that_this_host_can_run_the_minimal_stack(environment: Path, elsewhere: Path) -> None:
    found = json.loads(done(environment / "bin" / "holdfast", "doctor", "--json", cwd=elsewhere))
    assert found["verdict"] is None
    assert found["findings"]


def test_an_experiment_runs_to_its_verdict(environment: Path, elsewhere: Path) -> None:
    command = (environment / "bin" / "holdfast", "run", "experiments/power_cut.yaml", "--seed", "1", "--json")
    outcome = do(*command, cwd=elsewhere)
    assert outcome.returncode == EXIT_HELD, outcome.stderr
    document = json.loads(outcome.stdout)
    assert document["verdict"] == "HELD"
    assert (elsewhere / document["run_dir"] / "history.jsonl").is_file()

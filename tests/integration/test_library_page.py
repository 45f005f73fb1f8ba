"""`docs/library.md`, `docs/search.md`: each test module is run as it stands, beside the experiment that it names."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.engine
ROOT = Path(__file__).parents[2]
PAGES = ("library.md", "search.md")
MODULES = re.findall(
    r"^```python\n(.*?)^```", "".join((ROOT / "docs" / page).read_text() for page in PAGES), re.M | re.S
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An experiment with its stack, as a user has them."""
    for name in ("power_cut.yaml", "search/minimal.yaml"):
        file = tmp_path / "experiments" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "experiments" / name, file)
    for part in ("minimal", "images"):
        shutil.copytree(ROOT / "fixtures" / part, tmp_path / "fixtures" / part)
    return tmp_path


def test_every_module_of_the_pages_passes(folder: Path) -> None:
    for number, module in enumerate(MODULES, start=1):
        (folder / f"test_module_{number}.py").write_text(module)
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--hypothesis-seed=7",
            *sorted(folder.glob("test_module_*.py")),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"{len(MODULES)} passed" in ran.stdout, ran.stdout + ran.stderr

"""`docs/library.md`: each of its test modules is run as it stands, beside the experiment that the page names."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.engine
ROOT = Path(__file__).parents[2]
MODULES = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "library.md").read_text(), re.M | re.S)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An experiment with its stack, as a user has them."""
    (tmp_path / "experiments").mkdir()
    shutil.copy(ROOT / "experiments" / "power_cut.yaml", tmp_path / "experiments")
    for part in ("minimal", "images"):
        shutil.copytree(ROOT / "fixtures" / part, tmp_path / "fixtures" / part)
    return tmp_path


def test_every_module_of_the_page_passes(folder: Path) -> None:
    for number, module in enumerate(MODULES, start=1):
        (folder / f"test_module_{number}.py").write_text(module)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *sorted(folder.glob("test_module_*.py"))],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"{len(MODULES)} passed" in ran.stdout, ran.stdout + ran.stderr

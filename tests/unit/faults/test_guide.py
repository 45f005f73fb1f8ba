"""The guide "Adding a fault" of docs/faults.md, applied to a copy of the project as it stands there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
STEP = re.compile(
    r"(?:(?:Append to|Insert into)\s+`([^`]+)`(?: before `(.+?)`)?:|(\*\*4\.)).*?```\w+\n(.*?)```", re.S | re.I
)


def apply_guide(copy: Path) -> list[str]:
    """Do what the guide says in a copy of the project; the names of the files that it touches."""
    guide = (copy / "docs/faults.md").read_text().partition("# Adding a fault")[2].partition("**When the mechanism")[0]
    touched = []
    for name, before, experiment, block in STEP.findall(guide):
        file = copy / ("experiments/disk_flush_error.yaml" if experiment else name)
        text = file.read_text() if file.exists() else ""
        if before:
            assert before in text, f"{name} has no {before}"
            text = text.replace(before, block + before, 1)
        else:
            text = f"{text}\n\n{block}" if text else block
        file.write_text(text)
        touched.append(str(file.relative_to(copy)))
    return touched


def test_the_guide_adds_a_fault_that_every_test_of_faults_and_pages_takes(tmp_path: Path) -> None:
    for name in ("chaos", "docs", "experiments", "fixtures", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "CHANGELOG.md", "pyproject.toml", "Makefile"):
        shutil.copy(ROOT / name, tmp_path / name)
    assert apply_guide(tmp_path) == [
        "chaos/faults/lun/disk.py",
        "tests/contract/test_faults_on_the_engine.py",
        "docs/faults.md",
        "docs/experiments.md",
        "experiments/disk_flush_error.yaml",
    ]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    tests = ["tests/unit/faults/test_faults.py", "tests/unit/test_pages.py", "-k", "fault and not readme"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *tests]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    code = "import sys; from chaos.cli import main; sys.exit(main())"
    validate = [sys.executable, "-c", code, "validate", "experiments/disk_flush_error.yaml", "--seed", "1"]
    said = subprocess.run(validate, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (said.returncode, "disk.flush_error pgdata" in said.stdout) == (0, True), said.stderr

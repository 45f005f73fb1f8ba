"""Fixtures of the tests of experiments."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.experiment.samples import Catalogue, Write


@pytest.fixture
def faults() -> Catalogue:
    return Catalogue()


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes an experiment file in the working folder, so that errors show a short name."""
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> Path:
        path = Path("experiment.yaml")
        path.write_text(text, encoding="utf-8")
        return path

    return write

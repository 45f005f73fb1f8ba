"""A terminal shows the trial, not what libraries say to each other."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from chaos.reporting.logfile import logged_to_file


def test_what_libraries_log_in_a_run_goes_to_a_file_of_the_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path))

    with logged_to_file():
        logging.getLogger("asyncio").error("Task exception was never retrieved")

    assert "asyncio ERROR Task exception" in (tmp_path / "holdfast.log").read_text(encoding="utf-8")
    assert capsys.readouterr().err == ""


def test_a_quiet_run_leaves_no_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path))

    with logged_to_file():
        pass

    assert list(tmp_path.iterdir()) == []


def test_without_a_cache_folder_the_run_itself_complains(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "file" / "below"))

    with logged_to_file():
        pass

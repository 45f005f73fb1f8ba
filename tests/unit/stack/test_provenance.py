"""From which commit a trial was run."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from chaos.stack import provenance
from chaos.stack.provenance import commit_of, host


def git(folder: Path, *arguments: str) -> str:
    told = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments]
    return subprocess.run(told, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """An experiment in a repository."""
    file = tmp_path / "experiments" / "cut.yaml"
    file.parent.mkdir()
    file.write_text("a: 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    git(tmp_path, "tag", "v1")
    commit_of.cache_clear()
    return file


def test_the_commit_is_that_of_the_repository_that_keeps_the_experiment(kept: Path) -> None:
    assert commit_of(kept) == {"commit": git(kept.parent, "rev-parse", "HEAD")}


def test_it_says_that_there_are_changes_beside_the_commit(kept: Path) -> None:
    kept.write_text("a: 2\n")
    assert commit_of(kept) == {"commit": f"{git(kept.parent, 'rev-parse', 'HEAD')} with changes"}


def test_a_file_that_no_repository_keeps_has_no_commit(
    kept: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path_factory.getbasetemp()))
    plan = kept.with_name("plan.yaml")  # as that of a run folder, which git ignores
    plan.write_text("a: 1\n")
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "plan.yaml"
    elsewhere.write_text("a: 1\n")
    assert [commit_of(each) for each in (plan, elsewhere, kept.with_name("gone.yaml"), None)] == [{}, {}, {}, {}]


def test_without_git_there_is_no_commit(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert commit_of(kept) == {}


def test_a_git_that_hangs_costs_a_bounded_time(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = kept.parent / "git"
    slow.write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", str(kept.parent))
    monkeypatch.setattr(provenance, "_GIT_SECONDS_MAX", 0.05)
    assert commit_of(kept) == {}


def test_the_host_is_told_with_its_size() -> None:
    assert re.fullmatch(r".+ \(\w+, \d+ processors, [\d.]+ GiB of memory\)", host())

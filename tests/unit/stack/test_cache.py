"""The cache folder and its locks."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.errors import HarnessError
from chaos.stack.cache import cache_folder, cache_place, in_use, locked, unused


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HOLDFAST_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_the_own_variable_wins_over_the_shared_one_and_that_over_the_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert cache_place() == tmp_path / ".cache" / "holdfast"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "shared"))
    assert cache_place() == tmp_path / "shared" / "holdfast"
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "own"))
    assert cache_place() == tmp_path / "own"


def test_a_relative_shared_folder_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_place() == tmp_path / ".cache" / "holdfast"


def test_the_folder_is_made_only_when_it_is_asked_for(tmp_path: Path) -> None:
    assert not cache_place().exists()
    assert cache_folder().is_dir()


def test_a_folder_that_cannot_be_made_is_an_error_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "file" / "below"))
    with pytest.raises(HarnessError, match=r"file/below cannot be made: .*HOLDFAST_CACHE"):
        cache_folder()


def test_a_lock_in_a_folder_that_cannot_be_written_is_an_error_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "locks").write_text("")
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path))
    with pytest.raises(HarnessError, match=r"cannot be written: .*locks.*HOLDFAST_CACHE"), locked("image", 1):
        raise AssertionError("there is no lock")


def test_a_lock_is_held_against_others_and_freed_at_the_end() -> None:
    with locked("image/holdfast:1", 1):
        with pytest.raises(HarnessError, match="another process has held"), locked("image/holdfast:1", 0):
            raise AssertionError("held twice")
        with locked("another", 0):
            pass
    with locked("image/holdfast:1", 0):
        pass


def test_what_somebody_uses_is_not_unused_until_the_last_has_ended() -> None:
    with in_use("image:1"), in_use("image:1"), unused("image:1") as is_unused:
        assert not is_unused
    with unused("image:1") as is_unused:
        assert is_unused
    with in_use("image:1"), unused("image:2") as is_unused, locked("image:1", 0):
        assert is_unused

"""The small server on SQLite of fixtures/sqlite, without its HTTP."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

# In its image it stands alone.
sys.path.insert(0, str(Path(__file__).parents[3] / "fixtures" / "sqlite" / "server"))

from notes import RefusedError, Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(str(tmp_path / "notes.db"), "DELETE", "EXTRA")) as opened:
        yield opened


def _values(key: str, expected: str | None = None) -> dict[str, Any]:
    # a revision comes as the text of a header
    return {"user": "u", "key": key, "name": "n", "expected": expected, "type": "t", "write": key, "fields": "{}"}


def _shown(store: Store) -> list[tuple[str, int]]:
    return [(row["write"], row["revision"]) for row in store.everything("u")]


def test_a_write_on_an_old_revision_is_refused_and_changes_nothing(store: Store) -> None:
    assert store.write("POST", _values("first")) == 1
    assert store.write("PUT", _values("second", "1")) == 2
    for change in ("PUT", "DELETE"):
        with pytest.raises(RefusedError):
            store.write(change, _values("late", "1"))
    assert _shown(store) == [("second", 2)]
    store.write("DELETE", _values("third", "2"))
    assert _shown(store) == []


def test_what_exists_is_not_created_and_what_does_not_is_neither_updated_nor_deleted(store: Store) -> None:
    for change in ("PUT", "DELETE"):
        with pytest.raises(RefusedError):
            store.write(change, _values("nothing there"))
    store.write("POST", _values("first"))
    with pytest.raises(RefusedError):
        store.write("POST", _values("again"))
    assert _shown(store) == [("first", 1)]
    assert store.everything("another") == []


def test_the_same_key_again_gets_the_same_answer_and_changes_nothing(store: Store) -> None:
    assert store.write("POST", _values("first")) == 1
    store.write("PUT", _values("second", "1"))
    assert store.write("POST", _values("first")) == 1
    assert _shown(store) == [("second", 2)]


@pytest.mark.parametrize(("journal_mode", "synchronous"), [("DELTE", "EXTRA"), ("WAL", "ALWAYS")])
def test_a_misspelt_setting_is_refused(journal_mode: str, synchronous: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=f"no JOURNAL_MODE={journal_mode} SYNCHRONOUS={synchronous}"):
        Store(str(tmp_path / "notes.db"), journal_mode, synchronous)

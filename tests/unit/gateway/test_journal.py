"""The small server of the zoo that keeps records in an append-only file, without its HTTP."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

# In its image it stands alone.
sys.path.insert(0, str(Path(__file__).parents[3] / "fixtures" / "sqlite" / "server"))

from journal import Journal
from notes import RefusedError

Start = Callable[..., Journal]


class ExitedError(Exception):
    """The process would be gone."""


@pytest.fixture(autouse=True)
def exits(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(code: int) -> None:
        raise ExitedError(code)

    monkeypatch.setattr(os, "_exit", leave)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the server's journal on the same file, as often as it is called."""
    with ExitStack() as running:

        def started(**variant: bool) -> Journal:
            return running.enter_context(closing(Journal(tmp_path / "journal", **variant)))

        yield started


def _values(key: str, expected: str | None = None, name: str = "n") -> dict[str, Any]:
    # a revision comes as the text of a header
    return {"user": "u", "key": key, "name": name, "expected": expected, "type": "t", "write": key, "fields": "{}"}


def _shown(journal: Journal) -> list[tuple[str, int]]:
    return [(row["write"], row["revision"]) for row in journal.everything("u")]


def _fails(monkeypatch: pytest.MonkeyPatch, number: int, *, times: int = 1) -> None:
    fdatasync, left = os.fdatasync, [times]

    def flush(descriptor: int) -> None:
        if left[0]:
            left[0] -= 1
            raise OSError(number, os.strerror(number))
        fdatasync(descriptor)

    monkeypatch.setattr(os, "fdatasync", flush)


def test_what_was_answered_is_there_after_a_start_with_its_keys(start: Start) -> None:
    journal = start()
    assert journal.write("POST", _values("first")) == 1
    assert journal.write("PUT", _values("second", "1")) == 2
    assert journal.write("POST", _values("other", name="m")) == 3
    assert journal.write("DELETE", _values("gone", "3", name="m")) == 4
    again = start()
    assert _shown(again) == [("second", 2)]
    assert again.write("POST", _values("first")) == 1
    assert again.write("PUT", _values("third", "2")) == 5


def test_a_write_on_an_old_revision_and_one_that_does_not_fit_are_refused(start: Start) -> None:
    journal = start()
    for command in ("PUT", "DELETE"):
        with pytest.raises(RefusedError):
            journal.write(command, _values("nothing there"))
    journal.write("POST", _values("first"))
    journal.write("PUT", _values("second", "1"))
    for command, values in (
        ("POST", _values("again")),
        ("PUT", _values("late", "1")),
        ("DELETE", _values("late", "1")),
    ):
        with pytest.raises(RefusedError):
            journal.write(command, values)
    assert _shown(start()) == [("second", 2)]


def test_a_last_line_that_is_not_whole_is_left_out_and_damage_before_whole_ones_is_refused(
    start: Start, tmp_path: Path
) -> None:
    journal, file = start(), tmp_path / "journal"
    for number in range(3):
        journal.write("POST", _values(f"w-{number}", name=f"n-{number}"))
    content = file.read_bytes().rstrip(b"\0")
    file.write_bytes(content[:-5])
    assert [write for write, _ in _shown(start())] == ["w-0", "w-1"]
    file.write_bytes(content[:20] + b"\0" + content[21:])
    with pytest.raises(ValueError, match="line 1 of 3 is damaged"):
        start()


def test_after_a_flush_that_failed_the_process_ends_and_what_a_start_reads_is_written_anew(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = start()
    _fails(monkeypatch, errno.EIO)
    with pytest.raises(ExitedError):
        journal.write("POST", _values("first"))
    before = (tmp_path / "journal").stat().st_ino
    assert _shown(start()) == [("first", 1)]
    assert (tmp_path / "journal").stat().st_ino != before


def test_each_variant_believes_what_it_should_not(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    retries = start(retries=True)
    _fails(monkeypatch, errno.EIO)
    assert retries.write("POST", _values("first")) == 1
    _fails(monkeypatch, errno.EIO, times=3)
    with pytest.raises(ExitedError):
        retries.write("PUT", _values("second", "1"))
    answers = start(answers_errors=True)
    _fails(monkeypatch, errno.EIO)
    assert answers.write("PUT", _values("third", "2")) == 3

"""Programs that take long, and those who do not wait for them any more."""

from __future__ import annotations

import asyncio
import os
import select
import threading
import time
from pathlib import Path

import pytest

from chaos.stack.programs import GivenUp, in_own_thread, run_program
from chaos.stack.waiting import poll

FOR_EVER = "sleep 1000 & echo $! > pid; wait"


def ends(pid: int) -> bool:
    """Gone, or waiting for its parent to notice, at once or soon: it has closed its files a moment before."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return select.select([process], [], [], 10)[0] == [process]
    finally:
        os.close(process)


def test_its_exit_code_and_its_complaints_are_told(tmp_path: Path) -> None:
    command = ["sh", "-c", "pwd >&2; echo $WORD >&2; exit 3"]
    assert run_program(command, 10, environment={"WORD": "hm"}, folder=tmp_path) == (3, f"{tmp_path}\nhm\n")


def test_one_that_takes_too_long_is_ended_with_what_it_started(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError, match="sh did not end in 2 s"):
        run_program(["sh", "-c", FOR_EVER], 2, folder=tmp_path)
    assert ends(int((tmp_path / "pid").read_text()))


def test_who_is_cancelled_ends_the_program_and_waits_for_that_alone(tmp_path: Path) -> None:
    said: list[BaseException] = []

    def work() -> None:
        try:
            run_program(["sh", "-c", FOR_EVER], 100, folder=tmp_path)
        except GivenUp as error:
            said.append(error)
            raise

    async def has_begun() -> bool:
        return (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != ""

    async def never() -> None:
        pytest.fail("it has not begun")

    async def act() -> None:
        working = asyncio.ensure_future(in_own_thread(work))
        await poll(has_begun, time.monotonic() + 10, never)
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working

    asyncio.run(act())
    assert len(said) == 1
    assert ends(int((tmp_path / "pid").read_text()))


def test_who_is_cancelled_does_not_wait_for_what_cannot_be_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos.stack.programs._GRACE_SECONDS", 0.1)
    over = threading.Event()

    async def act() -> None:
        working = asyncio.ensure_future(in_own_thread(over.wait, 100))
        await asyncio.sleep(0)
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working

    began = time.monotonic()
    asyncio.run(act())
    over.set()
    assert time.monotonic() - began < 50


def test_results_and_errors_come_back() -> None:
    async def act() -> None:
        assert await in_own_thread(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await in_own_thread(divmod, 7, 0)

    asyncio.run(act())


def test_a_program_is_given_a_file_and_each_of_its_lines_is_passed_on(tmp_path: Path) -> None:
    said = list[str]()
    (tmp_path / "in").write_text("one\ntwo\n")
    with (tmp_path / "in").open("rb") as given:
        code, whole = run_program(["sh", "-c", "cat; echo three >&2"], 10, given=given, say=said.append)
    assert (code, whole, said) == (0, "one\ntwo\nthree\n", ["one\n", "two\n", "three\n"])

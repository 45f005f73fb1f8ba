"""What a driver may do to its caller: nothing but answer, fail, or be late."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn, cast

import pytest

import chaos
from chaos.errors import HarnessError
from chaos.experiment.drivers import DriverChoice
from chaos.workload.drivers import calls
from chaos.workload.drivers.blame import drivers_place
from chaos.workload.drivers.calls import BrokenOffError, NoAnswerError, answer_of, close
from chaos.workload.fleet import ask_nobody
from chaos.workload.reads.doors import Readers
from chaos.workload.session import FrontDoor, Session

HERE = Path(__file__).parent
NOWHERE = FrontDoor("127.0.0.1", 1)


async def for_ever() -> None:
    await asyncio.Event().wait()


async def times_out() -> NoReturn:
    raise TimeoutError(110, "Connection timed out")


async def exits() -> NoReturn:
    sys.exit("no config")


async def cancels() -> NoReturn:
    raise asyncio.CancelledError


def test_what_a_driver_raises_itself_is_told_as_it_is_also_where_it_is_called_a_time_out() -> None:
    with pytest.raises(TimeoutError, match="Connection timed out"):
        asyncio.run(answer_of(times_out, 7.0))
    with pytest.raises(NoAnswerError, match=r"no answer in 0\.01 s"):
        asyncio.run(answer_of(for_ever, 0.01))


@pytest.mark.parametrize(("call", "words"), [(exits, "SystemExit: no config"), (cancels, "cancelled itself")])
def test_a_driver_that_ends_the_process_or_cancels_itself_has_only_failed(call: Any, words: str) -> None:
    with pytest.raises(BrokenOffError, match=words):
        asyncio.run(answer_of(call, 1.0))


def test_a_call_that_is_cancelled_from_outside_is_over() -> None:
    async def act() -> bool:
        task = asyncio.create_task(answer_of(for_ever, 60.0))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(act())


def test_a_call_that_waits_once_more_when_it_is_given_up_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a ROLLBACK does that a library sends then, to a service that is silent."""
    monkeypatch.setattr(calls, "CANCELLED_SECONDS", 0.01)
    ended: list[str] = []

    async def rolls_back() -> None:
        try:
            await for_ever()
        except asyncio.CancelledError:
            try:
                await for_ever()
            finally:
                ended.append("closed")
            raise

    async def act() -> None:
        with pytest.raises(NoAnswerError, match=r"no answer in 0\.01 s$"):
            await answer_of(rolls_back, 0.01)
        task = asyncio.create_task(answer_of(rolls_back, 60.0))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(asyncio.wait_for(act(), 5))
    assert ended == ["closed", "closed"]


def test_a_call_that_never_ends_is_left_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "CANCELLED_SECONDS", 0.01)

    async def act() -> None:
        over = asyncio.Event()

        async def stays() -> None:
            while not over.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await over.wait()
            raise ConnectionError("at last, and nobody listens")

        with pytest.raises(NoAnswerError, match="the driver does not end the call"):
            await answer_of(stays, 0.01)
        over.set()

    asyncio.run(asyncio.wait_for(act(), 5))


def test_what_a_call_returns_or_raises_when_it_is_given_up_is_its_answer() -> None:
    async def returns() -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await for_ever()
        return "acknowledged"

    async def raises() -> None:
        try:
            await for_ever()
        except asyncio.CancelledError:
            raise ConnectionError("closed") from None

    assert asyncio.run(answer_of(returns, 0.01)) == "acknowledged"
    with pytest.raises(ConnectionError, match="closed"):
        asyncio.run(answer_of(raises, 0.01))


class Odd:
    """A session of which each method does what its driver was told."""

    def __init__(self, front_door: FrontDoor, *, user: str, device: str) -> None: ...

    does = staticmethod(exits)

    async def changes(self, cursor: str | None) -> Any:
        return await self.does()

    async def close(self) -> None:
        await self.does()


@pytest.mark.parametrize("does", [exits, cancels, times_out, for_ever])
def test_a_session_that_cannot_be_closed_hinders_nobody(does: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Odd, "does", staticmethod(does))
    asyncio.run(close(cast(Session, Odd(NOWHERE, user="u", device="d")), 0.01))


@pytest.mark.parametrize("does", [exits, cancels])
def test_a_sync_at_a_dead_address_may_fail_in_every_way(does: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Odd, "does", staticmethod(does))
    asyncio.run(ask_nobody(cast(type[Session], Odd), NOWHERE, "u-1", "d-1", None))


def test_a_reader_that_breaks_down_says_why(tmp_path: Path) -> None:
    """A door of a kind that the driver does not have: nothing of it is the driver's."""

    async def act() -> None:
        async with Readers.open(DriverChoice("http"), tmp_path) as readers:
            reader = await readers.new()
            try:
                reader._jobs.write(b"{}\n")
                async for _ in reader._reads():
                    raise AssertionError("it read something")
            finally:
                await reader.close()

    with pytest.raises(HarnessError, match="the reader broke down: KeyError: 'step'"):
        asyncio.run(asyncio.wait_for(act(), 60))


def test_what_calls_a_driver_is_none_of_its_lines() -> None:
    ours = Path(chaos.__file__).parent / "workload"
    stack = [
        traceback.FrameSummary(str(ours / file), 7, "put")
        for file in ("device.py", "drivers/calls.py", "drivers/http.py", "records.py")
    ]
    assert drivers_place(stack) == "http.py:7 in put, which waits in records.py:7 in put"
    assert drivers_place(stack[:2]) == ""


def test_a_driver_in_a_folder_that_begins_like_ours_is_the_users_own() -> None:
    ours = str(Path(chaos.__file__).parent)
    frames = {name: traceback.FrameSummary(f"{ours}{name}", 7, "put") for name in ("_drivers/mine.py", "/mine.py")}
    assert drivers_place([frames["_drivers/mine.py"]]) == "mine.py:7 in put"
    assert not drivers_place([frames["/mine.py"]])

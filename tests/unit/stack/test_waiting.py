"""What is waited for is told, on a clock that jumps."""

from __future__ import annotations

import asyncio
import math

import pytest

from chaos.stack import waiting
from chaos.stack.waiting import Waits


class Clock:
    """Time goes on when somebody sleeps, and when a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.ticks = asyncio.Semaphore(0)
        monkeypatch.setattr(waiting, "time", self)
        monkeypatch.setattr("asyncio.sleep", self.sleep)

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        await self.ticks.acquire()
        self.now += seconds

    async def tick(self) -> None:
        self.ticks.release()
        await self.turn()

    async def turn(self) -> None:
        """Let every task go on as far as it can."""
        loop = asyncio.get_running_loop()
        for _ in range(5):
            turn = loop.create_future()
            loop.call_soon(turn.set_result, None)
            await turn


async def says_two_lines() -> str:
    return "first\nlast words"


async def cannot_tell() -> str:
    raise ConnectionError("the engine is gone")


def test_what_is_waited_for_is_told_every_few_seconds_with_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    async def act() -> None:
        clock, waits = Clock(monkeypatch), Waits()
        waits.say = said.append
        with waits.of("db to get healthy", clock.now + 60, says_two_lines):
            await clock.tick()
            with waits.of("the disks to be copied"), waits.of("a copy to catch up", math.inf):
                await clock.tick()
            with waits.of("web to stop", clock.now + 1, cannot_tell):
                await clock.tick()
        await clock.turn()
        assert len(asyncio.all_tasks()) == 1, "nobody is told of nothing"
        with waits.of("db to get healthy", clock.now + 60):
            await clock.tick()

    asyncio.run(act())
    assert said == [
        "waiting for db to get healthy, 5 s so far, 55 s left; it says: last words",
        "waiting for db to get healthy, 10 s so far, 50 s left; it says: last words",
        "waiting for the disks to be copied, 5 s so far",
        "waiting for db to get healthy, 15 s so far, 45 s left; it says: last words",
        "waiting for web to stop, 5 s so far, 0 s left",
        "waiting for db to get healthy, 5 s so far, 55 s left",
    ]

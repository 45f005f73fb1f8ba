"""The beat towards the agent: nothing in the event loop stops it, and a loop that is dead does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from chaos.faults import live
from chaos.stack.agent import heartbeat
from chaos.stack.agent.heartbeat import Heartbeat, Stall

SECONDS_MAX = 10.0


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_BEAT_SECONDS", "_SAMPLE_SECONDS", "STALL_SECONDS_MIN"):
        monkeypatch.setattr(heartbeat, name, 0.01)


class Beats:
    """Counts beats; `block` holds up the event loop until so many more have come, or none comes any more."""

    def __init__(self) -> None:
        self._came = threading.Semaphore(0)
        self.stalls: list[Stall] = []
        self.told = asyncio.Event()
        self.heart = Heartbeat(self._came.release, self._hear)
        self.heart.start()

    def _hear(self, stall: Stall) -> None:
        self.stalls.append(stall)
        self.told.set()

    def block(self, beats: int) -> bool:
        return all(self._came.acquire(timeout=SECONDS_MAX) for _ in range(beats))


def play(scene: Callable[[Beats], None]) -> Beats:
    async def scenery() -> Beats:
        beats = Beats()
        try:
            scene(beats)  # in the event loop's own thread: it stands still meanwhile
            if not beats.heart.gave_up:
                await asyncio.wait_for(beats.told.wait(), SECONDS_MAX)
        finally:
            beats.heart.stop()
        return beats

    return asyncio.run(scenery())


def test_it_beats_while_the_event_loop_is_blocked_and_tells_where_it_was() -> None:
    def a_driver_that_blocks(beats: Beats) -> None:
        assert beats.block(30)

    stall = play(a_driver_that_blocks).stalls[0]
    assert stall.seconds > 0.2
    assert "a_driver_that_blocks" in [frame.name for frame in stall.stack]


def test_a_loop_that_is_dead_for_good_ends_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(heartbeat, "LOOP_SECONDS_MAX", 0.2)

    def dead_for_good(beats: Beats) -> None:
        beats.heart._thread.join(SECONDS_MAX)
        assert not beats.heart._thread.is_alive()

    gave_up = play(dead_for_good).heart.gave_up
    assert gave_up is not None
    assert "dead_for_good" in [frame.name for frame in gave_up.stack]
    assert "nothing moves for" in capfd.readouterr().err


def test_the_bound_of_a_dead_loop_is_shorter_than_a_faults_lease() -> None:
    assert heartbeat.LOOP_SECONDS_MAX < live.LEASE_SECONDS_MAX

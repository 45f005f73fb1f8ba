"""An event loop whose clock jumps: a sleep of an hour takes no time, and its order among others is kept."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any

import pytest


class _Jumping(selectors.DefaultSelector):
    """Where the loop would wait for its next timer, the clock is put forward instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everybody waits, and nothing is due ever"
            self.now += max(0.0, timeout)
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """Its time is that of its selector."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


class _Time:
    """What a module calls `time`, on the running loop's clock."""

    @staticmethod
    def monotonic() -> float:
        return asyncio.get_running_loop().time()

    @staticmethod
    def monotonic_ns() -> int:
        return round(asyncio.get_running_loop().time() * 1e9)


def run(scene: Coroutine[Any, Any, None], monkeypatch: pytest.MonkeyPatch, *modules: object) -> None:
    """Run a scene on a jumping loop, with the `time` of these modules on the same clock."""
    for module in modules:
        monkeypatch.setattr(module, "time", _Time)
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(scene)

"""How a stack copy ends: it is removed, or left to a guard for a while. No engine is asked."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from chaos.stack.live import lifecycle


def test_a_stack_that_cannot_be_left_is_removed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would run on for as long as this process does, with nobody who knows of it."""
    removed: list[bool] = []

    def hand_over(*given: object) -> list[str]:
        raise OSError("no process can be started")

    async def wind_up(client: object, run: object, agent: object, guard: object, orderly: bool) -> None:
        removed.append(orderly)

    monkeypatch.setattr(lifecycle, "_hand_over", hand_over)
    monkeypatch.setattr(lifecycle, "_wind_up", wind_up)
    agent = SimpleNamespace(lost=asyncio.Event())
    made, said = SimpleNamespace(is_left=True), list[str]()
    given: Any = (SimpleNamespace(), SimpleNamespace(), made, agent, SimpleNamespace())
    asyncio.run(lifecycle._end(*given, orderly=True, leave_seconds=60, log=said.append))
    assert removed == [False]
    assert said == ["warning: the stack cannot be left, and is removed: no process can be started"]

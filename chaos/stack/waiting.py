"""Waiting until a condition holds, or a deadline has come."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

_POLL_SECONDS = 0.05
_POLL_GROWTH = 1.5
_CONNECT_SECONDS = 1.0


async def poll(
    condition: Callable[[], Awaitable[bool]], deadline: float, expired: Callable[[], Awaitable[None]]
) -> None:
    """Ask until the condition holds, ever more slowly; at the deadline call `expired`, which raises.

    No more than half of the time is spent on asking: a check that takes seconds of a processor keeps back what it
    waits for.
    """
    pause = _POLL_SECONDS
    while True:
        asked = time.monotonic()
        if await condition():
            return
        now = time.monotonic()
        if now > deadline:
            await expired()
        await asyncio.sleep(max(pause, min(now - asked, deadline - now)))
        pause = min(1.0, pause * _POLL_GROWTH)


async def accepts(door: tuple[str, int]) -> bool:
    """Whether somebody accepts a connection there."""
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(*door)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True

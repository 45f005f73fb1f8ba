"""Waiting until a condition holds, or a deadline has come; and telling whoever looks on what is waited for."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

_POLL_SECONDS = 0.05
_POLL_GROWTH = 1.5
_CONNECT_SECONDS = 1.0
_TELL_SECONDS = 5.0
"""Nobody looks on for 10 s without being told what is waited for."""


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


@dataclass(frozen=True)
class _Wait:
    """One thing that is waited for."""

    what: str
    deadline: float | None
    words: Callable[[], Awaitable[str]] | None
    since: float


class Waits:
    """What is being waited for. Whatever takes its time is told every few seconds, a line each."""

    def __init__(self) -> None:
        """Nothing is, and nobody is told."""
        self.say: Callable[[str], None] = lambda line: None
        self._open: list[_Wait] = []
        self._telling: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def of(
        self, what: str, deadline: float | None = None, words: Callable[[], Awaitable[str]] | None = None
    ) -> Iterator[None]:
        """While this is open, something is waited for.

        Args:
            what: As the end of "waiting for".
            deadline: Of time.monotonic(); None: that is as long as it takes. What may take for ever (infinity) goes on
                beside everything else, and nobody is told.
            words: What there is to say about it; an empty text is nothing.
        """
        wait = _Wait(what, deadline, words, time.monotonic())
        if deadline != math.inf:
            self._open.append(wait)
            if self._telling is None:
                self._telling = asyncio.create_task(self._tell())
        try:
            yield
        finally:
            with contextlib.suppress(ValueError):
                self._open.remove(wait)
            if not self._open and self._telling is not None:
                self._telling.cancel()
                self._telling = None

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(_TELL_SECONDS)
            for wait in tuple(self._open):
                words = ""
                if wait.words is not None:
                    with contextlib.suppress(OSError):  # of an engine that does not answer others tell
                        words = await wait.words()
                now = time.monotonic()
                told = f"waiting for {wait.what}, {now - wait.since:.0f} s so far"
                told += "" if wait.deadline is None else f", {max(0.0, wait.deadline - now):.0f} s left"
                self.say(f"{told}; it says: {words.splitlines()[-1]}" if words else told)


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

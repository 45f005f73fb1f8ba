"""The restart policies of a running stack. The engine is not told of them: a fault may want a service to stay down."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Set

from chaos.errors import HarnessError
from chaos.stack.spec import Stack

_PAUSE_SECONDS = 0.1
_PAUSE_SECONDS_MAX = 2.0
_STAYED_UP_SECONDS = 10.0
"""As engines do it: a service that ends again and again is started ever later, one that had stayed up at once."""


class Restarts:
    """Starts services again that ended by themselves."""

    def __init__(self, stack: Stack, start: Callable[[str], Awaitable[None]]) -> None:
        """`start` a service, which need not get healthy."""
        self.held: Callable[[], Set[str]] = frozenset
        """The services that a fault keeps down: whoever ends that will start them."""
        self._stack = stack
        self._start = start
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ended: dict[str, float] = {}
        self._pauses: dict[str, float] = {}
        self._count: dict[str, int] = {}
        """How often a service was started again since somebody else started it."""

    def restarts(self, service: str) -> bool:
        """Whether this service's policy wants it back once it has ended."""
        policy = self._stack.services[service]
        spent = policy.restarts_max and self._count.get(service, 0) >= policy.restarts_max
        return policy.restart != "no" and not spent

    def exited(self, service: str) -> None:
        """A service ended without our doing."""
        if not self.restarts(service):
            return
        stayed_up = time.monotonic() - self._ended.get(service, 0.0) > _STAYED_UP_SECONDS
        pause = _PAUSE_SECONDS if stayed_up else min(_PAUSE_SECONDS_MAX, 2 * self._pauses[service])
        self._ended[service], self._pauses[service] = time.monotonic(), pause
        count = self._count.get(service, 0) + 1
        self.cancel((service,))
        self._count[service] = count
        self._tasks[service] = asyncio.create_task(self._again(service, pause))

    def cancel(self, services: Iterable[str]) -> None:
        """Somebody else stops or starts these: what was about to be done is not."""
        for service in services:
            self._count.pop(service, None)
            task = self._tasks.pop(service, None)
            if task is not None:
                task.cancel()

    async def _again(self, service: str, pause: float) -> None:
        await asyncio.sleep(pause)
        if service not in self.held():
            with contextlib.suppress(HarnessError):  # its health, or who mends the stack, will tell
                await self._start(service)

"""The restart policies of a running stack. The engine is not told of them: a fault may want a service to stay down."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Set

from chaos.errors import AgentError, HarnessError
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
        self._times: Counter[str] = Counter()
        self._failed: AgentError | None = None

    def restarts(self, service: str, code: int) -> bool:
        """Whether this service comes back, as its policy wants it, after an end with this exit code."""
        policy = self._stack.services[service].restart
        if policy == "no" or (policy == "on-failure" and code == 0):
            return False
        task = self._tasks.get(service)
        return self._may_again(service) or (task is not None and not task.done())

    def exited(self, service: str) -> None:
        """A service ended, and nobody had said that it should."""
        if self._stack.services[service].restart == "no" or not self._may_again(service):
            return
        self._times[service] += 1
        stayed_up = time.monotonic() - self._ended.get(service, 0.0) > _STAYED_UP_SECONDS
        pause = _PAUSE_SECONDS if stayed_up else min(_PAUSE_SECONDS_MAX, 2 * self._pauses[service])
        self._ended[service], self._pauses[service] = time.monotonic(), pause
        self._forget(service)
        self._tasks[service] = asyncio.create_task(self._again(service, pause))

    def cancel(self, services: Iterable[str]) -> None:
        """Somebody else stops or starts these: what was about to be done is not, and the count begins anew."""
        for service in services:
            self._times.pop(service, None)
            self._forget(service)

    def verify(self) -> None:
        """See that nothing but services failed.

        Raises:
            AgentError: The agent could not do its part when a service was started again.
        """
        if self._failed is not None:
            raise self._failed

    def _may_again(self, service: str) -> bool:
        """Whether its policy has a restart left for it."""
        most = self._stack.services[service].restarts_max
        return not most or self._times[service] < most

    def _forget(self, service: str) -> None:
        task = self._tasks.pop(service, None)
        if task is not None:
            task.cancel()

    async def _again(self, service: str, pause: float) -> None:
        await asyncio.sleep(pause)
        if service not in self.held():
            try:
                await self._start(service)
            except AgentError as error:
                self._failed = error
            except HarnessError:  # its health, or who mends the stack, will tell
                pass

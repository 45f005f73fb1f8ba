"""Services that ended by themselves, and their restart policies.

The engine is not told of the policies: a fault may want a service to stay down.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Set

from chaos.agent.wire import FindAlive
from chaos.errors import AgentError, HarnessError
from chaos.stack.agent.link import Agent
from chaos.stack.engine import containers
from chaos.stack.engine.client import Engine, Refusal
from chaos.stack.engine.containers import Container
from chaos.stack.spec import Stack

_PAUSE_SECONDS = 0.1
_PAUSE_SECONDS_MAX = 2.0
_STAYED_UP_SECONDS = 10.0
"""As engines do it: a service that ends again and again is started ever later, one that had stayed up at once."""
_NOTICE_SECONDS_MAX = 5.0
"""Until the engine has noticed the end of a container; a busy one takes a while."""
_LOOK_SECONDS = 0.05


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

    def exited(self, service: str) -> bool:
        """A service ended, and nobody had said that it should; return whether its policy has a start left for it."""
        if self._stack.services[service].restart == "no" or not self._may_again(service):
            return False
        self._times[service] += 1
        stayed_up = time.monotonic() - self._ended.get(service, 0.0) > _STAYED_UP_SECONDS
        pause = _PAUSE_SECONDS if stayed_up else min(_PAUSE_SECONDS_MAX, 2 * self._pauses[service])
        self._ended[service], self._pauses[service] = time.monotonic(), pause
        self._forget(service)
        self._tasks[service] = asyncio.create_task(self._again(service, pause))
        return True

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


class Ends:
    """Who does not run, and why; who ends by itself is told of."""

    def __init__(
        self, client: Engine, stack: Stack, agent: Agent, running: Mapping[str, Container], restarts: Restarts
    ) -> None:
        """`running` has each service's container of the moment."""
        self.say: Callable[[str], None] = lambda text: None
        self._client = client
        self._stack = stack
        self._agent = agent
        self._running = running
        self._restarts = restarts
        self._telling: set[asyncio.Task[None]] = set()
        self._ended: dict[str, float] = {}
        """When each ended last. Of one that ends again and again it is told once: its log has how often."""

    def exited(self, name: str, *, killed: bool) -> None:
        """A service's first process has ended, by itself or `killed` by a fault; its policy is followed."""
        comes_back, now = self._restarts.exited(name), time.monotonic()
        again = now - self._ended.get(name, -math.inf) <= _STAYED_UP_SECONDS
        self._ended[name] = now
        if not killed and not (comes_back and again):
            self._telling = {task for task in self._telling if not task.done()}
            self._telling.add(asyncio.create_task(self._tell(name, comes_back)))

    def clear(self) -> None:
        """Forget who ended."""
        self._ended.clear()

    async def not_running(self) -> list[str]:
        """Services whose container has ended, or never started (one that completed, as asked, is not among them).

        The agent sees an end at once; the engine, which knows the exit code, is given a moment to notice it.
        """
        alive = (await self._agent.call(FindAlive(tuple(self._running)))).services
        found = {name: each for name, each in self._running.items() if name not in alive}
        states = await asyncio.gather(*(self._state(each) for each in found.values()))
        return [
            name
            for name, (running, code) in zip(found, states, strict=True)
            if not running and not self._stack.is_done(name, code)
        ]

    async def finished(self, names: Iterable[str]) -> set[str]:
        """Those of these services that have ended as they should: successfully, and nothing wants them back."""
        return {
            name
            for name in names
            if name in self._running
            and self._stack.services[name].restart in ("no", "on-failure")
            and await asyncio.to_thread(containers.state, self._client, self._running[name]) == (False, 0)
        }

    async def _state(self, container: Container) -> tuple[bool, int]:
        """As `containers.state`, of a container that the agent does not know, or knows to have ended."""
        until = time.monotonic() + _NOTICE_SECONDS_MAX
        while True:
            running, code = await asyncio.to_thread(containers.state, self._client, container)
            if not running or time.monotonic() > until:
                return running, code
            await asyncio.sleep(_LOOK_SECONDS)

    async def _tell(self, name: str, comes_back: bool) -> None:
        policy = self._stack.services[name].restart
        running, code = True, 0
        if policy in ("no", "on-failure"):
            with contextlib.suppress(KeyError, Refusal, OSError):  # it was removed meanwhile
                running, code = await self._state(self._running[name])
        if not running and self._stack.is_done(name, code):
            return
        if comes_back:
            self.say(f"{name} ended; it is started again, as its restart policy says")
        elif not running:
            why = "its restart policy is no" if policy == "no" else "its restarts are used up"
            self.say(f"{name} ended with code {code}; {why}, so it stays down until somebody starts it")

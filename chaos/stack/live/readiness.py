"""Waits until the services are ready, also those that others depend on, and says why one is not."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from typing import TypeVar

from chaos.errors import AgentError, HarnessError
from chaos.stack.engine import containers
from chaos.stack.engine.client import Engine, Refusal
from chaos.stack.engine.containers import Container, Unstartable
from chaos.stack.hush import Hush
from chaos.stack.spec import Condition, Service, Stack
from chaos.stack.waiting import Waits, accepts, poll

_COMMAND_SECONDS_MAX = 10.0
"""Of one run of a command that tells whether a service is in its steady state."""

_ANY_FAILURE = 1
_SOONER = 0.95
_FIRST_SECONDS_MAX = 2.0
"""A service that ends before it is asked for the first time is not noticed until then."""

Failure = type[HarnessError]
T = TypeVar("T")


class Readiness:
    """Waits on the services of one copy; each wait raises the given error at its deadline, with the last words."""

    def __init__(
        self,
        client: Engine,
        stack: Stack,
        running: Mapping[str, Container],
        is_restarted: Callable[[str, int], bool],
        hush: Hush,
        waits: Waits,
    ) -> None:
        """`running` has each service's container of the moment.

        `is_restarted`: true if an exit with this code will be followed by a restart.
        """
        self._client = client
        self._stack = stack
        self._running = running
        self._is_restarted = is_restarted
        self._hush = hush
        self._waits = waits
        self._first: dict[str, float] = {}
        """By service, how long after its start it is asked for the first time."""

    async def start_in_order(
        self,
        names: Iterable[str],
        start: Callable[[str], Awaitable[None]],
        seconds_max: float,
        error: Failure,
        *,
        wait: bool = True,
        at_once: Collection[str] = (),
    ) -> None:
        """Start services, each when those that it depends on are as it wants them; `wait` until all are healthy.

        Those `at_once` wait for nobody. Where one fails, every `start` that had begun is over when this returns.
        """
        deadline = time.monotonic() + seconds_max
        services = [self._stack.services[name] for name in self._stack.in_start_order(names)]
        awaited = {
            on for each in services for on, condition in each.depends_on.items() if condition != "service_started"
        }
        started: dict[str, asyncio.Event] = {}
        ready: dict[str, asyncio.Task[None]] = {}
        starts: list[asyncio.Task[None]] = []

        async def wait_for(other: str, condition: Condition) -> None:
            if condition == "service_started":
                await started[other].wait()
            else:
                await ready[other]

        async def start_one(name: str) -> None:
            with raised_as(error):
                await start(name)

        async def begin(service: Service) -> None:
            if service.name not in at_once:
                await asyncio.gather(*(wait_for(*need) for need in service.depends_on.items() if need[0] in ready))
            starts.append(asyncio.create_task(start_one(service.name)))
            await asyncio.shield(starts[-1])
            started[service.name].set()
            if wait or service.name in awaited:
                wait_until = self.completed if self._stack.is_job(service.name) else self._healthy_after_start
                await wait_until(service, deadline, error)

        try:
            async with contextlib.AsyncExitStack() as stack:
                for service in services:
                    started[service.name] = asyncio.Event()
                    ready[service.name] = asyncio.create_task(begin(service))
                    stack.callback(ready[service.name].cancel)
                await asyncio.gather(*ready.values())
        except HarnessError:
            await all_over(starts)
            raise
        finally:
            for each in starts:
                each.cancel()

    async def _healthy_after_start(self, service: Service, deadline: float, error: Failure) -> None:
        """As `healthy`, of a service that was just started: it is not asked long before it can be ready.

        Each time the engine runs a program in the container, and while a service starts that takes the processor time
        which its start needs. So the first question comes a little sooner than the first good answer came last time.
        """
        begun = time.monotonic()
        first = max(0.0, min(self._first.get(service.name, 0.0), deadline - begun))
        await asyncio.sleep(first)
        asked = await self.healthy(service, deadline, error)
        took = first if asked == 1 else time.monotonic() - begun
        self._first[service.name] = min(_FIRST_SECONDS_MAX, _SOONER * took)

    async def healthy(self, service: Service, deadline: float, error: Failure) -> int:
        """Wait until the service's own health check succeeds; return how often it was asked."""
        code = asked = 0

        async def is_healthy() -> bool:
            nonlocal code, asked
            asked += 1
            container, left = self._running[service.name], deadline - time.monotonic()
            if await asyncio.to_thread(containers.is_healthy, self._client, container, service, left):
                return True
            running, code, is_over = await self._state(service.name)
            if not running and is_over:
                await self.fail(error, service.name, f"ended with code {code}")
            return False

        async def expired() -> None:
            said = f", and last ended with code {code}" if code else ""
            if not code and service.healthcheck is not None:
                said = f": {await self._failure_of(service.name, service.healthcheck.test, service.user)}"
            await self.fail(error, service.name, f"does not get healthy in time{said}")

        with self._waits.of(f"{service.name} to get healthy", deadline, self._words_of(service.name)):
            await poll(is_healthy, deadline, expired)
        return asked

    async def completed(self, service: Service, deadline: float, error: Failure) -> None:
        """Wait until a job has ended successfully; while its policy starts it again, a failure is not its end."""
        code = 0

        async def is_completed() -> bool:
            nonlocal code
            running, code, is_over = await self._state(service.name)
            if not running and code and is_over:
                await self.fail(error, service.name, f"ended with code {code}")
            return not running and not code

        async def expired() -> None:
            last = f", and last ended with code {code}" if code else ""
            await self.fail(error, service.name, f"does not complete in time{last}")

        with self._waits.of(f"{service.name} to complete", deadline, self._words_of(service.name)):
            await poll(is_completed, deadline, expired)

    async def _state(self, service: str) -> tuple[bool, int, bool]:
        """Whether a service runs, else its exit code, and whether its policy does not start it again after that.

        The policy is asked before as well: an end that is seen now may be the one before a restart that came meanwhile.
        """
        comes_back = self._is_restarted(service, _ANY_FAILURE)
        running, code = await asyncio.to_thread(containers.state, self._client, self._running[service])
        return running, code, not (code and comes_back) and not self._is_restarted(service, code)

    async def steady(self, service: str, command: Sequence[str], deadline: float, error: Failure) -> None:
        """Wait until a command inside the service succeeds."""

        async def is_steady() -> bool:
            seconds = min(_COMMAND_SECONDS_MAX, deadline - time.monotonic())
            return await asyncio.to_thread(containers.succeeds, self._client, self._running[service], command, seconds)

        async def expired() -> None:
            await self.fail(error, service, f"is not steady in time: {await self._failure_of(service, command)}")

        with self._waits.of(f"{service} to be steady", deadline, self._words_of(service)):
            await poll(is_steady, deadline, expired)

    async def _failure_of(self, service: str, command: Sequence[str], user: str = "") -> str:
        """How a command inside a service, run once more, fails, in its own words."""
        shown = self._hush(" ".join(command).encode()).decode(errors="replace")
        run = asyncio.to_thread(containers.execute, self._client, self._running[service], command, self._hush, user)
        try:
            async with asyncio.timeout(_COMMAND_SECONDS_MAX):
                code, said = await run
        except TimeoutError:
            return f"{shown} does not end"
        if not code:
            return f"{shown} succeeds only now"
        return f"{shown} fails; {said}" if said else f"{shown} fails with code {code} and says nothing"

    async def open(self, door: tuple[str, int], name: str, deadline: float, error: Failure, service: str = "") -> None:
        """Wait until a published port accepts a connection: it may come a moment after its service's start."""
        with self._waits.of(f"the {name} to accept a connection", deadline, self._words_of(service)):
            await poll(functools.partial(accepts, door), deadline, lambda: self.fail(error, name, "accepts nobody"))

    async def fail(self, error: Failure, service: str, what: str) -> None:
        """Raise, with the service's last words where it has any."""
        words = await self._words_of(service)()
        raise error(f"{service} {what}" + (f"; its last words:\n{words}" if words else ""))

    def _words_of(self, service: str) -> Callable[[], Awaitable[str]]:
        """What a service said last; one without a container says nothing."""

        async def words() -> str:
            if service not in self._running:
                return ""
            return await asyncio.to_thread(containers.last_words, self._client, self._running[service], self._hush)

        return words


class Behind:
    """Copies that were put on blank LUNs and are not known to have caught up with the others.

    One has when its services are healthy and, where the stack says how to tell, steady; that is looked for all the
    time, since it cannot be told any more when those are lost that it copies.
    """

    def __init__(self, stack: Stack, ready: Readiness) -> None:
        """There are none."""
        self.luns: Set[str] = frozenset()
        self._stack = stack
        self._ready = ready
        self._tasks: list[asyncio.Task[None]] = []

    def watch(self, luns: Set[str]) -> None:
        """Copies on these LUNs begin anew; wait for them, and for those from before."""
        luns = self.luns | luns
        self.clear()
        self.luns = luns
        self._tasks = [asyncio.create_task(self._catch_up(lun)) for lun in luns]

    def clear(self) -> None:
        """None is waited for any more."""
        for task in self._tasks:
            task.cancel()
        self.luns = frozenset()

    async def _catch_up(self, lun: str) -> None:
        services = self._stack.services_on((lun,))
        # who ends, or is removed, is waited for again by whoever brings it back
        with contextlib.suppress(HarnessError, KeyError, Refusal, OSError):
            for name in services:
                await self._ready.healthy(self._stack.services[name], math.inf, HarnessError)
            for name in self._stack.steady.keys() & set(services):
                await self._ready.steady(name, self._stack.steady[name], math.inf, HarnessError)
            self.luns -= {lun}


@contextlib.contextmanager
def raised_as(error: Failure) -> Iterator[None]:
    """Turn what the engine does not make or start into this error."""
    try:
        yield
    except Unstartable as refused:
        raise error(str(refused)) from refused


async def all_over(calls: Iterable[Awaitable[T]]) -> list[T]:
    """Wait until all of these have ended, and raise the first error; the agent's before any other."""
    ended = await asyncio.gather(*calls, return_exceptions=True)
    errors = [each for each in ended if isinstance(each, BaseException)]
    for error in sorted(errors, key=lambda error: not isinstance(error, AgentError)):
        raise error
    return [each for each in ended if not isinstance(each, BaseException)]

"""The controller's end of the agent: starts its container and speaks JSON lines with it over a private socket.

The socket lies in the cache folder, which the agent has bound, for as long as it takes the agent to connect.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from chaos.agent.codec import decoded, encoded
from chaos.agent.request import Request
from chaos.agent.wire import Beat, Event
from chaos.errors import AgentError, EngineError
from chaos.stack.agent.heartbeat import Heartbeat, Stall
from chaos.stack.cache import CACHE_IN_AGENT
from chaos.stack.engine import own
from chaos.stack.engine.client import Engine, Refusal, reason_of
from chaos.stack.engine.identity import Run

_BEAT_SECONDS_MAX = 20.0
_CALL_SECONDS_MAX = 150.0
_LONG = {"save": 3600.0, "format": 600.0}
"""What takes as long as there is to write."""
_READY_SECONDS_MAX = 20.0

R = TypeVar("R")


class Agent:
    """One run's agent. All methods belong to the event loop in which it was started."""

    def __init__(self, container: str, link: socket.socket, on_event: Callable[[Event], None]) -> None:
        """Use `Agent.start`."""
        self.container = container
        self._link = link
        self._on_event = on_event
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._lines = b""
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._sending = threading.Lock()
        self._heartbeat: Heartbeat | None = None
        self.on_stall: Callable[[Stall], None] = lambda stall: None
        self.on_struck: dict[int, Callable[[Event], None]] = {}
        """By its cause, who is told at once when an armed request has been carried out, before anything later."""
        self.lost = asyncio.Event()
        self.last_words = ""

    @classmethod
    async def start(cls, client: Engine, image: str, run: Run, cache: str, on_event: Callable[[Event], None]) -> Agent:
        """Create and start the agent's container, and wait until the agent has connected and is ready.

        Raises:
            AgentError: It does not come up; the message carries what the engine said, or the agent.
        """
        loop = asyncio.get_running_loop()
        agent: Agent | None = None
        try:
            with _door(f"{cache}/scratch", run) as door:
                container = await asyncio.to_thread(_launch, client, image, run, cache)
                async with asyncio.timeout(_READY_SECONDS_MAX):
                    link, _ = await loop.sock_accept(door)
                    link.setblocking(False)
                    agent = cls(container, link, on_event)
                    loop.add_reader(link.fileno(), agent._readable)
                    await agent._ready
        except Refusal as error:
            raise AgentError(f"the agent cannot start: {reason_of(error)}; see `holdfast doctor`") from error
        except TimeoutError:
            why = ""
            if agent is not None:
                agent._close()
            else:
                with contextlib.suppress(Refusal, EngineError):
                    why = await asyncio.to_thread(own.elsewhere, client, run, image, Path(cache))
            raise AgentError(_not_ready(why)) from None
        agent._heartbeat = Heartbeat(agent._beat, agent._stalled)
        agent._heartbeat.start()
        return agent

    @property
    def given_up(self) -> Stall | None:
        """Why the heartbeat fell silent, if it did."""
        return self._heartbeat.gave_up if self._heartbeat else None

    async def call(self, request: Request[R]) -> R:
        """Send one request and wait for its answer.

        Raises:
            AgentError: The agent refused it, is gone, or gave no answer in time.
        """
        do = request.do
        if self.lost.is_set():
            raise AgentError(f"the agent is gone, {do} cannot be done; the run folder has its last words")
        number, seconds_max = next(self._numbers), _LONG.get(do, _CALL_SECONDS_MAX)
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._waiting[number] = answer
        try:
            self._send({"id": number, "do": do, **encoded(request)})
            async with asyncio.timeout(seconds_max):
                reply: R = decoded(request.reply, await answer)
                return reply
        except TimeoutError:
            raise AgentError(f"the agent gave no answer to {do} in {seconds_max:.0f} s") from None
        except OSError as error:
            raise AgentError(f"the agent is gone, {do} cannot be done: {error}") from error
        finally:
            self._waiting.pop(number, None)

    def hand_over(self) -> socket.socket:
        """The agent's socket, for who keeps it alive from now on; this end neither beats nor hears any more."""
        link = self._link.dup()
        self._close()
        return link

    async def stop(self) -> None:
        """End the agent: its socket ends, so it lets go of everything and exits."""
        self._close()

    def _send(self, request: dict[str, Any]) -> None:
        line = json.dumps(request).encode() + b"\n"
        with self._sending:
            self._link.sendall(line)

    def _beat(self) -> None:
        """From the heartbeat's thread. Without a number, so that no answers pile up while nobody reads them."""
        with contextlib.suppress(OSError):  # whoever calls next is told
            self._send({"do": Beat.do})

    def _stalled(self, stall: Stall) -> None:
        self._on_event(Event("stalled", seconds=stall.seconds, trace="".join(stall.stack.format())))
        self.on_stall(stall)

    def _readable(self) -> None:
        try:
            chunk = self._link.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._close()
            return
        *lines, self._lines = (self._lines + chunk).split(b"\n")
        for line in lines:
            try:
                self._heard(json.loads(line))
            except Exception as error:  # noqa: BLE001 - the other lines have nothing to do with it
                self._loop.call_exception_handler({"message": f"the agent said {line!r:.200}", "exception": error})

    def _heard(self, message: dict[str, Any]) -> None:
        number = message.get("id")
        if number is None:
            event: Event = decoded(Event, message)
            if event.event == "ready" and not self._ready.done():
                self._ready.set_result(None)
            if event.event == "crashed":
                self.last_words = event.trace.strip().rpartition("\n")[2]
            if event.event == "struck" and (told := self.on_struck.pop(event.cause, None)) is not None:
                told(event)
            self._on_event(event)
            return
        answer = self._waiting.get(number)
        if answer is None or answer.done():
            return
        if "ok" in message:
            answer.set_result(message["ok"])
        else:
            self._on_event(Event("refused", error=message["error"], trace=message.get("trace", "")))
            answer.set_exception(AgentError(f"the agent refused {message['error']}"))

    def _close(self) -> None:
        if self.lost.is_set():
            return
        self.lost.set()
        if self._heartbeat is not None:
            self._heartbeat.stop()
        self._loop.remove_reader(self._link.fileno())
        self._link.close()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(AgentError("the agent is gone; the run folder has its last words"))
        if not self._ready.done():
            said = f": {self.last_words}" if self.last_words else ""
            self._ready.set_exception(AgentError(f"the agent ended before it was ready{said}; see `holdfast doctor`"))


def _not_ready(elsewhere: str) -> str:
    if elsewhere:
        return f"the agent cannot be reached: the engine is not this host's own, for {elsewhere}; {own.REMEDY}"
    return f"the agent was not ready in {_READY_SECONDS_MAX:.0f} s; see `holdfast doctor`"


@contextmanager
def _door(folder: str, run: Run) -> Iterator[socket.socket]:
    """The agent's socket, in the folder: one agent connects to it, nobody else may, and it is removed afterwards."""
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    path = f"/proc/self/fd/{handle}/{run.id}.sock"  # the folder's own name may be too long for an address
    try:
        with socket.socket(socket.AF_UNIX) as door:
            door.setblocking(False)
            door.bind(path)
            try:
                os.chmod(path, 0o600)  # noqa: PTH101 - nobody can connect before it listens
                door.listen(1)
                yield door
            finally:
                os.unlink(path)  # noqa: PTH108
    finally:
        os.close(handle)


def _launch(client: Engine, image: str, run: Run, cache: str) -> str:
    command = [run.id, f"{CACHE_IN_AGENT}/scratch", str(_BEAT_SECONDS_MAX)]
    return own.start_agent(client, run, image, command, cache, CACHE_IN_AGENT)

"""The controller's end of the agent: starts its container and speaks JSON lines over its attached stdin and stdout."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

import docker
import docker.errors
import docker.types

from chaos.errors import AgentError
from chaos.stack.identity import Run

_CAPABILITIES = ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "MKNOD", "KILL", "DAC_READ_SEARCH", "DAC_OVERRIDE"]
_DEVICES = ["b 7:* rwm", "c 10:229 rwm", "c 10:237 rwm"]
"""Loop devices, /dev/fuse and /dev/loop-control."""
_BEAT_SECONDS = 1.0
_BEAT_SECONDS_MAX = 20.0
_CALL_SECONDS_MAX = 150.0
_READY_SECONDS_MAX = 20.0
CACHE_IN_AGENT = "/cache"
_CGROUPS_IN_AGENT = "/host/cgroup"
"""As `chaos.agent.freezer.ROOT`."""

Event = dict[str, Any]


class Agent:
    """One run's agent. All methods belong to the event loop in which it was started."""

    def __init__(self, container: str, link: socket.socket, on_event: Callable[[Event], None]) -> None:
        """Use `Agent.start`."""
        self.container = container
        self._link = link
        self._on_event = on_event
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._frames = b""
        self._lines = b""
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._beating: asyncio.Task[None] | None = None
        self.lost = asyncio.Event()
        self.last_words = ""

    @classmethod
    async def start(
        cls, client: docker.DockerClient, image: str, run: Run, cache: str, on_event: Callable[[Event], None]
    ) -> Agent:
        """Create, attach (before the start, so that StdinOnce holds) and start the agent's container.

        Raises:
            AgentError: It does not come up; the message carries what it said.
        """
        try:
            container, link = await asyncio.to_thread(_launch, client, image, run, cache)
        except docker.errors.APIError as error:
            raise AgentError(f"the agent cannot start: {error.explanation}; see `holdfast doctor`") from error
        agent = cls(container, link, on_event)
        agent._loop.add_reader(link.fileno(), agent._readable)
        try:
            async with asyncio.timeout(_READY_SECONDS_MAX):
                await agent._ready
        except TimeoutError:
            await agent.stop()
            raise AgentError(f"the agent said nothing in {_READY_SECONDS_MAX:.0f} s; see `holdfast doctor`") from None
        agent._beating = asyncio.create_task(agent._beat())
        return agent

    async def call(self, do: str, **parameters: Any) -> Any:
        """Send one request and wait for its answer.

        Raises:
            AgentError: The agent refused it, is gone, or gave no answer in time.
        """
        if self.lost.is_set():
            raise AgentError(f"the agent is gone, {do} cannot be done; the run folder has its last words")
        number = next(self._numbers)
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._waiting[number] = answer
        try:
            self._link.sendall(json.dumps({"id": number, "do": do, **parameters}).encode() + b"\n")
            async with asyncio.timeout(_CALL_SECONDS_MAX):
                return await answer
        except TimeoutError:
            raise AgentError(f"the agent gave no answer to {do} in {_CALL_SECONDS_MAX:.0f} s") from None
        except OSError as error:
            raise AgentError(f"the agent is gone, {do} cannot be done: {error}") from error
        finally:
            self._waiting.pop(number, None)

    async def stop(self) -> None:
        """End the agent: its stdin ends, so it lets go of everything and exits."""
        if self._beating is not None:
            self._beating.cancel()
        self._close()

    async def _beat(self) -> None:
        with contextlib.suppress(AgentError):  # whoever calls next is told
            while not self.lost.is_set():
                await self.call("beat")
                await asyncio.sleep(_BEAT_SECONDS)

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
        self._frames += chunk
        while len(self._frames) >= 8:
            stream, size = struct.unpack_from(">BxxxI", self._frames)
            if len(self._frames) < 8 + size:
                return
            payload, self._frames = self._frames[8 : 8 + size], self._frames[8 + size :]
            if stream == 1:
                self._lines += payload
            else:
                self._on_event({"event": "stderr", "text": payload.decode(errors="replace")})
            *lines, self._lines = self._lines.split(b"\n")
            for line in lines:
                self._heard(json.loads(line))

    def _heard(self, message: dict[str, Any]) -> None:
        number = message.get("id")
        if number is None:
            if message.get("event") == "ready" and not self._ready.done():
                self._ready.set_result(None)
            if message.get("event") == "crashed":
                self.last_words = str(message["trace"]).strip().rpartition("\n")[2]
            self._on_event(message)
            return
        answer = self._waiting.get(number)
        if answer is None or answer.done():
            return
        if "ok" in message:
            answer.set_result(message["ok"])
        else:
            self._on_event({"event": "refused", **message})
            answer.set_exception(AgentError(f"the agent refused {message['error']}"))

    def _close(self) -> None:
        if self.lost.is_set():
            return
        self.lost.set()
        self._loop.remove_reader(self._link.fileno())
        self._link.close()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(AgentError("the agent is gone; the run folder has its last words"))
        if not self._ready.done():
            self._ready.set_exception(AgentError("the agent ended before it was ready; see `holdfast doctor`"))


def _launch(client: docker.DockerClient, image: str, run: Run, cache: str) -> tuple[str, socket.socket]:
    api = client.api
    host = api.create_host_config(
        pid_mode="host",
        network_mode="none",
        cap_drop=["ALL"],
        cap_add=_CAPABILITIES,
        security_opt=["seccomp=unconfined", "apparmor=unconfined"],
        device_cgroup_rules=_DEVICES,
        binds=["/dev:/dev", f"{cache}:{CACHE_IN_AGENT}", f"/sys/fs/cgroup:{_CGROUPS_IN_AGENT}"],
        cgroupns="host",  # else version 2 shows paths relative to the agent's own
        log_config=docker.types.LogConfig(type="none"),
        auto_remove=True,
    )
    # detach=False is what makes the SDK send StdinOnce, without which a dead controller is never noticed
    container = api.create_container(
        image,
        command=[run.id, f"{CACHE_IN_AGENT}/scratch", str(_BEAT_SECONDS_MAX)],
        name=f"holdfast-{run.id}-agent",
        labels=run.labels("agent"),
        host_config=host,
        stdin_open=True,
        detach=False,
    )["Id"]
    link = api.attach_socket(container, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
    raw = socket.socket(fileno=os.dup(link.fileno()))
    link._sock.close()  # else the SDK's end stays open, and is one more that must close for the agent to notice
    link.close()
    raw.setblocking(False)
    api.start(container)
    return container, raw

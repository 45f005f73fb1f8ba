"""The agent's loop: requests of `wire` as JSON lines, answers and events back; FUSE in the same thread.

Requests come over the agent's socket, which the controller makes in the scratch folder; the agent connects to it first.

Dead-man's switch: at end-of-file, without a first request in 5 s, or without any request within the deadline
(the controller sends `Beat`, without an id where it wants no answer), everything is let go and the agent exits.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from chaos.agent import wire
from chaos.agent.codec import decoded, encoded
from chaos.agent.disk import fuse
from chaos.agent.request import REQUESTS
from chaos.agent.service import Agent

_HELLO_SECONDS_MAX = 5.0
_TICK_SECONDS = 0.25
_REQUESTS_A_TURN = 2
"""I/Os between two looks for requests: one client alone can keep the array busy for ever."""
_NICENESS = -20
_PRIORITY = 1
"""The array's own work must not wait for that of the services: a fault takes hold when this process runs. The thread
that serves comes before every ordinary one, where the host lets it; the workers are ordinary ones, the nicest to us.
"""
_FRONT_FOLDER = "/run/holdfast"


class Line:
    """The agent's end of the socket; threads answer over it, too."""

    def __init__(self, path: str) -> None:
        """Connect to the controller, which listens for a while only."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._speaking = threading.Lock()
        self._rest = b""

    def fileno(self) -> int:
        """To wait for what comes."""
        return self._socket.fileno()

    def requests(self) -> list[bytes] | None:
        """What has come, None at the end; call it when there is something to read."""
        chunk = b""
        with contextlib.suppress(ConnectionError):  # a killed controller leaves unread answers behind
            chunk = self._socket.recv(1 << 16)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return lines if chunk else None

    def say(self, message: dict[str, Any]) -> None:
        """Send one answer or event; to nobody, once the controller is gone."""
        with self._speaking, contextlib.suppress(OSError):
            self._socket.sendall(json.dumps(message).encode() + b"\n")


def main() -> None:
    """Serve until the controller is gone. Arguments: run id, folder for logs, heartbeat deadline in seconds."""
    run, store, beat_seconds_max = sys.argv[1], sys.argv[2], float(sys.argv[3])
    line = Line(f"{store}/{run}.sock")
    agent: Agent | None = None
    try:
        os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
        os.makedirs(_FRONT_FOLDER, exist_ok=True)
        device = fuse.mount(_FRONT_FOLDER)  # first: at exit it closes before any loop device, and so unblocks them
        front = fuse.Front(device)
        agent = Agent(run, front, _FRONT_FOLDER, store, lambda event: line.say(encoded(event)))
        workers = ThreadPoolExecutor(max_workers=4, initializer=_be_ordinary)
        line.say(encoded(wire.Event("ready")))
        _loop(agent, front, device, workers, line, beat_seconds_max)
    except Exception:  # noqa: BLE001 - last words, for the run folder
        line.say(encoded(wire.Event("crashed", trace=traceback.format_exc())))
    if agent is not None:
        agent.close()
    os._exit(0)  # a worker may hang in a system call that only the end of this process ends


def _be_ordinary() -> None:
    """In a worker, which takes after the thread that starts it; and the programs that it runs take after it."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def _loop(
    agent: Agent, front: fuse.Front, device: int, workers: ThreadPoolExecutor, line: Line, beat_seconds_max: float
) -> None:
    waiting = select.epoll()
    waiting.register(device, select.EPOLLIN)
    waiting.register(line, select.EPOLLIN)
    heard = time.monotonic() - beat_seconds_max + _HELLO_SECONDS_MAX
    ticked = 0.0
    while time.monotonic() - heard < beat_seconds_max:
        ready = [handle for handle, _ in waiting.poll(min(_TICK_SECONDS, front.seconds_until_due))]
        if front.seconds_until_due == 0:  # first: who asks now is told of what has waited until now
            front.reconsider()
        if line.fileno() in ready:
            requests = line.requests()
            if requests is None:
                return
            heard = time.monotonic()
            for request in requests:
                _handle(agent, workers, line, request)
        if device in ready:
            front.serve(_REQUESTS_A_TURN)
        if time.monotonic() - ticked >= _TICK_SECONDS:
            ticked = time.monotonic()
            for event in agent.tick():
                line.say(encoded(event))


def _handle(agent: Agent, workers: ThreadPoolExecutor, line: Line, text: bytes) -> None:
    message: dict[str, Any] = json.loads(text)
    number, name = message.pop("id", None), message.pop("do")
    if number is None:
        return  # a beat that wants no answer
    if REQUESTS.get(name) in Agent.SLOW:
        workers.submit(_answer, agent, line, number, name, message)
    else:
        _answer(agent, line, number, name, message)


def _answer(agent: Agent, line: Line, number: int, name: str, fields: dict[str, Any]) -> None:
    try:
        request = decoded(REQUESTS[name], fields)
        done = getattr(agent, f"do_{name}")(request)
    except Exception as error:  # noqa: BLE001 - every failure belongs to the controller, who asked
        trace = traceback.format_exc(limit=-3)
        line.say({"id": number, "error": f"{name}: {type(error).__name__}: {error}", "trace": trace})
    else:
        line.say({"id": number, "ok": encoded(done)})


if __name__ == "__main__":
    main()

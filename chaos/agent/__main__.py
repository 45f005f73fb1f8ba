"""The agent's loop: requests as JSON lines on stdin, answers and events on stdout; FUSE in the same thread.

    {"id": 7, "do": "attach", "lun": "pgdata"}   ->   {"id": 7, "ok": {"device": "/dev/loop3"}}
    {"id": 8, "do": "drop", "lun": "nosuch"}                      ->   {"id": 8, "error": "..."}
    pushed: {"event": "lease-ended", "luns": [...]}, {"event": "ready", ...}

Dead-man's switch: at end-of-file, without a first request in 5 s, or without any request within the deadline
(the controller sends "beat"), everything is let go and the agent exits.
"""

from __future__ import annotations

import json
import os
import selectors
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from chaos.agent import fuse
from chaos.agent.service import Agent

_HELLO_SECONDS_MAX = 5.0
_TICK_SECONDS = 0.25
_REQUESTS_A_TURN = 64
_FRONT_FOLDER = "/run/holdfast"

_output = threading.Lock()


def main() -> None:
    """Serve until the controller is gone. Arguments: run id, folder for logs, heartbeat deadline in seconds."""
    run, store, beat_seconds_max = sys.argv[1], sys.argv[2], float(sys.argv[3])
    os.makedirs(_FRONT_FOLDER, exist_ok=True)
    device = fuse.mount(_FRONT_FOLDER)  # first of all: at exit it closes before any loop device, and so unblocks them
    front = fuse.Front(device)
    agent = Agent(run, front, _FRONT_FOLDER, store)
    workers = ThreadPoolExecutor(max_workers=4)
    _say({"event": "ready", "pid": os.getpid()})
    try:
        _loop(agent, front, device, workers, beat_seconds_max)
    except Exception:  # noqa: BLE001 - last words, for the run folder
        _say({"event": "crashed", "trace": traceback.format_exc()})
    agent.close()
    os._exit(0)  # a worker may hang in a system call that only the end of this process ends


def _loop(agent: Agent, front: fuse.Front, device: int, workers: ThreadPoolExecutor, beat_seconds_max: float) -> None:
    waiting = selectors.DefaultSelector()
    waiting.register(device, selectors.EVENT_READ)
    waiting.register(0, selectors.EVENT_READ)
    os.set_blocking(0, False)
    pending = b""
    heard = time.monotonic() - beat_seconds_max + _HELLO_SECONDS_MAX
    ticked = 0.0
    while time.monotonic() - heard < beat_seconds_max:
        ready = {key.fd for key, _ in waiting.select(_TICK_SECONDS)}
        if 0 in ready:
            chunk = os.read(0, 1 << 16)
            if not chunk:
                return
            heard = time.monotonic()
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                _handle(agent, workers, line)
        if device in ready:
            front.serve(_REQUESTS_A_TURN)
        if time.monotonic() - ticked >= _TICK_SECONDS:
            ticked = time.monotonic()
            for event in agent.tick():
                _say(event)


def _handle(agent: Agent, workers: ThreadPoolExecutor, line: bytes) -> None:
    request: dict[str, Any] = json.loads(line)
    number, name = request.pop("id"), request.pop("do")
    if name == "beat":
        _say({"id": number, "ok": {}})
    elif name in Agent.SLOW:
        workers.submit(_answer, agent, number, name, request)
    else:
        _answer(agent, number, name, request)


def _answer(agent: Agent, number: int, name: str, request: dict[str, Any]) -> None:
    try:
        done = getattr(agent, f"do_{name}")(**request)
    except Exception as error:  # noqa: BLE001 - every failure belongs to the controller, who asked
        trace = traceback.format_exc(limit=-3)
        _say({"id": number, "error": f"{name}: {type(error).__name__}: {error}", "trace": trace})
    else:
        _say({"id": number, "ok": done})


def _say(message: dict[str, Any]) -> None:
    data = json.dumps(message).encode() + b"\n"
    with _output:
        while data:
            data = data[os.write(1, data) :]


if __name__ == "__main__":
    main()

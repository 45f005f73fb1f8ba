"""The guard: a small process in a session of its own that outlives the controller by a few seconds.

It holds the read end of a pipe from the controller. When the pipe ends without "done", the controller is dead,
by kill -9 too, and the guard removes the run's objects by label. The agent, whose socket ends at the same
moment, lets go of devices by itself.

Run as `python -m chaos.stack.cleanup.guard`; the run's id comes as the first line.

A stack that is left for somebody to look at has a guard of its own: that one holds the agent's socket, so that the
disks live on, and removes everything when its time is up, at SIGTERM, or when the agent is gone.
"""

from __future__ import annotations

import contextlib
import json
import select
import signal
import socket
import subprocess
import sys
import time
from types import FrameType

from chaos.agent.wire import Beat
from chaos.stack.cache import left_to
from chaos.stack.engine.identity import Run, owner_of

_BEAT_SECONDS = 1.0
_DONE = b"done\n"


class Guard:
    """The controller's end."""

    def __init__(self, run_id: str) -> None:
        """Start the guard; from here on a dead controller leaves nothing behind."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chaos.stack.cleanup.guard"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(f"{run_id}\n".encode())
        self._process.stdin.flush()

    def dismiss(self, *, clean: bool, seconds_max: float = 15.0) -> None:
        """End the guard, after everything has been removed; else, not `clean`, it tries once more by itself."""
        assert self._process.stdin is not None
        try:
            if clean:
                self._process.stdin.write(_DONE)
            self._process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            self._process.wait(seconds_max)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        """The guard's process id."""
        return self._process.pid


def hand_over(run: Run, agent: socket.socket, seconds: float) -> int:
    """Leave the stack of a run to a guard of its own, which removes it after so many seconds; return that one's pid.

    Args:
        run: Whose stack; from now on it has an owner while that guard lives.
        agent: The agent's socket; it is closed here.
        seconds: From now on.
    """
    with agent:
        process = subprocess.Popen(
            [sys.executable, "-m", "chaos.stack.cleanup.guard", run.id, str(agent.fileno()), str(seconds)],
            pass_fds=[agent.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    left_to(run.id).write_text(owner_of(process.pid), encoding="utf-8")
    process.returncode = 0  # it is to outlive this process, which need not be warned of that
    return process.pid


def main() -> int:
    """Be the guard of a run, or with arguments that of a stack that is left."""
    return _guard() if len(sys.argv) == 1 else _keep(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))


def _keep(run_id: str, agent: int, seconds: float) -> int:
    """Keep the agent alive until the time is up, then sweep."""
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    until = time.monotonic() + seconds

    def end(signum: int, frame: FrameType | None) -> None:
        nonlocal until
        until = 0.0

    signal.signal(signal.SIGTERM, end)
    with socket.socket(fileno=agent) as link, contextlib.suppress(OSError):
        while time.monotonic() < until:
            link.sendall(json.dumps({"do": Beat.do}).encode() + b"\n")
            time.sleep(_BEAT_SECONDS)
            if select.select([link], [], [], 0)[0] and not link.recv(1 << 16):
                break  # the agent is gone, and the disks with it
    return _sweep(run_id)


def _guard() -> int:
    """Wait for the end of the pipe, then sweep unless the run was wound up in order."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    run_id = sys.stdin.buffer.readline().strip().decode()
    if not run_id:
        return 0
    if sys.stdin.buffer.readline() == _DONE:
        return 0
    return _sweep(run_id)


def _sweep(run_id: str) -> int:
    # imported late: in the good case it is never needed
    from chaos.stack.cleanup.sweep import sweep_until_clean
    from chaos.stack.engine.client import connect

    return 1 if sweep_until_clean(connect(), run_id).failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""The guard: a small process in a session of its own that outlives the controller by a few seconds.

It holds the read end of a pipe from the controller. When the pipe ends without "done", the controller is dead,
by kill -9 too, and the guard removes the run's objects by label. The agent, whose socket ends at the same
moment, lets go of devices by itself.

Run as `python -m chaos.stack.cleanup.guard`; the run's id comes as the first line.
"""

from __future__ import annotations

import signal
import subprocess
import sys

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


def main() -> int:
    """Wait for the end of the pipe, then sweep unless the run was wound up in order."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    run_id = sys.stdin.buffer.readline().strip().decode()
    if not run_id:
        return 0
    if sys.stdin.buffer.readline() == _DONE:
        return 0
    # imported late: in the good case it is never needed
    from chaos.stack.cleanup.sweep import sweep_until_clean
    from chaos.stack.engine.client import connect

    return 1 if sweep_until_clean(connect(), run_id).failed else 0


if __name__ == "__main__":
    sys.exit(main())

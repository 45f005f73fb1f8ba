"""Runs work that may take minutes (a build, a download) so that it can be given up at once.

It runs in a thread of its own. When it is given up, a program that it runs is ended with all that it has started, and
what goes over a connection ends with this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar, copy_context
from pathlib import Path
from typing import IO, ParamSpec, TypeVar

_LOOK_SECONDS = 0.2
_GRACE_SECONDS = 3.0
_NEVER = threading.Event()
_GIVEN_UP: ContextVar[threading.Event] = ContextVar("given_up", default=_NEVER)

T = TypeVar("T")
P = ParamSpec("P")


class GivenUp(Exception):
    """Nobody waits for this work any more."""


async def in_own_thread(call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """As `asyncio.to_thread`, but a caller who is cancelled waits for its end no longer than a program needs to end."""
    loop = asyncio.get_running_loop()
    given_up, done = threading.Event(), loop.create_future()
    context = copy_context()
    context.run(_GIVEN_UP.set, given_up)

    def tell(result: object, error: BaseException | None) -> None:
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def work() -> None:
        result, error = None, None
        try:
            result = context.run(call, *arguments, **named)
        except BaseException as caught:  # noqa: BLE001 - whoever waits gets it
            error = caught
        with contextlib.suppress(RuntimeError):  # nobody waits any more: the loop is closed
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=work, name="holdfast-patient", daemon=True).start()
    try:
        result: T = await asyncio.shield(done)
        return result
    except asyncio.CancelledError:
        given_up.set()
        done.add_done_callback(lambda ended: ended.exception())  # it is nobody's any more
        await asyncio.wait([done], timeout=_GRACE_SECONDS)
        raise


def run_program(
    command: Sequence[str],
    seconds_max: float,
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    given: IO[bytes] | None = None,
    say: Callable[[str], None] | None = None,
) -> tuple[int, str]:
    """Run a program to its end; return its exit code and what it wrote.

    Args:
        command: The program and its arguments.
        seconds_max: When it is ended.
        environment: Instead of this process's own.
        folder: In which it runs.
        given: A file on disk that it reads as its stdin.
        say: Called with each line that it writes, from another thread.

    Raises:
        TimeoutError: It did not end in time, and was ended.
        GivenUp: Nobody waits for it any more, and it was ended.
    """
    given_up, until = _GIVEN_UP.get(), time.monotonic() + seconds_max
    process = subprocess.Popen(
        command,
        env=environment,
        cwd=folder,
        stdin=given if given is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # it is ended with all that it has started
    )
    said: list[str] = []

    def listen() -> None:
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                said.append(line)
                if say is not None:
                    say(line)

    listener = threading.Thread(target=listen, name="holdfast-listener", daemon=True)
    listener.start()
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK_SECONDS)
                listener.join(_GRACE_SECONDS)  # what it has started may hold its output open
                return process.returncode, "".join(said)
            if given_up.is_set():
                raise GivenUp(f"{command[0]}: nobody waits for it any more")
            if time.monotonic() > until:
                raise TimeoutError(f"{command[0]} did not end in {seconds_max:.0f} s")
    except BaseException:
        _end(process)
        listener.join(_GRACE_SECONDS)
        raise


def _end(process: subprocess.Popen[str]) -> None:
    """SIGTERM, on which it may clean up, then SIGKILL, to its whole session."""
    for number, seconds in ((signal.SIGTERM, _GRACE_SECONDS / 2), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)

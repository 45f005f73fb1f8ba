"""Calls into a driver, the user's own code, with a time limit; its errors end nothing but the call."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from chaos.workload.session import Copy, Session

T = TypeVar("T")
CANCELLED_SECONDS: Final = 0.5
"""So long a call may take to end before it is cancelled again."""
CANCELLED_TIMES_MAX: Final = 3


class NoAnswerError(TimeoutError):
    """The call did not end in time. A `TimeoutError` of the driver's own is not one."""


class BrokenOffError(Exception):
    """The driver cancelled itself, or wanted to end the process."""


async def answer_of(call: Callable[[], Awaitable[T]], seconds_max: float) -> T:
    """What a call returns.

    A call that is given up is cancelled, and again if it does not end, since it may wait for the service once more. One
    that does not end then either is left to itself.

    Raises:
        NoAnswerError: Nothing in time.
        BrokenOffError: In place of an exit, and of a cancellation that nobody asked for.
        Exception: Whatever else the driver raises.
    """
    task = asyncio.create_task(_contained(call))
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # late, it is of no interest any more
    try:
        await asyncio.wait([task], timeout=seconds_max)
    except asyncio.CancelledError:
        await _give_up(task)
        raise
    if not task.done():
        await _give_up(task)
        if not task.done():
            raise NoAnswerError(f"no answer in {seconds_max:g} s, and the driver does not end the call")
        if task.cancelled():
            raise NoAnswerError(f"no answer in {seconds_max:g} s")
    elif task.cancelled():
        raise BrokenOffError("the driver cancelled itself")
    return task.result()


async def _contained(call: Callable[[], Awaitable[T]]) -> T:
    """The call, which as a task of its own would end the process by a SystemExit."""
    try:
        return await call()
    except SystemExit as error:
        raise BrokenOffError(f"the driver wanted to end the process: SystemExit: {error}") from None


async def _give_up(task: asyncio.Task[T]) -> None:
    for _ in range(CANCELLED_TIMES_MAX):
        task.cancel()
        await asyncio.wait([task], timeout=CANCELLED_SECONDS)
        if task.done():
            break


async def close(session: Session | Copy, seconds_max: float) -> None:
    """Close a session; a failure to do so does not affect the verdict."""
    with contextlib.suppress(Exception):
        await answer_of(session.close, seconds_max)

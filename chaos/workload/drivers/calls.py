"""Calls into a driver, the user's own code, with a time limit; its errors end nothing but the call."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

from chaos.workload.session import Copy, Session

T = TypeVar("T")


class NoAnswerError(TimeoutError):
    """The call did not end in time. A `TimeoutError` of the driver's own is not one."""


class BrokenOffError(Exception):
    """The driver cancelled itself, or wanted to end the process."""


async def answer_of(call: Callable[[], Awaitable[T]], seconds_max: float) -> T:
    """What a call returns.

    Raises:
        NoAnswerError: Nothing in time.
        BrokenOffError: In place of an exit, and of a cancellation that nobody asked for.
        Exception: Whatever else the driver raises.
    """
    limit = asyncio.timeout(seconds_max)
    try:
        async with limit:
            return await call()
    except TimeoutError:
        if limit.expired():
            raise NoAnswerError(f"no answer in {seconds_max:g} s") from None
        raise
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise BrokenOffError("the driver cancelled itself") from None
    except SystemExit as error:
        raise BrokenOffError(f"the driver wanted to end the process: SystemExit: {error}") from None


async def close(session: Session | Copy, seconds_max: float) -> None:
    """Close a session; a failure to do so does not affect the verdict."""
    with contextlib.suppress(Exception):
        await answer_of(session.close, seconds_max)

"""Numbers operations and writes their events: the one way in which the workload reaches the history."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from chaos.errors import NotNow, Refused
from chaos.history.events import Act, Back, Event, Outcome, Row, Send
from chaos.workload.blame import defect_of, told

T = TypeVar("T")


class Sink(Protocol):
    """Where events go; `chaos.history.recorder.Recorder` in a trial."""

    def append(self, event: Event) -> None:
        """Write one event."""


@dataclass(frozen=True, slots=True)
class Told:
    """What an answer said, for its `Back`."""

    outcome: Outcome = "ok"
    by: str = ""
    why: str = ""
    full: bool = False
    rows: tuple[Row, ...] = ()
    gone: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """How an attempt ended.

    Attributes:
        result: What the driver returned; None unless `outcome` is ok or degraded.
        final: Trying again cannot help: acknowledged, or refused for good.
        why: Why there is no result.
        defect: What is wrong with the driver, and where, if it was the driver.
    """

    outcome: Outcome
    result: T | None
    final: bool
    why: str = ""
    defect: str = ""


@dataclass
class Logbook:
    """Operation numbers and the clock of one trial.

    Attributes:
        last_answer_at: CLOCK_MONOTONIC ns of the latest ok; how a fleet sees that the service still serves.
    """

    sink: Sink
    clock: Callable[[], int] = time.monotonic_ns
    last_answer_at: int = 0
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def number(self) -> int:
        """The next operation's number."""
        return next(self._numbers)

    def act(self, act: Act) -> None:
        """A user acts."""
        self.sink.append(act)

    async def attempt(
        self, op: int, n: int, call: Callable[[], Awaitable[T]], tell: Callable[[T], Told], seconds_max: float
    ) -> Answer[T]:
        """Make one attempt and write down when it left and how it came back.

        Only `Refused` is a definite no. Everything else that is not an answer, above all a time-out, is
        unknown.
        """
        self.sink.append(Send(op, n, self.clock()))
        try:
            async with asyncio.timeout(seconds_max):
                result = await call()
            told = tell(result)
        except NotNow as error:
            return self._failed(op, n, "fail", error, final=False)
        except Refused as error:
            return self._failed(op, n, "fail", error, final=True)
        except TimeoutError:
            return self._failed(op, n, "info", f"no answer in {seconds_max:g} s", final=False)
        except asyncio.CancelledError:
            self._failed(op, n, "info", "given up by the device", final=False)
            raise
        except Exception as error:  # noqa: BLE001  (whatever a user's driver raises means unknown)
            return self._failed(op, n, "info", error, final=False)
        now = self.clock()
        self.last_answer_at = now
        self.sink.append(
            Back(
                op,
                n,
                now,
                told.outcome,
                by=told.by,
                why=told.why,
                full=told.full,
                rows=told.rows,
                gone=told.gone,
            )
        )
        return Answer(told.outcome, result, final=True)

    def _failed(self, op: int, n: int, outcome: Outcome, why: BaseException | str, *, final: bool) -> Answer[T]:
        shown = told(why) if isinstance(why, BaseException) else why
        self.sink.append(Back(op, n, self.clock(), outcome, why=shown))
        defect = defect_of(why) if isinstance(why, BaseException) else ""
        return Answer(outcome, None, final, shown or outcome, defect)

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
from chaos.workload.drivers.blame import defect_of
from chaos.workload.drivers.calls import BrokenOffError, NoAnswerError, answer_of
from chaos.workload.returned import shown
from chaos.workload.session import Ack

T = TypeVar("T")
WORDS_MAX = 5_000
"""Characters of what was said that are looked at; a part of them is kept."""


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
        hush: What blanks out secrets in what services and drivers say.
        last_answer_at: CLOCK_MONOTONIC ns of the latest ok; how a fleet sees that the service still serves.
    """

    sink: Sink
    clock: Callable[[], int] = time.monotonic_ns
    hush: Callable[[bytes], bytes] = bytes
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
            result = await answer_of(call, seconds_max)
            told = tell(result)
        except NotNow as error:
            return self._failed(op, n, "fail", error, final=False)
        except Refused as error:
            return self._failed(op, n, "fail", error, final=True)
        except (NoAnswerError, BrokenOffError) as error:
            return self._failed(op, n, "info", str(error), final=False)
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
                why=quoted(told.why, self.hush),
                full=told.full,
                rows=told.rows,
                gone=told.gone,
            )
        )
        return Answer(told.outcome, result, final=True)

    def _failed(self, op: int, n: int, outcome: Outcome, why: object, *, final: bool) -> Answer[T]:
        defect = defect_of(why) if isinstance(why, BaseException) else ""
        told = quoted(defect or why, self.hush)
        self.sink.append(Back(op, n, self.clock(), outcome, why=told))
        return Answer(outcome, None, final, told or outcome, defect)


def tell_ack(ack: Ack) -> Told:
    """What an acknowledgement said."""
    warning = ack.warning if isinstance(ack.warning, str) else shown(ack.warning)
    return Told("degraded" if ack.warning else "ok", by=shown(ack.by), why=warning if ack.warning else "")


def quoted(words: object, hush: Callable[[bytes], bytes]) -> str:
    """What a service or a driver said, for the history, without secrets.

    They are blanked before the text is cut, or a part of one would be left.
    """
    return one_line(hush(said(words).encode()).decode("utf-8", "replace"))


def one_line(error: object) -> str:
    """An error as one line of at most 200 characters."""
    return " ".join(said(error).split())[:200]


def said(error: object) -> str:
    """The words of an error, or of anything else, as Unicode and of bounded length."""
    try:
        words = f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else str(error)
    except Exception:  # noqa: BLE001  (an exception of a driver's that cannot even say what it is)
        words = type(error).__name__
    return words[:WORDS_MAX].encode("utf-8", "backslashreplace").decode()

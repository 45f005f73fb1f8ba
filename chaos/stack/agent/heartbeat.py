"""Sends the heartbeat to the agent from a thread of its own, and watches the event loop.

The agent takes a controller that says nothing for 20 s for dead. What users bring along (a driver that blocks, files
to be hashed) may hold up the event loop for longer, and must not end a run. So a thread beats, and meanwhile looks
whether the loop moves; where it does not, a look at its thread's stack tells whose line it is.

The dead-man's switch stays: after LOOP_SECONDS_MAX without a sign of the loop the thread falls silent too, and the
agent lets go of every fault.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

LOOP_SECONDS_MAX = 300.0
"""A loop that stands still for longer is taken for dead. A fault's lease is three times that, and it renews them."""
STALL_SECONDS_MIN = 2.0
"""Told from here on: a busy machine alone holds up a loop for less."""
_SAMPLE_SECONDS = 1.0
_BEAT_SECONDS = 1.0


@dataclass(frozen=True)
class Stall:
    """The event loop stood still; `stack` is where its thread was, the innermost line last."""

    seconds: float
    stack: traceback.StackSummary


class Heartbeat:
    """Beats until it is stopped.

    Attributes:
        gave_up: The stall that was taken for the loop's death.
    """

    def __init__(self, beat: Callable[[], None], on_stall: Callable[[Stall], None]) -> None:
        """Make it in the loop's own thread; `on_stall` is called there, once the loop moves again."""
        self._beat = beat
        self._on_stall = on_stall
        self._loop = asyncio.get_running_loop()
        self._watched = threading.get_ident()
        self._stopped = threading.Event()
        self._asked_at = 0.0
        """When the loop was asked for a sign that has not come yet; 0 if it owes none."""
        self._seen: traceback.StackSummary | None = None
        self.gave_up: Stall | None = None
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self) -> None:
        """Beat no more."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            silent = time.monotonic() - self._asked_at if self._asked_at else 0.0
            if silent > _SAMPLE_SECONDS and self._seen is None:
                self._seen = self._look()
            if silent > LOOP_SECONDS_MAX:
                self.gave_up = Stall(silent, self._seen or self._look())
                where = "".join(self.gave_up.stack.format()[-3:])
                sys.stderr.write(
                    f"holdfast: nothing moves for {silent:.0f} s now, so every fault is let go of:\n{where}"
                )
                return
            self._beat()
            if not self._asked_at:
                self._asked_at = time.monotonic()
                try:
                    self._loop.call_soon_threadsafe(self._moved)
                except RuntimeError:  # the loop is closed
                    return
            self._stopped.wait(_BEAT_SECONDS)

    def _moved(self) -> None:
        """The loop's sign that it moves."""
        seconds, seen = time.monotonic() - self._asked_at, self._seen
        self._asked_at, self._seen = 0.0, None
        if seen and seconds >= STALL_SECONDS_MIN and not self._stopped.is_set():
            self._on_stall(Stall(seconds, seen))

    def _look(self) -> traceback.StackSummary:
        frame = sys._current_frames().get(self._watched)
        return traceback.extract_stack(frame) if frame else traceback.StackSummary()

"""Says what is under way, now and then, while something takes long: so no wait is silent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Say = Callable[[str], None]
"""Takes the newest thing that is known of a piece of work, such as the last line of a build; from any thread."""
_LINE_CHARACTERS_MAX = 160


def quiet(line: str) -> None:
    """A `Say` for whom nobody listens."""


@contextmanager
def pulse(what: str, tell: Say, beat_seconds: float) -> Iterator[Say]:
    """Call `tell` at every beat, from a thread of its own, with what is under way and since when.

    Args:
        what: Such as "image of db".
        tell: Takes one line.
        beat_seconds: From one call to the next.

    Yields:
        What the work itself may say; the last of it is part of the line.
    """
    newest, begun, over = [""], time.monotonic(), threading.Event()

    def say(line: str) -> None:
        if line.strip():
            newest[0] = " ".join(line.split())[:_LINE_CHARACTERS_MAX]

    def beat() -> None:
        while not over.wait(beat_seconds):
            tell(": ".join(filter(None, (f"{what}, {time.monotonic() - begun:.0f} s", newest[0]))))

    thread = threading.Thread(target=beat, name="holdfast-pulse", daemon=True)
    thread.start()
    try:
        yield say
    finally:
        over.set()
        thread.join()

"""What is under way is told while it goes on."""

from __future__ import annotations

import queue
import threading

from chaos.stack.pulse import pulse


def test_what_is_under_way_is_told_with_the_newest_that_is_known_of_it_until_it_is_over() -> None:
    told = queue.SimpleQueue[str]()

    def heard(line: str) -> bool:
        return any(told.get(timeout=5) == line for _ in range(5000))

    with pulse("image of db", told.put, beat_seconds=0.001) as say:
        assert heard("image of db, 0 s")
        say("step 1\n")
        assert heard("image of db, 0 s: step 1")
        say(" step   2 ")
        say("\n")
        assert heard("image of db, 0 s: step 2")
    assert "holdfast-pulse" not in {thread.name for thread in threading.enumerate()}

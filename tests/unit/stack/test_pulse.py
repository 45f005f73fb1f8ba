"""What is under way is told while it goes on."""

from __future__ import annotations

import threading

from chaos.stack.pulse import pulse, sparse


def test_what_is_under_way_is_told_with_the_newest_that_is_known_of_it() -> None:
    told, twice = list[str](), threading.Event()

    def tell(line: str) -> None:
        told.append(line)
        if len(told) > 1 and told[-1].endswith("step 2"):
            twice.set()

    with pulse("image of db", tell, beat_seconds=0.001) as say:
        say("step 1\n")
        while not told or not told[-1].endswith("step 1"):
            pass
        say(" step   2 ")
        say("\n")
        assert twice.wait(5)
    count = len(told)
    assert told[-1] == "image of db, 0 s: step 2"
    assert threading.active_count() < 50
    assert len(told) == count, "and nothing once it is over"


def test_a_log_gets_a_line_now_and_then() -> None:
    times, told = iter([0.0, 1.0, 4.9, 5.0, 6.0, 10.5]), list[str]()
    say = sparse(told.append, 5.0, now=lambda: next(times))
    for line in ("a", "b", "c", "d"):
        say(line)
    assert told == ["c"]

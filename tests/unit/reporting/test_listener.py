"""A listener that fails must cost nobody a verdict."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.reporting.listener import Collector, FanOut, Held, Silent
from tests.unit.reporting.samples import plan, result


class Breaks(Silent):
    """Fails at every progress event."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def progress(self, done: int, total: int, acknowledged: int) -> None:
        raise ZeroDivisionError("bar of no length")

    def log(self, line: str) -> None:
        self.heard.append(line)


class Interrupted(Silent):
    """Meets Ctrl-C."""

    def log(self, line: str) -> None:
        raise KeyboardInterrupt


def test_every_listener_hears_every_event_in_order() -> None:
    first, second = Collector(), Collector()
    fan = FanOut([first, second])

    fan.started(plan(), 7, 1, 1, Path("runs/a"))
    fan.finished(result())

    assert first.results == second.results == [result()]
    assert second.run_dir == Path("runs/a")
    assert second.seed == 7
    assert fan.crashes == []


def test_a_listener_that_fails_is_reported_and_hears_nothing_more() -> None:
    broken, healthy = Breaks(), Collector()
    fan = FanOut([broken, healthy])

    fan.progress(1, 2, 1)
    fan.progress(2, 2, 2)
    fan.log("told to the healthy alone")
    fan.finished(result())

    assert [str(crash) for crash in fan.crashes] == [
        "the listener Breaks failed at progress(): ZeroDivisionError: bar of no length"
    ]
    assert broken.heard == []
    assert healthy.results == [result()]


def test_ctrl_c_in_a_listener_is_no_crash_of_the_listener() -> None:
    fan = FanOut([Interrupted()])

    with pytest.raises(KeyboardInterrupt):
        fan.log("a line")


def test_what_is_held_back_is_told_in_its_order_and_once() -> None:
    heard = Breaks()
    fan = FanOut([heard])
    one, other = Held(fan), Held(fan)
    one.log("a1")
    other.log("b1")
    one.progress(1, 2, 1)
    one.log("a2")
    assert heard.heard == []

    one.close()
    one.close()
    other.close()

    assert heard.heard == ["a1", "a2", "b1"]
    assert fan.crashes == []

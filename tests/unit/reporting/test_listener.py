"""A listener that fails must cost nobody a verdict."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.experiment.plan import Plan
from chaos.reporting.listener import Collector, FanOut, Silent, Standing, Teller
from tests.unit.reporting.samples import plan, result


class Breaks(Silent):
    """Fails at every progress event."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def progress(self, at: Standing) -> None:
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

    fan.progress(Standing(1, 1, "x", "load"))
    fan.progress(Standing(1, 1, "x", "load"))
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


class Follows(Silent):
    """Keeps what it hears, in order."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def started(self, plan: Plan, seed: int, trial: int, times: int, run_dir: Path) -> None:
        self.heard.append(f"trial {trial}")

    def progress(self, at: Standing) -> None:
        self.heard.append(at)

    def log(self, line: str) -> None:
        self.heard.append(line)


def test_what_is_held_back_is_told_in_its_order_and_once() -> None:
    heard = Follows()
    fan = FanOut([heard])
    one, other = Teller(fan, hold=True), Teller(fan, hold=True)
    one.log("a1")
    other.log("b1")
    one.log("a2")
    assert heard.heard == []

    one.close()
    one.close()
    other.close()

    assert heard.heard == ["a1", "a2", "b1"]
    assert fan.crashes == []


def test_how_far_a_trial_is_comes_at_once_though_the_rest_is_held_back() -> None:
    heard = Follows()
    told = Teller(FanOut([heard]), hold=True)
    told.started(plan(), 7, 3, 8, Path("runs/a"))
    told.phase("load", None)
    told.advanced(120, 98)
    told.doing("image of db: RUN make")
    told.tick()
    told.phase("load", 5.0)
    told.finished(result())
    told.tick()  # nothing is under way any more

    assert heard.heard == [
        Standing(3, 8, "sidekick_2009", "prepare", 0, 2000),
        Standing(3, 8, "sidekick_2009", "load", 0, 2000),
        Standing(3, 8, "sidekick_2009", "load", 120, 2000, 98),
        Standing(3, 8, "sidekick_2009", "load", 120, 2000, 98, "image of db: RUN make"),
        Standing(3, 8, "sidekick_2009", "", 120, 2000, 98),
    ]
    told.close()
    assert heard.heard[5:] == ["trial 3"]


def test_what_nobody_holds_back_is_told_at_once() -> None:
    heard = Follows()
    told = Teller(FanOut([heard]), hold=False)
    told.started(plan(), 7, 1, 1, Path("runs/a"))
    told.log("a line")

    assert heard.heard == ["trial 1", Standing(1, 1, "sidekick_2009", "prepare", 0, 2000), "a line"]

"""A trial told on a terminal and into a pipe."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from chaos.history.events import FaultEvent
from chaos.reporting.block import verdict_block
from chaos.reporting.listener import Listener, Standing
from chaos.reporting.terminal import Detail, PlainTerminal, RichTerminal, terminal
from chaos.reporting.words import announcement
from tests.unit.reporting.samples import judged, plan


class Tty(io.StringIO):
    """A stream that says that someone looks on."""

    def isatty(self) -> bool:
        return True


def at(phase: str, done: int = 0, *, trial: int = 2) -> Standing:
    return Standing(trial, 3, "sidekick_2009", phase, done, 2000, done)


def tell(reporter: Listener) -> None:
    reporter.started(plan(), 4711, 2, 3, Path("reports/runs/x"))
    reporter.phase("load", None)
    reporter.progress(at("load", 10))
    reporter.fault(FaultEvent(0, 1, "san.lose", "core", "injected"))
    reporter.fault(FaultEvent(0, 2, "san.lose", "core", "healed", evidence={"failed_writes": 0}, why="no I/O"))
    reporter.fault(FaultEvent(1, 3, "process.kill", "db", "missed", why="its acknowledgement never came"))
    reporter.phase("load", 5.04, "2,000 operations")
    reporter.log("runbook: initialised [empty]\npgdata: clean\n")
    reporter.progress(at(""))
    reporter.finished(judged())


def test_a_pipe_gets_plain_lines() -> None:
    out = io.StringIO()

    tell(terminal(out))

    assert out.getvalue().splitlines() == [
        "trial 2 of 3",
        *announcement(plan()),
        "  run folder reports/runs/x",
        "  san.lose core injected",
        "  san.lose core healed: failed writes 0: did not bite: no I/O",
        "  process.kill db missed: its acknowledgement never came",
        "  load 5.0 s  2,000 operations",
        "  runbook: initialised [empty]; pgdata: clean",
        "",
        *verdict_block(judged()),
        "",
    ]


def test_a_terminal_gets_a_live_line_and_the_verdict_in_its_colour() -> None:
    out = Tty()
    reporter = terminal(out)

    tell(reporter)

    assert isinstance(reporter, RichTerminal)
    shown = out.getvalue()
    assert "\x1b[1;31mVIOLATED\x1b[0m     811 of 811 records" in shown
    assert "runbook: initialised [empty]" in shown
    assert "  stack ready 6.1 s · load 5.0 s · runbook 9.8 s\n" in shown
    assert "san.lose core at ack 1,200" in shown


def test_a_trial_that_breaks_off_ends_the_live_line() -> None:
    out = Tty()
    reporter = RichTerminal(out)
    reporter.started(plan(), 4711, 1, 1, Path("reports/runs/x"))
    reporter.progress(at("load", 10))

    reporter.failed(RuntimeError("agent lost"))

    assert out.getvalue().endswith("\x1b[?25h") or "\x1b[?25h" in out.getvalue()
    assert "load" not in out.getvalue().rpartition("\x1b[?25h")[2]


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_log_that_was_silent_for_a_while_says_how_far_the_load_is() -> None:
    out, clock = io.StringIO(), Clock()
    reporter = PlainTerminal(out, clock=clock)
    reporter.progress(at("load"))
    for seconds, done in ((4, 800), (8, 1800), (9, 1900), (10, 1950), (17, 1990), (18, 1999)):
        clock.now = seconds
        reporter.progress(at("load", done))

    assert out.getvalue().splitlines() == [
        "  load 1,900/2,000 operations, 1,900 acknowledged",
        "  load 1,999/2,000 operations, 1,999 acknowledged",
    ]


def test_a_log_that_was_silent_for_a_while_says_how_long_a_phase_lasts_already() -> None:
    out, clock = io.StringIO(), Clock()
    reporter = PlainTerminal(out, clock=clock)
    for second in range(31):
        clock.now = second
        reporter.progress(at("prepare"))
    reporter.progress(at(""))

    assert out.getvalue().splitlines() == ["  prepare for 9 s", "  prepare for 18 s", "  prepare for 27 s"]


def test_of_trials_side_by_side_a_log_tells_all_on_one_line() -> None:
    out, clock = io.StringIO(), Clock()
    reporter = PlainTerminal(out, clock=clock)
    reporter.progress(at("prepare", trial=1))
    clock.now = 8
    reporter.progress(at("", trial=1))
    reporter.progress(at("load", trial=2))
    reporter.progress(at("recover", trial=3))
    clock.now = 12
    reporter.progress(at("load", 500, trial=2))

    assert out.getvalue() == (
        "  1 of 3 trials are over, about 4 s left; "
        "2 sidekick_2009 load 500/2,000 operations, 500 acknowledged, about 12 s left; "
        "3 sidekick_2009 recover for 4 s\n"
    )


def test_a_trial_begins_with_how_long_all_will_take() -> None:
    out, clock = io.StringIO(), Clock()
    reporter = PlainTerminal(out, clock=clock)
    reporter.progress(at("prepare", trial=1))
    clock.now = 100
    reporter.progress(at("", trial=1))
    reporter.started(plan(), 4711, 2, 3, Path("reports/runs/x"))

    assert out.getvalue().startswith("trial 2 of 3, about 3 min left\n")


def shown(detail: Detail, out: io.StringIO) -> str:
    tell(terminal(out, detail))
    return out.getvalue()


def test_quiet_is_one_line_for_each_trial() -> None:
    line = (
        "VIOLATED     sidekick_2009 · seed 4711 · 811 of 811 records acknowledged before san.lose are lost"
        " · reports/runs/20261122-191512-4711\n"
    )
    assert shown("quiet", io.StringIO()) == line
    assert shown("quiet", Tty()) == line.replace("VIOLATED", "\x1b[1;31mVIOLATED\x1b[0m")


def test_verbose_leaves_nothing_out() -> None:
    assert "\n".join(verdict_block(judged(), whole=True)) in shown("verbose", io.StringIO())
    assert "  load 5.0 s  2,000 operations\n" in shown("verbose", Tty())
    assert "  load 5.0 s  2,000 operations\n" not in shown("usual", Tty())


def drawn(reporter: RichTerminal, width: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(reporter)
    return [line.strip() for line in out.getvalue().splitlines()]


def test_the_live_lines_show_the_load_and_the_whole_run() -> None:
    out, clock = Tty(), Clock()
    reporter = RichTerminal(out, clock=clock)
    reporter.progress(at("prepare", trial=1))
    clock.now = 60
    reporter.progress(at("", trial=1))
    reporter.progress(at("load", trial=2))
    reporter.progress(at("[/recover]", trial=3))
    clock.now = 70
    reporter.progress(at("load", 500))
    lines = drawn(reporter, width=140)
    narrow = drawn(reporter, width=80)
    reporter.failed(KeyboardInterrupt())

    assert lines[0].startswith("trials")
    assert lines[0].endswith("1/3, about 50 s left")
    assert "2 sidekick_2009  load" in lines[1]
    assert lines[1].endswith("500/2,000 operations, 500 acknowledged, about 30 s left")
    assert "3 sidekick_2009  [/recover]" in lines[2]
    assert lines[2].endswith("for 10 s")
    assert "2 sidekick_2009  load" in narrow[1]
    assert "500/2,000 operations" in narrow[1]


def test_what_takes_long_is_told_with_what_is_just_under_way() -> None:
    out, time = io.StringIO(), [0.0]
    reporter = PlainTerminal(out, clock=lambda: time[0])
    for second in range(25):
        time[0] = float(second)
        reporter.progress(Standing(1, 1, "x", "prepare", detail=f"image of db: step {second}\x1b[2J"))
    assert out.getvalue().splitlines() == [
        "  prepare for 9 s: image of db: step 9\\x1b[2J",
        "  prepare for 18 s: image of db: step 18\\x1b[2J",
    ]

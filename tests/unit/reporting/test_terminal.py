"""A trial told on a terminal and into a pipe."""

from __future__ import annotations

import io
from pathlib import Path

from chaos.history.events import FaultEvent
from chaos.reporting.block import verdict_block
from chaos.reporting.terminal import PlainTerminal, RichTerminal, terminal
from chaos.reporting.words import announcement
from tests.unit.reporting.samples import judged, plan


class Tty(io.StringIO):
    """A stream that says that someone looks on."""

    def isatty(self) -> bool:
        return True


def tell(reporter: PlainTerminal) -> None:
    reporter.started(plan(), 4711, 2, 3, Path("reports/runs/x"))
    reporter.phase("load", None)
    reporter.progress(10, 2000, 8)
    reporter.fault(FaultEvent(0, 1, "san.lose", "core", "injected"))
    reporter.fault(FaultEvent(0, 2, "san.lose", "core", "healed", evidence={"failed_writes": 0}, why="no I/O"))
    reporter.fault(FaultEvent(1, 3, "process.kill", "db", "missed", why="its acknowledgement never came"))
    reporter.phase("load", 5.04, "2,000 operations")
    reporter.log("runbook: initialised [empty]\npgdata: clean\n")
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

    reporter.failed(RuntimeError("agent lost"))

    assert out.getvalue().endswith("\x1b[?25h") or "\x1b[?25h" in out.getvalue()
    reporter.progress(1, 2, 1)

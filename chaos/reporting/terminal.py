"""Trials on the terminal: with bars where someone looks on, as sparse plain lines everywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

from chaos.experiment.plan import Plan, Verdict
from chaos.history.events import FaultEvent
from chaos.reporting.block import phase_line, verdict_block
from chaos.reporting.listener import Listener, Silent, Standing
from chaos.reporting.progress.pace import LOAD, Pace, UnderWay
from chaos.reporting.result import TrialResult
from chaos.reporting.summary import verdict_line
from chaos.reporting.words import announcement, count, counted, duration, evidence, one_line, phase

if TYPE_CHECKING:
    from rich.live import Live
    from rich.spinner import Spinner
    from rich.table import Table

Detail = Literal["quiet", "usual", "verbose"]

COLOURS: dict[Verdict, str] = {"HELD": "32", "VIOLATED": "31", "INCONCLUSIVE": "33"}
_BAR_WIDTH = 24
_REFRESHES_PER_SECOND = 8
QUIET_SECONDS_MAX = 9.0
"""After so long without a line a plain log says how far the run is: it is looked at once a second, so within 10 s."""


def paint(line: str, verdict: Verdict) -> str:
    """The verdict at the begin of a line in its colour (for a terminal)."""
    return line.replace(verdict, f"\x1b[1;{COLOURS[verdict]}m{verdict}\x1b[0m", 1)


class OneLineEach(Silent):
    """One line for each trial, and nothing else."""

    def __init__(self, out: TextIO) -> None:
        """Write to `out`."""
        self._out = out

    def finished(self, result: TrialResult) -> None:
        """Tell the verdict."""
        line = verdict_line(result)
        self._out.write((paint(line, result.verdict) if self._out.isatty() else line) + "\n")
        self._out.flush()


class PlainTerminal(Silent):
    """One line per thing that happens; what a log file or a pipe wants."""

    def __init__(
        self, out: TextIO | None = None, *, verbose: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Write to `out`, stdout by default; with `verbose` all that is known of a verdict."""
        self._out = out or sys.stdout
        self._verbose = verbose
        self._clock = clock
        self._pace = Pace(clock)
        self._said_last = clock()

    def started(self, plan: Plan, seed: int, trial: int, times: int, run_dir: Path) -> None:
        """Tell everything that was drawn."""
        if times > 1:
            self._say(f"trial {trial} of {times}{_left(self._pace.left())}")
        for line in announcement(plan):
            self._say(line)
        self._say(f"  run folder {run_dir}")

    def phase(self, name: str, seconds: float | None, detail: str = "") -> None:
        """Tell a phase that ended."""
        if seconds is not None:
            self._say(f"  {phase(name, seconds)}" + (f"  {detail}" if detail else ""))

    def progress(self, at: Standing) -> None:
        """Tell how far the run is where nothing else was told for a while."""
        self._pace.take(at)
        if at.phase and self._clock() - self._said_last >= QUIET_SECONDS_MAX:
            self._say(f"  {'; '.join(self._standing())}")

    def fault(self, event: FaultEvent) -> None:
        """Tell what a fault did."""
        self._say(f"  {fault_line(event)}")

    def log(self, line: str) -> None:
        """Tell it."""
        self._say(f"  {one_line(line)}")

    def finished(self, result: TrialResult) -> None:
        """Tell the verdict."""
        self._say("")
        for line in verdict_block(result, whole=self._verbose):
            self._say(line)
        self._say("")

    def _standing(self) -> Iterator[str]:
        """How far the run is: all of it where trials run side by side, and each trial under way."""
        trials = self._pace.under_way
        if len(trials) > 1:
            told = f"{self._pace.over} of {counted(self._pace.times, 'trial')} are over"
            yield told + _left(self._pace.left())
        for each in trials:
            name = f"{each.at.trial} {each.at.experiment} " if len(trials) > 1 else ""
            yield f"{name}{each.at.phase} {standing(each, self._pace)}"

    def _say(self, line: str) -> None:
        # Flushed, so that a log shows how far a trial came when its machine dies.
        self._said_last = self._clock()
        self._out.write(f"{line}\n")
        self._out.flush()


class RichTerminal(PlainTerminal):
    """A live line for each trial under way, and one for the run, below what is told in plain lines."""

    def __init__(
        self, out: TextIO | None = None, *, verbose: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Write to `out`, stdout by default; with `verbose` every phase, and all that is known of a verdict."""
        super().__init__(out, verbose=verbose, clock=clock)
        from rich.console import Console
        from rich.spinner import Spinner

        self._console = Console(file=self._out, highlight=False, markup=False, soft_wrap=True)
        self._spinner = Spinner("dots")
        self._live: Live | None = None

    def phase(self, name: str, seconds: float | None, detail: str = "") -> None:
        """Tell a phase that ended if all is to be told: the live line shows it, the whole list comes at the end."""
        if self._verbose:
            super().phase(name, seconds, detail)

    def progress(self, at: Standing) -> None:
        """Show the live lines as long as a trial is under way; they are drawn anew some times a second."""
        self._pace.take(at)
        if not self._pace.under_way:
            self._end()
        elif self._live is None:
            from rich.live import Live

            self._live = Live(self, console=self._console, transient=True, refresh_per_second=_REFRESHES_PER_SECOND)
            self._live.start()

    def finished(self, result: TrialResult) -> None:
        """Tell where the time went and the verdict; the live lines come back with the next progress."""
        self._end()
        head, *rest = verdict_block(result, whole=self._verbose)
        lines = [phase_line(result), "", paint(head, result.verdict), *rest, ""]
        self._out.write("\n".join(lines) + "\n")
        self._out.flush()

    def failed(self, error: BaseException) -> None:
        """End the live lines; the error itself is told by whoever ran the trial."""
        self._end()

    def __rich__(self) -> Table:
        """The live lines as they are now."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        pace = self._pace
        rows: list[tuple[Spinner | Text, Text, ProgressBar, Text]] = []
        if pace.times > 1:
            whole = ProgressBar(total=pace.times, completed=pace.over, width=_BAR_WIDTH)
            rows.append((Text(), Text("trials"), whole, Text(f"{pace.over}/{pace.times}{_left(pace.left())}")))
        for trial in pace.under_way:
            at = trial.at
            name = (f"{at.trial} {at.experiment}  " if at.times > 1 else "") + at.phase
            waiting = at.phase != LOAD
            bar = ProgressBar(total=max(at.total, 1), completed=at.done, width=_BAR_WIDTH, pulse=waiting)
            rows.append((self._spinner, Text(name), bar, Text(standing(trial, pace))))
        lines = Table.grid(padding=(0, 1))
        # Where a terminal is narrow, what is told last is cut off.
        for min_width in (1, max(len(row[1]) for row in rows), _BAR_WIDTH, None):
            lines.add_column(no_wrap=True, min_width=min_width)
        for row in rows:
            lines.add_row(*row)
        return lines

    def _say(self, line: str) -> None:
        self._console.print(line)

    def _end(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def terminal(out: TextIO | None = None, detail: Detail = "usual") -> Listener:
    """The reporter that suits `out`: live on a terminal, plain lines elsewhere; one line for each trial if quiet."""
    stream = out or sys.stdout
    if detail == "quiet":
        return OneLineEach(stream)
    return (RichTerminal if stream.isatty() else PlainTerminal)(stream, verbose=detail == "verbose")


def standing(trial: UnderWay, pace: Pace) -> str:
    """How far a load is, as "120/400 operations, 98 acknowledged, about 5 s left"; else how long, and at what."""
    at = trial.at
    if at.phase != LOAD:
        return f"for {duration(pace.phase_seconds(trial))}" + (f": {one_line(at.detail)}" if at.detail else "")
    return f"{count(at.done)}/{count(at.total)} operations, {count(at.acknowledged)} acknowledged" + _left(
        pace.load_left(trial)
    )


def _left(seconds: float | None) -> str:
    return "" if seconds is None or seconds < 1 else f", about {duration(seconds)} left"


def fault_line(event: FaultEvent) -> str:
    """What a fault did, as one line."""
    happened = "is for good" if event.happened == "lasting" else event.happened
    parts = [f"{event.fault} {event.target} {happened}", evidence(event.evidence)]
    if event.happened == "missed" or (event.concludes and not event.bit):
        parts.append(f"did not bite: {event.why}" if event.concludes else event.why)
    return ": ".join(part for part in parts if part)

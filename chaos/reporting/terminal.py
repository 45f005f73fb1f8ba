"""A trial on the terminal: with a progress bar where someone looks on, as plain lines everywhere else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from chaos.experiment.plan import Plan, Verdict
from chaos.history.events import FaultEvent
from chaos.reporting.block import phase_line, verdict_block
from chaos.reporting.listener import Silent
from chaos.reporting.result import TrialResult
from chaos.reporting.words import announcement, count, evidence, one_line, phase

if TYPE_CHECKING:
    from rich.progress import Progress

COLOURS: dict[Verdict, str] = {"HELD": "32", "VIOLATED": "31", "INCONCLUSIVE": "33"}


def paint(line: str, verdict: Verdict) -> str:
    """The verdict at the begin of a line in its colour (for a terminal)."""
    return line.replace(verdict, f"\x1b[1;{COLOURS[verdict]}m{verdict}\x1b[0m", 1)


class PlainTerminal(Silent):
    """One line per thing that happens; what a log file or a pipe wants."""

    def __init__(self, out: TextIO | None = None) -> None:
        """Write to `out`, stdout by default."""
        self._out = out or sys.stdout

    def started(self, plan: Plan, seed: int, trial: int, times: int, run_dir: Path) -> None:
        """Tell everything that was drawn."""
        if times > 1:
            self._say(f"trial {trial} of {times}")
        for line in announcement(plan):
            self._say(line)
        self._say(f"  run folder {run_dir}")

    def phase(self, name: str, seconds: float | None, detail: str = "") -> None:
        """Tell a phase that ended."""
        if seconds is not None:
            self._say(f"  {phase(name, seconds)}" + (f"  {detail}" if detail else ""))

    def fault(self, event: FaultEvent) -> None:
        """Tell what a fault did."""
        self._say(f"  {fault_line(event)}")

    def log(self, line: str) -> None:
        """Tell it."""
        self._say(f"  {one_line(line)}")

    def finished(self, result: TrialResult) -> None:
        """Tell the verdict."""
        self._say("")
        for line in verdict_block(result):
            self._say(line)
        self._say("")

    def _say(self, line: str) -> None:
        # Flushed, so that a log shows how far a trial came when its machine dies.
        self._out.write(f"{line}\n")
        self._out.flush()


class RichTerminal(PlainTerminal):
    """A live line with the phase under way and the load's progress, the rest as plain lines above it."""

    def __init__(self, out: TextIO | None = None) -> None:
        """Write to `out`, stdout by default."""
        super().__init__(out)
        from rich.console import Console

        self._console = Console(file=self._out, highlight=False, markup=False, soft_wrap=True)
        self._live: Progress | None = None

    def started(self, plan: Plan, seed: int, trial: int, times: int, run_dir: Path) -> None:
        """Tell everything that was drawn, and begin the live line."""
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        super().started(plan, seed, trial, times, run_dir)
        self._live = Progress(
            TextColumn(" "),
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("{task.fields[told]}", markup=False),
            console=self._console,
            transient=True,
        )
        self._live.start()
        self._task = self._live.add_task("prepare", total=None, told="")

    def phase(self, name: str, seconds: float | None, detail: str = "") -> None:
        """Show the phase that began; the whole list comes with the verdict."""
        if self._live is not None and seconds is None:
            self._live.reset(self._task, total=None, description=name, told=detail)

    def progress(self, done: int, total: int, acknowledged: int) -> None:
        """Move the bar."""
        if self._live is not None:
            told = f"{count(done)}/{count(total)} operations, {count(acknowledged)} acknowledged"
            self._live.update(self._task, completed=done, total=total, told=told)

    def finished(self, result: TrialResult) -> None:
        """End the live line, then tell where the time went and the verdict."""
        self._end()
        head, *rest = verdict_block(result)
        lines = [phase_line(result), "", paint(head, result.verdict), *rest, ""]
        self._out.write("\n".join(lines) + "\n")
        self._out.flush()

    def failed(self, error: BaseException) -> None:
        """End the live line; the error itself is told by whoever ran the trial."""
        self._end()

    def _say(self, line: str) -> None:
        self._console.print(line)

    def _end(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def terminal(out: TextIO | None = None) -> PlainTerminal:
    """The reporter that suits `out`: live on a terminal, plain lines elsewhere."""
    stream = out or sys.stdout
    return RichTerminal(stream) if stream.isatty() else PlainTerminal(stream)


def fault_line(event: FaultEvent) -> str:
    """What a fault did, as one line."""
    happened = "is for good" if event.happened == "lasting" else event.happened
    parts = [f"{event.fault} {event.target} {happened}", evidence(event.evidence)]
    if event.happened == "missed" or (event.concludes and not event.bit):
        parts.append(f"did not bite: {event.why}" if event.concludes else event.why)
    return ": ".join(part for part in parts if part)

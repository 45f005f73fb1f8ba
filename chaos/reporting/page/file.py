"""The report as `report.html` of the run folder: written when a trial ends, and again by `holdfast check`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import orjson

from chaos.errors import (
    EXIT_HARNESS,
    EXIT_SIGINT,
    EXIT_SIGTERM,
    HarnessError,
    HoldfastError,
    MalformedHistory,
    Terminated,
)
from chaos.experiment.catalogue import FaultCatalogue
from chaos.experiment.loader import load_plan
from chaos.experiment.plan import Plan
from chaos.history.events import End
from chaos.history.reader import read_history
from chaos.history.recorder import encode
from chaos.reporting.listener import Silent
from chaos.reporting.page.course import Course, course_of
from chaos.reporting.page.overview import Broken, overview
from chaos.reporting.page.page import page, page_without_verdict
from chaos.reporting.recall import recall
from chaos.reporting.result import (
    ERROR_FILE,
    HISTORY_FILE,
    PLAN_FILE,
    REPORT_FILE,
    TrialResult,
    dumps,
    error_document,
    overview_path,
)


class HtmlReport(Silent):
    """Writes the page of every trial, of those that break off too, and of several trials a page over all of them.

    Attributes:
        overview: The page over all trials of the run; None for a trial alone.
    """

    def __init__(self) -> None:
        """Begin with no trial under way."""
        self.overview: Path | None = None
        self._under_way: dict[Path, Plan] = {}
        self._times = 1
        self._results: list[TrialResult] = []
        self._broken: list[Broken] = []

    def started(self, plan: Plan, seed: int, trial: int, times: int, run_dir: Path) -> None:
        """Remember whose page it will be."""
        self._under_way[run_dir] = plan
        self._times = times
        if times > 1:
            self.overview = overview_path(run_dir)

    def finished(self, result: TrialResult) -> None:
        """Write the page; what goes wrong with the stack afterwards is not this trial's."""
        self._under_way.pop(result.run_dir, None)
        self._results.append(result)
        self._write_overview()
        write_report(result)

    def failed(self, error: BaseException) -> None:
        """Keep why there is no verdict, and show what there is."""
        reason, code = _told(error)
        self._broken += [Broken(plan, run_dir, reason) for run_dir, plan in self._under_way.items()]
        self._write_overview()
        for run_dir, plan in self._under_way.items():
            document = error_document(reason, code, seed=plan.seed, run_dir=run_dir)
            _write(run_dir / ERROR_FILE, dumps(document) + "\n")
            write_report_without_verdict(run_dir, reason, plan)
        self._under_way.clear()

    def _write_overview(self) -> None:
        """So far: each trial's own page leads to it, and a later trial may break off."""
        if self.overview is not None:
            _write(self.overview, overview(self._results, self._broken, self.overview, times=self._times))


def report_again(run_dir: Path, faults: FaultCatalogue, complain: Callable[[str], None]) -> TrialResult:
    """Judge a run folder once more and write its page anew; a page that cannot be written costs no verdict.

    Raises:
        UsageError: It is no run folder.
        HarnessError: There is no verdict; the page says why.
    """

    def write(page_of: Callable[[], None]) -> None:
        try:
            page_of()
        except OSError as error:
            complain(f"{run_dir / REPORT_FILE} was not written: {error.strerror}")

    try:
        result = recall(run_dir, faults)
    except HarnessError as error:
        reason, plan = _kept_reason(run_dir) or str(error), load_plan(run_dir / PLAN_FILE, faults)
        write(lambda: write_report_without_verdict(run_dir, reason, plan))
        raise
    write(lambda: write_report(result))
    return result


def write_report(result: TrialResult) -> None:
    """Write the page of a trial that has a verdict."""
    _write(result.run_dir / REPORT_FILE, page(result, course_of(result.run_dir / HISTORY_FILE)))


def write_report_without_verdict(run_dir: Path, reason: str, plan: Plan | None) -> None:
    """Write the page of a trial that broke off."""
    course, why = _as_far_as_it_goes(run_dir / HISTORY_FILE)
    text = page_without_verdict(run_dir, reason, plan=plan, course=course, why_no_history=why)
    _write(run_dir / REPORT_FILE, text)


def _as_far_as_it_goes(path: Path) -> tuple[Course | None, str]:
    """The course of a history, or of its whole lines where it was cut short; else why there is none. Never judged."""
    if not path.is_file():
        return None, "the trial broke off before its history began"
    try:
        read_history(path)
        return course_of(path), ""
    except MalformedHistory as error:
        first = str(error)
    try:
        with tempfile.TemporaryDirectory(prefix="holdfast-") as folder:
            closed = Path(folder) / HISTORY_FILE
            lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last line's end is no whole line
            end = End(t=orjson.loads(lines[-1])["t"], events=len(lines)) if lines else End(t=0, events=0)
            closed.write_bytes(b"".join(line + b"\n" for line in lines) + encode(end))
            read_history(closed)
            return course_of(closed), ""
    except (HoldfastError, OSError, ValueError, KeyError, TypeError):
        return None, first


def _told(error: BaseException) -> tuple[str, int]:
    if isinstance(error, HoldfastError):
        return str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return "interrupted (SIGINT)", EXIT_SIGINT
    if isinstance(error, Terminated):
        return "terminated (SIGTERM)", EXIT_SIGTERM
    return f"{type(error).__name__}: {error}", EXIT_HARNESS


def _kept_reason(run_dir: Path) -> str:
    """What the trial itself said when it broke off."""
    try:
        return str(json.loads((run_dir / ERROR_FILE).read_text(encoding="utf-8"))["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8", errors="backslashreplace")
    part.replace(path)

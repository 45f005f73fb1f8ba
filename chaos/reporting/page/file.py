"""The report as `report.html` of the run folder: written when a trial is over, and again by `holdfast check`."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import orjson

from chaos.errors import HoldfastError, MalformedHistory
from chaos.experiment.plan import Plan
from chaos.history.events import End
from chaos.history.reader import read_history
from chaos.history.recorder import encode
from chaos.reporting.listener import AtTheEnd
from chaos.reporting.page.course import Course, course_of
from chaos.reporting.page.overview import overview
from chaos.reporting.page.page import page, page_without_verdict
from chaos.reporting.result import (
    ERROR_FILE,
    HISTORY_FILE,
    REPORT_FILE,
    Broken,
    TrialResult,
    dumps,
    error_document,
    overview_path,
)


class HtmlReport(AtTheEnd):
    """Writes the page of every trial, of those that break off too, and of several trials a page over all of them.

    Attributes:
        overview: The page over all trials of the run; None for a trial alone.
    """

    def __init__(self) -> None:
        """Begin with no trial under way."""
        super().__init__()
        self.overview: Path | None = None
        self._times = 1
        self._results: list[TrialResult] = []
        self._broken: list[Broken] = []

    def started(self, plan: Plan, seed: int, trial: int, times: int, run_dir: Path) -> None:
        """Remember whose page it will be."""
        super().started(plan, seed, trial, times, run_dir)
        self._times = times
        if times > 1:
            self.overview = overview_path(run_dir)

    def broke_off(self, trial: Broken, exit_code: int) -> None:
        """Keep why there is no verdict, and show what there is."""
        document = error_document(trial.reason, exit_code, seed=trial.plan.seed, run_dir=trial.run_dir)
        _write(trial.run_dir / ERROR_FILE, dumps(document) + "\n")
        self.over(trial)

    def over(self, trial: TrialResult | Broken) -> None:
        """Write the page over all trials so far, since each trial's own page leads to it, and then that page."""
        if isinstance(trial, Broken):
            self._broken.append(trial)
        else:
            self._results.append(trial)
        if self.overview is not None:
            _write(self.overview, overview(self._results, self._broken, self.overview, times=self._times))
        if isinstance(trial, Broken):
            write_report_without_verdict(trial.run_dir, trial.reason, trial.plan)
        else:
            write_report(trial)


def write_report(result: TrialResult) -> None:
    """Write the page of a trial that has a verdict."""
    _write(result.run_dir / REPORT_FILE, page(result, course_of(result.run_dir / HISTORY_FILE)))


def write_report_without_verdict(run_dir: Path, reason: str, plan: Plan | None) -> None:
    """Write the page of a trial that broke off."""
    course, why = as_far_as_it_goes(run_dir / HISTORY_FILE)
    text = page_without_verdict(run_dir, reason, plan=plan, course=course, why_no_history=why)
    _write(run_dir / REPORT_FILE, text)


def as_far_as_it_goes(path: Path) -> tuple[Course | None, str]:
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


def kept_reason(run_dir: Path) -> str:
    """What a trial itself said when it broke off; empty where it did not."""
    try:
        return str(json.loads((run_dir / ERROR_FILE).read_text(encoding="utf-8"))["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8", errors="backslashreplace")
    part.replace(path)

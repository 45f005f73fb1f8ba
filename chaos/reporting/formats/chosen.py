"""The reports that a run is asked for, and the same ones made again from a run folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, TextIO

from chaos.errors import HarnessError, UsageError
from chaos.experiment.catalogue import FaultCatalogue
from chaos.experiment.loader import load_plan
from chaos.reporting.formats.github import ACTIONS_VARIABLE, SUMMARY_VARIABLE, Annotations, StepSummary
from chaos.reporting.formats.junit import JunitReport
from chaos.reporting.listener import AtTheEnd
from chaos.reporting.page.file import HtmlReport, kept_reason
from chaos.reporting.recall import recall, run_folder
from chaos.reporting.rerun import kept_by as told_kept_by
from chaos.reporting.result import PLAN_FILE, REPORT_FILE, Broken, Report, TrialResult

FILES: Final[Mapping[Report, str]] = {
    "html": REPORT_FILE,
    "junit": "junit.xml",
    "allure": "allure-results",
    "summary": "summary.md",
}
"""Where in the run folder each is made again."""


def chosen(
    junit: Path | None, allure: Path | None, out: TextIO | None, environment: Mapping[str, str]
) -> list[AtTheEnd]:
    """The listeners beside terminal and page; they come after the page, which they attach and name.

    Args:
        junit: JUnit's file.
        allure: The folder of Allure's results.
        out: What GitHub Actions reads commands from, where it runs; None: none are printed.
        environment: Names the file of the step's summary, and says whether this is a runner of GitHub Actions.

    Raises:
        UsageError: A file or folder cannot be written, or Allure's package is missing.
    """
    listeners: list[AtTheEnd] = []
    if junit is not None:
        listeners.append(JunitReport(junit))
    if allure is not None:
        listeners.append(_allure(allure))
    if summary := environment.get(SUMMARY_VARIABLE):
        listeners.append(StepSummary(Path(summary)))
    if out is not None and environment.get(ACTIONS_VARIABLE) == "true":
        listeners.append(Annotations(out))
    return listeners


def report_again(
    run_dir: Path,
    faults: FaultCatalogue,
    complain: Callable[[str], None],
    report: Report = "html",
    kept_by: Path | None = None,
) -> TrialResult:
    """Judge a run folder once more; write its page, and the report that is asked for, into it anew.

    A page that cannot be written costs no verdict. `kept_by` is the run folder of a trial with another setting that
    HELD; the page says so.

    Raises:
        UsageError: It is no run folder, the report cannot be written there, or Allure's package is missing; or the
            other run does not show what would have kept the records.
        HarnessError: There is no verdict; the reports say why.
    """
    run_dir = run_folder(run_dir)
    listeners: dict[Report, AtTheEnd] = {"html": HtmlReport()}
    if report != "html":
        listeners[report] = _again(report, run_dir)

    def tell(trial: TrialResult | Broken) -> None:
        for name, listener in listeners.items():
            try:
                listener.over(trial)
            except OSError as error:
                complain(f"{run_dir / FILES[name]} was not written: {error.strerror}")

    try:
        result = recall(run_dir, faults)
    except HarnessError as error:
        tell(Broken(load_plan(run_dir / PLAN_FILE, faults), run_dir, kept_reason(run_dir) or str(error)))
        raise
    if kept_by is not None:
        result = replace(result, kept_by=told_kept_by(result, recall(kept_by, faults)))
    tell(result)
    return result


def _again(report: Report, run_dir: Path) -> AtTheEnd:
    path = run_dir / FILES[report]
    if report == "junit":
        return JunitReport(path)
    if report == "allure":
        return _allure(path, clean=True)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}; copy the run folder, and name that") from None
    return StepSummary(path)


def _allure(folder: Path, *, clean: bool = False) -> AtTheEnd:
    from chaos.reporting.formats.allure import AllureResults

    return AllureResults(folder, clean=clean)

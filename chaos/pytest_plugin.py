"""`pytest experiments/`: every YAML experiment is a test, passed when its verdict is the one that it expects.

The trial runs in the item's setup and is judged in its call, so that pytest, JUnit and Allure tell a broken
harness (error) from a property that does not hold (failure). INCONCLUSIVE is never a skip. A capability that
this host lacks is one on a laptop, and a failure where HOLDFAST_REQUIRED or CI is set.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chaos.errors import HarnessError, HoldfastError, Terminated
from chaos.experiment.files import is_experiment

if TYPE_CHECKING:  # the plugin is loaded by every pytest run on this machine: light at import
    from chaos.doctor import Diagnosis
    from chaos.experiment.plan import Plan
    from chaos.reporting.listener import Listener
    from chaos.reporting.result import TrialResult

_SWEPT: pytest.StashKey[str] = pytest.StashKey()
_DIAGNOSIS: pytest.StashKey[Diagnosis] = pytest.StashKey()
REQUIRED_BY = ("HOLDFAST_REQUIRED", "CI")
"""Environment variables that make a missing capability of the host a failure."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of experiments."""
    group = parser.getgroup("holdfast", "Holdfast experiments")
    group.addoption("--holdfast-seed", type=int, default=None, help="Seed of every experiment (default: drawn).")
    group.addoption(
        "--holdfast-runs", type=Path, default=Path("reports/runs"), help="Where run folders go (%(default)s)."
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> ExperimentFile | None:
    """Collect a YAML file that has `experiment:` and `stack:` at its top level."""
    if file_path.suffix not in {".yaml", ".yml"} or not is_experiment(file_path):
        return None
    return ExperimentFile.from_parent(parent, path=file_path)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what Holdfast raises on purpose as its text: a traceback of ours tells its reader nothing."""
    report = yield
    error = call.excinfo.value if call.excinfo is not None else None
    if isinstance(item, ExperimentItem) and isinstance(error, UnexpectedVerdictError | HoldfastError):
        report.longrepr = str(error)
    return report


class UnexpectedVerdictError(AssertionError):
    """A trial's verdict is not the one that its experiment names."""

    def __init__(self, result: TrialResult) -> None:
        """Tell it with the verdict block, which ends with the command that reproduces it."""
        from chaos.reporting.block import verdict_block

        super().__init__("\n".join(verdict_block(result)))


class ExperimentFile(pytest.File):
    """A YAML file with one experiment."""

    def collect(self) -> Iterable[ExperimentItem]:
        """Yield its one item."""
        item = ExperimentItem.from_parent(self, name=self.path.stem)
        # The verdict is the service's: a warning in this process must not turn it red, whatever -W says.
        item.add_marker(pytest.mark.filterwarnings("default"))
        yield item


class ExperimentItem(pytest.Item):
    """One trial of an experiment."""

    result: TrialResult

    def setup(self) -> None:
        """Run the trial."""
        from chaos.reporting.listener import Collector
        from chaos.trials import run_trials

        plans = self._plans()
        plan = plans[0]
        self.user_properties.append(("seed", plan.seed))
        self._require(plan)
        _sweep_once(self.config)
        collector = Collector()
        try:
            [self.result] = run_trials(
                plans, runs=self.config.getoption("--holdfast-runs"), listeners=(collector, *self._listeners())
            )
        except Terminated as stop:
            pytest.exit("SIGTERM; everything is cleaned up", returncode=int(stop.code or 1))
        finally:
            if collector.run_dir is not None:
                self.user_properties.append(("run_dir", str(collector.run_dir)))
        self.user_properties.append(("verdict", self.result.verdict))

    def runtest(self) -> None:
        """Compare the verdict with the expected one."""
        if not self.result.as_expected:
            raise UnexpectedVerdictError(self.result)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Place and name in reports."""
        return self.path, None, self.name

    def _plans(self) -> Sequence[Plan]:
        from chaos.preflight.opening import open_experiment

        seed = self.config.getoption("--holdfast-seed")
        return open_experiment(self.path, seed).plans

    def _listeners(self) -> list[Listener]:
        from chaos.reporting.formats.chosen import chosen
        from chaos.reporting.page.file import HtmlReport

        listeners: list[Listener] = [HtmlReport(), *chosen(None, None, None, os.environ)]
        if allure := self.config.pluginmanager.getplugin("allure_listener"):
            from chaos.reporting.formats.allure import AllureInPytest

            listeners.append(AllureInPytest(allure))  # after the page, which it attaches
        return listeners

    def _require(self, plan: Plan) -> None:
        """Skip, or fail where it is required, when this host cannot run the plan."""
        missing = _missing(self.config, {fault.fault for fault in plan.schedule})
        if not missing:
            return
        reason = "this host cannot run it: " + "; ".join(missing)
        if any(os.environ.get(name) for name in REQUIRED_BY):
            raise HarnessError(f"{reason} (required, since {' or '.join(REQUIRED_BY)} is set)")
        pytest.skip(reason)


def _sweep_once(config: pytest.Config) -> None:
    """Remove what dead runs have left, before the session's first trial."""
    if _SWEPT not in config.stash:
        from chaos.stack.cleanup.sweep import sweep

        config.stash[_SWEPT] = str(sweep(all_=False))


def _missing(config: pytest.Config, faults: set[str]) -> list[str]:
    """What this host lacks for these faults, each with its remedy; the host is examined once a session."""
    from chaos.doctor import examine

    if _DIAGNOSIS not in config.stash:
        config.stash[_DIAGNOSIS] = examine()
    diagnosis = config.stash[_DIAGNOSIS]
    lacking = set(diagnosis.missing)
    for readiness in diagnosis.faults:
        if readiness.fault in faults:
            lacking.update(readiness.missing)
    return [
        f"{finding.name}: {finding.value} ({finding.remedy})"
        for finding in diagnosis.findings
        if finding.name in lacking
    ]

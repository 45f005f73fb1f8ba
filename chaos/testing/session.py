"""What all trials of one pytest process share: options, one sweep, one look at the host; and how a test runs one.

With pytest-xdist each worker is a process of its own, so it has stack copies of its own.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from chaos.errors import HarnessError, Terminated, UsageError

if TYPE_CHECKING:  # the plugin is loaded by every pytest run on this machine: light at import
    from chaos.doctor import Diagnosis
    from chaos.experiment.plan import Plan
    from chaos.reporting.listener import Listener
    from chaos.reporting.result import TrialResult

REQUIRED_BY: Final = ("HOLDFAST_REQUIRED", "CI")
"""Environment variables that make a missing capability of the host a failure."""
LEFT: Final = "left"
"""Properties of a test: a line about the stack that it left; why a trial of it was tried again."""
TRIED_AGAIN: Final = "tried again"


class UnexpectedVerdictError(AssertionError):
    """A trial's verdict is not the one that is expected."""

    def __init__(self, result: TrialResult, why: str = "") -> None:
        """Tell it, after a line `why`, with the verdict block, which ends with the command that reproduces it."""
        from chaos.reporting.block import verdict_block

        super().__init__("\n".join([*([why] if why else []), *verdict_block(result)]))


@dataclass
class Session:
    """The trials of one pytest process.

    Attributes:
        runs: Where run folders are made.
        seed: Draws every experiment; None: a fresh one each.
        images: By service, what it runs in place of its own image.
        retries: How often a trial that is INCONCLUSIVE is tried again.
        leave_seconds: How long the stack of a trial with an unexpected verdict runs on; 0: it is removed.
        allure: The plugin of allure-pytest, where it writes results.
        properties: Of the test that runs now: what JUnit and others show of it.
        last: The last result of that test.
        drawn: The results of the trials that its property has drawn.
    """

    runs: Path = Path("reports/runs")
    seed: int | None = None
    images: Mapping[str, str] = field(default_factory=dict)
    retries: int = 0
    leave_seconds: float = 0.0
    allure: Any = None
    properties: list[tuple[str, object]] = field(default_factory=list)
    last: TrialResult | None = None
    drawn: list[TrialResult] = field(default_factory=list)
    _has_swept: bool = False
    _diagnosis: Diagnosis | None = None

    def begin(self, properties: list[tuple[str, object]]) -> None:
        """Another test runs from now on."""
        self.properties, self.last, self.drawn = properties, None, []

    def require_proof(self) -> None:
        """Refuse a test whose property has drawn trials, none of which proves anything.

        Raises:
            UnexpectedVerdictError: No trial is HELD.
        """
        if self.drawn and all(each.verdict != "HELD" for each in self.drawn):
            many = len(self.drawn)
            why = f"none of the {many} trials that were drawn is HELD; the last of them:"
            raise UnexpectedVerdictError(self.drawn[-1], why)

    def run(self, plans: Sequence[Plan]) -> TrialResult:
        """Run the trial of a plan, and again where it is INCONCLUSIVE and that is allowed and not expected.

        Args:
            plans: Its one plan.

        Raises:
            UsageError: It cannot be run.
            HarnessError: Anything but the service failed; there is no verdict.
        """
        self._sweep_once()
        for left in range(self.retries, -1, -1):
            result = self.last = self._run_once(plans)
            if not left or result.verdict != "INCONCLUSIVE" or result.as_expected:
                break
            self.properties.append((TRIED_AGAIN, result.reason))
        return result

    def _run_once(self, plans: Sequence[Plan]) -> TrialResult:
        from chaos.reporting.listener import Collector
        from chaos.trials import run_trials

        heard, collector = _heard(), Collector()
        self.properties[:] = [each for each in self.properties if each[0] != "verdict"]  # of a trial before
        try:
            [result] = run_trials(
                plans,
                runs=self.runs,
                listeners=(collector, heard, *self._listeners()),
                leave_seconds=self.leave_seconds,
            )
        except Terminated as stop:
            pytest.exit("SIGTERM; everything is cleaned up", returncode=int(stop.code or 1))
        finally:
            self._tell("seed", plans[0].seed)
            if collector.run_dir is not None:
                self._tell("run_dir", str(collector.run_dir))
            self.properties += [(LEFT, line) for line in heard.left]
        self._tell("verdict", result.verdict)
        return result

    def require(self, names: Collection[str]) -> str:
        """Why this host cannot inject these faults, or lacks these capabilities of its doctor; empty: it can.

        Raises:
            UsageError: A name is neither.
            HarnessError: It cannot, where that is required.
        """
        missing = self._missing(names)
        reason = f"this host cannot run it: {'; '.join(missing)}" if missing else ""
        if reason and any(os.environ.get(name) for name in REQUIRED_BY):
            raise HarnessError(f"{reason} (required, since {' or '.join(REQUIRED_BY)} is set)")
        return reason

    def _tell(self, name: str, value: object) -> None:
        """A property of the test; of several trials that of the last."""
        self.properties[:] = [each for each in self.properties if each[0] != name] + [(name, value)]

    def _listeners(self) -> list[Listener]:
        from chaos.reporting.formats.chosen import chosen
        from chaos.reporting.page.file import HtmlReport

        listeners: list[Listener] = [HtmlReport(), *chosen(None, None, None, os.environ)]
        if self.allure is not None:
            from chaos.reporting.formats.allure import AllureInPytest

            listeners.append(AllureInPytest(self.allure))  # after the page, which it attaches
        return listeners

    def _sweep_once(self) -> None:
        """Remove what dead runs have left, before the process's first trial."""
        if not self._has_swept:
            from chaos.stack.cleanup.sweep import sweep

            sweep(all_=False)
            self._has_swept = True

    def _missing(self, names: Collection[str]) -> list[str]:
        """What this host lacks for these, each with its remedy; the host is examined once."""
        from chaos.doctor import examine

        diagnosis = self._diagnosis = self._diagnosis or examine()
        findings = {finding.name: finding for finding in diagnosis.findings}
        faults = {readiness.fault: readiness.missing for readiness in diagnosis.faults}
        if unknown := sorted(set(names) - findings.keys() - faults.keys()):
            raise UsageError(
                f"{', '.join(unknown)}: neither a fault nor a line of `holdfast doctor`; "
                f"the lines are {', '.join(sorted(findings))}"
            )
        lacking = {*diagnosis.missing, *(name for name in names if name in findings and findings[name].state == "gap")}
        lacking.update(name for each in names for name in faults.get(each, ()))
        return [
            f"{finding.name}: {finding.value} ({finding.remedy})"
            for finding in diagnosis.findings
            if finding.name in lacking
        ]


def _heard() -> Any:
    from chaos.reporting.listener import Silent

    class Heard(Silent):
        """Keeps the lines about a stack that was left."""

        def __init__(self) -> None:
            self.left: list[str] = []

        def log(self, line: str) -> None:
            if line.startswith(f"{LEFT}: "):
                self.left.append(line.removeprefix(f"{LEFT}: "))

    return Heard()


_session = Session()


def session() -> Session:
    """That of this process."""
    return _session


def use(made: Session) -> None:
    """Be that of this process from now on."""
    global _session
    _session = made

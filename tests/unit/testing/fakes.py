"""Trials that nobody runs, for inner sessions of pytest."""

from __future__ import annotations

import sys
import types
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaos.errors import HarnessError
from chaos.experiment.plan import Plan, Verdict
from chaos.faults import known_faults
from chaos.preflight import opening
from chaos.reporting import block  # noqa: F401 - once here, not again in every inner session
from chaos.reporting.formats import allure  # noqa: F401 - as above
from chaos.reporting.listener import FanOut, Listener
from chaos.reporting.result import TrialResult
from chaos.stack.cleanup import sweep
from tests.unit.reporting.samples import STACK, plan, result


class Trials:
    """Stands in for the loader, the doctor and the trial."""

    def __init__(self) -> None:
        self.verdict: Verdict = "HELD"
        self.verdicts: list[Verdict] = []
        self.plans: list[Plan] = []
        self.expect: Verdict = "HELD"
        self.breaks: BaseException | None = None
        self.breaks_from = 0
        self.missing: tuple[str, ...] = ()
        self.warns = False
        self.swept = 0
        self.ran: list[tuple[int, Path]] = []

    def stand_in(self, monkeypatch: pytest.MonkeyPatch, *, opens_for_real: bool = False) -> None:
        """Take the place of the engine; unless files are opened for real, also that of what loads them."""
        trial, doctor = types.ModuleType("chaos.trials"), types.ModuleType("chaos.doctor")
        trial.run_trials = self.run_trials  # type: ignore[attr-defined]
        doctor.examine = self.examine  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "chaos.trials", trial)
        monkeypatch.setitem(sys.modules, "chaos.doctor", doctor)
        monkeypatch.setattr(sweep, "sweep", self.sweep)
        if not opens_for_real:
            monkeypatch.setattr(opening, "load_stack", lambda *given: STACK)
            monkeypatch.setattr(opening, "load_trials", self.load)
        for variable in ("CI", "HOLDFAST_REQUIRED", "GITHUB_STEP_SUMMARY"):
            monkeypatch.delenv(variable, raising=False)
        # Its summary would import the whole of Hypothesis anew in each of these sessions.
        monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")

    def load(self, path: Path, seed: int | None, times: int, faults: object) -> list[Plan]:
        return [plan(self.expect, 4711 if seed is None else seed)] * times

    def run_trials(
        self,
        plans: Sequence[Plan],
        *,
        keep: bool = False,
        runs: Path = Path("reports/runs"),
        listeners: Sequence[Listener] = (),
        leave_seconds: float = 0.0,
    ) -> list[TrialResult]:
        [drawn] = plans
        if self.breaks_from and len(self.ran) + 1 >= self.breaks_from:
            self.breaks = HarnessError("no engine answers")
        self.ran.append((drawn.seed, runs))
        self.plans.append(drawn)
        if self.warns:
            warnings.warn("unclosed socket", ResourceWarning, stacklevel=1)
        verdict = self.verdicts.pop(0) if self.verdicts else self.verdict
        done = replace(result(verdict, seed=drawn.seed), plan=drawn)
        fan = FanOut(listeners)  # as in a real run: the page has no folder to go to here
        fan.started(drawn, drawn.seed, 1, 1, done.run_dir)
        fan.phase("load", None)
        if self.breaks is None:
            fan.phase("load", 5.0)
            fan.finished(done)
        else:
            fan.failed(self.breaks)
        if leave_seconds and not done.as_expected:
            fan.log(f"left: the stack runs on for {leave_seconds:g} s")
        if self.breaks is not None:
            raise self.breaks
        return [done]

    def sweep(self, *, all_: bool) -> str:
        self.swept += 1
        return "nothing to clean"

    def examine(self) -> Any:
        state = "gap" if self.missing else "ok"
        finding = types.SimpleNamespace(name="loop", state=state, value="no loop device", remedy="modprobe loop")
        faults = [types.SimpleNamespace(fault=name, missing=self.missing) for name in known_faults()]
        return types.SimpleNamespace(missing=(), faults=faults, findings=[finding])

"""The events of a running trial, and their listeners, such as the terminal and Allure.

A trial calls one `FanOut`, which calls every listener in turn on the thread of the trial. A listener must
return at once and may fail: its crash is recorded, the listener hears nothing more, and the trial goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from chaos.experiment.plan import Plan
from chaos.history.events import FaultEvent
from chaos.reporting.result import TrialResult


class Listener(Protocol):
    """Hears the events of trials, in the order in which they happen."""

    def started(self, plan: Plan, seed: int, trial: int, times: int, run_dir: Path) -> None:
        """Trial number `trial` (from 1) of `times` begins; everything is drawn, nothing is touched yet."""

    def phase(self, name: str, seconds: float | None, detail: str = "") -> None:
        """A phase began (`seconds` is None) or ended after so many seconds."""

    def progress(self, done: int, total: int, acknowledged: int) -> None:
        """So many of `total` operations are invoked, so many creates, updates and deletes acknowledged."""

    def fault(self, event: FaultEvent) -> None:
        """A fault took hold, ended, or was missed."""

    def log(self, line: str) -> None:
        """One line worth telling, such as a step of the runbook or a warning."""

    def finished(self, result: TrialResult) -> None:
        """The trial has its verdict, and its run folder is complete."""

    def failed(self, error: BaseException) -> None:
        """The trial broke off without a verdict; clean-up is done."""


class Silent:
    """A listener that does nothing: the base of those that care for a few events only."""

    def started(self, plan: Plan, seed: int, trial: int, times: int, run_dir: Path) -> None:
        """Ignore."""

    def phase(self, name: str, seconds: float | None, detail: str = "") -> None:
        """Ignore."""

    def progress(self, done: int, total: int, acknowledged: int) -> None:
        """Ignore."""

    def fault(self, event: FaultEvent) -> None:
        """Ignore."""

    def log(self, line: str) -> None:
        """Ignore."""

    def finished(self, result: TrialResult) -> None:
        """Ignore."""

    def failed(self, error: BaseException) -> None:
        """Ignore."""


class Collector(Silent):
    """Keeps what a caller needs when a later trial breaks off: finished results, the last run folder."""

    def __init__(self) -> None:
        """Start empty."""
        self.results: list[TrialResult] = []
        self.run_dir: Path | None = None
        self.seed: int | None = None

    def started(self, plan: Plan, seed: int, trial: int, times: int, run_dir: Path) -> None:
        """Remember where the trial under way is kept."""
        self.run_dir, self.seed = run_dir, seed

    def finished(self, result: TrialResult) -> None:
        """Keep the result."""
        self.results.append(result)


@dataclass(frozen=True)
class Crash:
    """A listener that failed: which, at which event, with what."""

    listener: str
    event: str
    error: Exception

    def __str__(self) -> str:
        """One line for stderr."""
        error = f"{type(self.error).__name__}: {self.error}"
        return f"the listener {self.listener} failed at {self.event}(): {error}"


class FanOut:
    """Passes every event on to several listeners, each isolated from the others and the trial from all."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        """Take the listeners in the order in which they are to be called."""
        self._listeners = list(listeners)
        self.crashes: list[Crash] = []

    def started(self, plan: Plan, seed: int, trial: int, times: int, run_dir: Path) -> None:
        """Pass on."""
        self._tell("started", lambda listener: listener.started(plan, seed, trial, times, run_dir))

    def phase(self, name: str, seconds: float | None, detail: str = "") -> None:
        """Pass on."""
        self._tell("phase", lambda listener: listener.phase(name, seconds, detail))

    def progress(self, done: int, total: int, acknowledged: int) -> None:
        """Pass on."""
        self._tell("progress", lambda listener: listener.progress(done, total, acknowledged))

    def fault(self, event: FaultEvent) -> None:
        """Pass on."""
        self._tell("fault", lambda listener: listener.fault(event))

    def log(self, line: str) -> None:
        """Pass on."""
        self._tell("log", lambda listener: listener.log(line))

    def finished(self, result: TrialResult) -> None:
        """Pass on."""
        self._tell("finished", lambda listener: listener.finished(result))

    def failed(self, error: BaseException) -> None:
        """Pass on."""
        self._tell("failed", lambda listener: listener.failed(error))

    def close(self) -> None:
        """Nothing is held back here: see `Held`."""

    def _tell(self, event: str, call: Callable[[Listener], None]) -> None:
        for listener in tuple(self._listeners):
            try:
                call(listener)
            except Exception as error:  # noqa: BLE001 - whatever a reporter does wrong, the trial goes on
                self.crashes.append(Crash(type(listener).__name__, event, error))
                self._listeners.remove(listener)


class Held(FanOut):
    """Holds events back, so that those of trials that run side by side do not mix; progress is not told at all."""

    def __init__(self, fan: FanOut) -> None:
        """Pass the events on to `fan` at `close`, which may be called after each trial."""
        super().__init__([fan])
        self._held: list[Callable[[Listener], None]] = []

    def progress(self, done: int, total: int, acknowledged: int) -> None:
        """Drop it."""

    def close(self) -> None:
        """Pass on what has been held back, in its order."""
        held, self._held = self._held, []
        for call in held:
            super()._tell("", call)

    def _tell(self, event: str, call: Callable[[Listener], None]) -> None:
        self._held.append(call)

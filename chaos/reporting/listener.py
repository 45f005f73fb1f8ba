"""The events of a running trial, and their listeners, such as the terminal and Allure.

A trial calls one `FanOut`, which calls every listener in turn on the thread of the trial. A listener must
return at once and may fail: its crash is recorded, the listener hears nothing more, and the trial goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from chaos.errors import EXIT_HARNESS, EXIT_SIGINT, EXIT_SIGTERM, EndedEarly, HoldfastError, Terminated
from chaos.experiment.plan import Plan
from chaos.history.events import FaultEvent
from chaos.reporting.result import Broken, TrialResult

PREPARING = "prepare"
"""What stands for a phase while a stack copy is made, before the first one of a trial."""


@dataclass(frozen=True)
class Standing:
    """How far a trial is.

    Attributes:
        trial: Its number, from 1.
        times: How many trials the run has.
        phase: That it is in; `PREPARING` before the first; "" when it is over, with a verdict or without one.
        done: Operations that are invoked; 0 before the load.
        total: Operations of the workload.
        acknowledged: Creates, updates and deletes that are acknowledged.
        detail: What is just under way in a phase that takes long, such as the last line of a build.
    """

    trial: int
    times: int
    experiment: str
    phase: str
    done: int = 0
    total: int = 0
    acknowledged: int = 0
    detail: str = ""


class Listener(Protocol):
    """Hears the events of trials, in the order in which they happen."""

    def started(self, plan: Plan, seed: int, trial: int, times: int, run_dir: Path) -> None:
        """Trial number `trial` (from 1) of `times` begins; everything is drawn, nothing is touched yet."""

    def phase(self, name: str, seconds: float | None, detail: str = "") -> None:
        """A phase began (`seconds` is None) or ended after so many seconds."""

    def progress(self, at: Standing) -> None:
        """A trial came further; told at once, also where its other events are held back until it is over."""

    def fault(self, event: FaultEvent) -> None:
        """A fault took hold, ended, or was missed."""

    def log(self, line: str) -> None:
        """One line worth telling, such as a step of the runbook or a warning."""

    def finished(self, result: TrialResult) -> None:
        """The trial has its verdict, and its run folder is complete."""

    def failed(self, error: BaseException) -> None:
        """The trial broke off without a verdict; clean-up is done."""

    def not_run(self, plan: Plan) -> None:
        """A trial was not run, or not to its end, since the run was to stop after another one."""


class Silent:
    """A listener that does nothing: the base of those that care for a few events only."""

    def started(self, plan: Plan, seed: int, trial: int, times: int, run_dir: Path) -> None:
        """Ignore."""

    def phase(self, name: str, seconds: float | None, detail: str = "") -> None:
        """Ignore."""

    def progress(self, at: Standing) -> None:
        """Ignore."""

    def fault(self, event: FaultEvent) -> None:
        """Ignore."""

    def log(self, line: str) -> None:
        """Ignore."""

    def finished(self, result: TrialResult) -> None:
        """Ignore."""

    def failed(self, error: BaseException) -> None:
        """Ignore."""

    def not_run(self, plan: Plan) -> None:
        """Ignore."""


class AtTheEnd(Silent):
    """The base of listeners that tell of a trial once it is over, with a verdict or without one.

    What they write is made from the result and the run folder alone, so `holdfast check` can make it again.
    """

    def __init__(self) -> None:
        """Begin with no trial under way."""
        self._under_way: dict[Path, Plan] = {}

    def started(self, plan: Plan, seed: int, trial: int, times: int, run_dir: Path) -> None:
        """Remember which trial is under way."""
        self._under_way[run_dir] = plan

    def finished(self, result: TrialResult) -> None:
        """Tell of it; what goes wrong with the stack afterwards is not this trial's."""
        self._under_way.pop(result.run_dir, None)
        self.over(result)

    def failed(self, error: BaseException) -> None:
        """Tell of those that were under way."""
        reason, code = why_broken(error)
        broken = [Broken(plan, run_dir, reason) for run_dir, plan in self._under_way.items()]
        self._under_way.clear()
        for each in broken:
            if isinstance(error, EndedEarly):
                self.ended_early(each, code)
            else:
                self.broke_off(each, code)

    def ended_early(self, trial: Broken, exit_code: int) -> None:
        """A trial was ended for the sake of another one; `not_run` tells of it too. By itself, it is as broken off."""
        self.broke_off(trial, exit_code)

    def broke_off(self, trial: Broken, exit_code: int) -> None:
        """A trial broke off with an error of this exit code; by itself, it is told as any other."""
        self.over(trial)

    def over(self, trial: TrialResult | Broken) -> None:
        """A trial is over."""
        raise NotImplementedError


def why_broken(error: BaseException) -> tuple[str, int]:
    """Why a trial broke off, and the exit code that goes with it."""
    if isinstance(error, HoldfastError):
        return str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return "interrupted (SIGINT)", EXIT_SIGINT
    if isinstance(error, Terminated):
        return "terminated (SIGTERM)", EXIT_SIGTERM
    return f"{type(error).__name__}: {error}", EXIT_HARNESS


class Collector(Silent):
    """Keeps what a caller needs when a run ends early: finished results, the last run folder, what was not run.

    `by_file` is whether the run is one of several files, which are then named.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.results: list[TrialResult] = []
        self.run_dir: Path | None = None
        self.seed: int | None = None
        self.left_out: list[Plan] = []
        self.by_file = False

    def started(self, plan: Plan, seed: int, trial: int, times: int, run_dir: Path) -> None:
        """Remember where the trial under way is kept."""
        self.run_dir, self.seed = run_dir, seed

    def finished(self, result: TrialResult) -> None:
        """Keep the result."""
        self.results.append(result)

    def not_run(self, plan: Plan) -> None:
        """Keep the plan."""
        self.left_out.append(plan)


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

    def progress(self, at: Standing) -> None:
        """Pass on."""
        self._tell("progress", lambda listener: listener.progress(at))

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

    def not_run(self, plan: Plan) -> None:
        """Pass on."""
        self._tell("not_run", lambda listener: listener.not_run(plan))

    def _tell(self, event: str, call: Callable[[Listener], None]) -> None:
        for listener in tuple(self._listeners):
            try:
                call(listener)
            except Exception as error:  # noqa: BLE001 - whatever a reporter does wrong, the trial goes on
                self.crashes.append(Crash(type(listener).__name__, event, error))
                self._listeners.remove(listener)


class Teller(FanOut):
    """Tells the events of the trials of one stack copy, and at once how far each of them is.

    Where trials run side by side their events are held back, so that they do not mix.
    """

    def __init__(self, fan: FanOut, *, hold: bool) -> None:
        """Pass the events on to `fan`: at once, or with `hold` at `close`, which is called after each trial."""
        super().__init__([])
        self._fan = fan
        self._hold = hold
        self._held: list[Callable[[Listener], None]] = []
        self._at = Standing(0, 0, "", "")
        self._doing = ""

    def started(self, plan: Plan, seed: int, trial: int, times: int, run_dir: Path) -> None:
        """Tell it."""
        super().started(plan, seed, trial, times, run_dir)
        self._move(Standing(trial, times, plan.experiment, PREPARING, total=plan.workload.operations))

    def phase(self, name: str, seconds: float | None, detail: str = "") -> None:
        """Tell it."""
        super().phase(name, seconds, detail)
        if seconds is None:
            self._move(replace(self._at, phase=name))

    def advanced(self, done: int, acknowledged: int) -> None:
        """So many operations are invoked, so many creates, updates and deletes acknowledged."""
        self._move(replace(self._at, done=done, acknowledged=acknowledged))

    def doing(self, line: str) -> None:
        """What is just under way; from any thread, as often as one likes: it is told with the next tick."""
        self._doing = line

    def finished(self, result: TrialResult) -> None:
        """Tell it."""
        self._move(replace(self._at, phase=""))
        super().finished(result)

    def failed(self, error: BaseException) -> None:
        """Tell it."""
        self._move(replace(self._at, phase=""))
        super().failed(error)

    def tick(self) -> None:
        """Tell again how far the trial is, so that who looks on sees that time passes."""
        if self._at.phase:
            self._fan.progress(replace(self._at, detail=self._doing))

    def close(self) -> None:
        """Pass on what has been held back, in its order."""
        held, self._held = self._held, []
        for call in held:
            call(self._fan)

    def _move(self, at: Standing) -> None:
        self._doing = self._doing if at.phase == self._at.phase else ""
        self._at = at
        self._fan.progress(at)

    def _tell(self, event: str, call: Callable[[Listener], None]) -> None:
        if self._hold:
            self._held.append(call)
        else:
            call(self._fan)

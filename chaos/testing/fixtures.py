"""The fixtures `stack`, `devices`, `faults` and `history`: a test says what its trial is, then has it run and judged.

    def test_a_power_cut_loses_nothing(stack, devices, faults, history):
        stack.of("experiments/steady.yaml")
        devices.work(users=5, operations=200)
        faults.strike("disk.power_cut", {"array": "core"}, at={"acknowledged": 100})
        history.record()

What is said is an experiment of the user's, changed; keys and their meanings are those of its file. It is written as a
plan and opened again, so whatever is wrong with it is told as of any file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from chaos.errors import UsageError
from chaos.testing.session import UnexpectedVerdictError, session

if TYPE_CHECKING:  # the plugin is loaded by every pytest run on this machine: light at import
    from chaos.experiment.plan import Plan, ScheduledFault
    from chaos.history.model import History as Read
    from chaos.preflight.opening import Opened
    from chaos.reporting.result import TrialResult


@dataclass
class Scene:
    """What a test has said of its next trial.

    Attributes:
        settings: Of the workload, by name.
        schedule: Faults beside those of the experiment.
    """

    opened: Opened | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    schedule: list[ScheduledFault] = field(default_factory=list)

    def plan(self) -> Plan:
        """The plan as it was said; what was said is forgotten, so that a test may say another one."""
        from chaos.experiment.source import did_you_mean

        if self.opened is None:
            raise UsageError('no experiment is named; begin with stack.of("FILE")')
        plan, settings, schedule = self.opened.plans[0], self.settings, self.schedule
        self.settings, self.schedule = {}, []
        if unknown := sorted(settings.keys() - plan.workload.settings.keys()):
            raise UsageError(f"a workload has no {unknown[0]!r}; {did_you_mean(unknown[0], plan.workload.settings)}")
        return replace(plan, workload=replace(plan.workload, **settings), schedule=(*plan.schedule, *schedule))


class StackFixture:
    """The fixture `stack`: whose stack it is."""

    def __init__(self, scene: Scene) -> None:
        """Say it to a scene."""
        self._scene = scene

    def of(self, experiment: Path | str, *, seed: int | None = None) -> Opened:
        """Take stack, workload, faults, checks and limits of an experiment.

        Args:
            experiment: Its file, as seen from where pytest runs.
            seed: Draws it; None: that of `--holdfast-seed`, else a fresh one.

        Raises:
            UsageError: It cannot be run.
        """
        from chaos.preflight.opening import open_experiment

        ours = session()
        chosen = ours.seed if seed is None else seed
        self._scene.opened = open_experiment(Path(experiment), chosen, images=ours.images)
        return self._scene.opened


class DevicesFixture:
    """The fixture `devices`: what the phones do."""

    def __init__(self, scene: Scene) -> None:
        """Say it to a scene."""
        self._scene = scene

    def work(self, **settings: Any) -> None:
        """Change settings of the workload, as `users`, `operations` or `rate_per_second`."""
        self._scene.settings |= settings


class FaultsFixture:
    """The fixture `faults`: what strikes."""

    def __init__(self, scene: Scene) -> None:
        """Say it to a scene."""
        self._scene = scene

    def strike(
        self,
        fault: str,
        target: Mapping[str, Any],
        *,
        at: Mapping[str, Any],
        for_seconds: float | None = None,
        **parameters: Any,
    ) -> None:
        """Add a fault to the schedule.

        Args:
            fault: Its name, as "disk.power_cut".
            target: As in a file: {"array": "core"}.
            at: As in a file: {"acknowledged": 100}, {"seconds": 1.5}.
            for_seconds: How long it stays in force; None: until the phase `heal`.
            parameters: The fault's own.

        Raises:
            UsageError: Target or trigger have no such form; what they name is checked by `history.record`.
        """
        from chaos.experiment.plan import ScheduledFault, Target, Trigger

        if len(target) != 1:
            raise UsageError(f"a target has one key, as {{'array': 'core'}}; seen: {dict(target)}")
        try:
            trigger = Trigger(**at)
        except TypeError:
            keys = ", ".join(Trigger.__dataclass_fields__)
            raise UsageError(f"a trigger is one of {keys}; seen: {dict(at)}") from None
        [(key, named)] = target.items()
        self._scene.schedule.append(ScheduledFault(fault, Target(key, named), trigger, for_seconds, parameters))


class HistoryFixture:
    """The fixture `history`: runs the trial, and has what was recorded."""

    def __init__(self, scene: Scene) -> None:
        """Run what a scene says."""
        self._scene = scene
        self._result: TrialResult | None = None

    def record(self, *, expect: str | None = "HELD") -> TrialResult:
        """Run the trial on a stack copy of its own and judge it.

        Args:
            expect: The verdict without which the test fails, with the verdict block as its text; None: any will do.

        Raises:
            UsageError: What was said cannot be run.
            HarnessError: Anything but the service failed; there is no verdict.
        """
        from chaos.experiment.loader import write_plan
        from chaos.preflight.opening import open_experiment
        from chaos.reporting.result import PLAN_FILE

        ours, said = session(), self._scene.plan()
        wanted: Plan = replace(said, expect=expect) if expect is not None else said  # type: ignore[arg-type]
        with tempfile.TemporaryDirectory(prefix="holdfast-plan-") as folder:
            file = Path(folder) / PLAN_FILE
            write_plan(wanted, file)
            [opened] = open_experiment(file).plans
            # A file says every limit; those that nobody stated may grow with what images ask for.
            plan = replace(opened, limits=said.limits, file=said.file)
            if reason := ours.require({fault.fault for fault in plan.schedule}):
                pytest.skip(reason)
            self._result = ours.run([plan])
        if expect is not None and not self._result.as_expected:
            raise UnexpectedVerdictError(self._result)
        return self._result

    def read(self) -> Read:
        """The history of the last trial: every attempt of every operation, faults and final reads.

        Raises:
            UsageError: None was recorded.
        """
        from chaos.history.reader import read_history
        from chaos.reporting.result import HISTORY_FILE

        if self._result is None:
            raise UsageError("nothing was recorded; call history.record() first")
        return read_history(self._result.run_dir / HISTORY_FILE)


@pytest.fixture(name="_holdfast_scene")
def scene() -> Scene:
    """What the other fixtures of a test share."""
    return Scene()


@pytest.fixture(name="stack")
def stack_fixture(_holdfast_scene: Scene) -> StackFixture:
    """Whose stack a test's trial runs on: `stack.of("experiments/steady.yaml")`."""
    return StackFixture(_holdfast_scene)


@pytest.fixture(name="devices")
def devices_fixture(_holdfast_scene: Scene) -> DevicesFixture:
    """What the phones do in a test's trial: `devices.work(users=5, operations=200)`."""
    return DevicesFixture(_holdfast_scene)


@pytest.fixture(name="faults")
def faults_fixture(_holdfast_scene: Scene) -> FaultsFixture:
    """What strikes in a test's trial: `faults.strike("process.kill", {"service": "db"}, at={"seconds": 1})`."""
    return FaultsFixture(_holdfast_scene)


@pytest.fixture(name="history")
def history_fixture(_holdfast_scene: Scene) -> HistoryFixture:
    """Runs a test's trial, judges it, and has its history: `history.record()`."""
    return HistoryFixture(_holdfast_scene)

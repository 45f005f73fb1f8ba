"""A trial in Allure's results: phases as steps, drawn parameters, the run's files as attachments.

Works inside a test that allure-pytest reports; without `--alluredir` Allure's calls do nothing.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import allure
from allure_commons.types import AttachmentType

from chaos.experiment.plan import Plan
from chaos.history.events import FaultEvent
from chaos.reporting.block import verdict_block
from chaos.reporting.listener import Silent
from chaos.reporting.result import HISTORY_FILE, PLAN_FILE, REPORT_FILE, RESULT_FILE, TrialResult, dumps, jsonable
from chaos.reporting.words import evidence, scheduled

ATTACHED_BYTES_MAX = 5_000_000
LOGS_FOLDER = "logs"


class AllureListener(Silent):
    """Tells Allure of one trial while it runs, so that steps have their true times."""

    def __init__(self) -> None:
        """Begin with no step open."""
        self._open: dict[str, ExitStack] = {}

    def started(self, plan: Plan, seed: int, trial: int, times: int, run_dir: Path) -> None:
        """Tell everything that was drawn."""
        # Parameters make a test's identity over time: what differs in each run is left out of it.
        allure.dynamic.parameter("seed", seed, excluded=True)
        for name, value in plan.workload.settings.items():
            allure.dynamic.parameter(name, value)
        for number, fault in enumerate(plan.schedule, start=1):
            allure.dynamic.parameter(f"fault {number}", scheduled(fault), excluded=True)

    def phase(self, name: str, seconds: float | None, detail: str = "") -> None:
        """Open a phase's step, or close it."""
        if seconds is None and name not in self._open:
            step = self._open[name] = ExitStack()
            step.enter_context(allure.step(f"{name} {detail}".rstrip()))
        elif seconds is not None and name in self._open:
            self._open.pop(name).close()

    def fault(self, event: FaultEvent) -> None:
        """A step without duration, inside that of the phase."""
        told = f": {evidence(event.evidence)}" if event.evidence else ""
        with allure.step(f"{event.fault} {event.target} {event.happened}{told}"):
            pass

    def finished(self, result: TrialResult) -> None:
        """Attach everything that the verdict rests on."""
        self._close(None)
        attach_run(result)

    def failed(self, error: BaseException) -> None:
        """Show in which phase it broke off."""
        self._close(error)

    def _close(self, error: BaseException | None) -> None:
        for name in reversed(tuple(self._open)):
            step = self._open.pop(name)
            step.__exit__(type(error) if error else None, error, error.__traceback__ if error else None)


def attach_run(result: TrialResult) -> None:
    """Attach verdict block, page, plan, result, evidence, history and logs; of large files the name only."""
    allure.attach("\n".join(verdict_block(result)), "verdict", AttachmentType.TEXT)
    faults = {"faults": [jsonable(fault) for fault in result.faults]}
    allure.attach(dumps(faults), "faults and their evidence", AttachmentType.JSON)
    run_dir = result.run_dir
    _attach(run_dir / REPORT_FILE, AttachmentType.HTML)
    _attach(run_dir / PLAN_FILE, AttachmentType.YAML)
    _attach(run_dir / RESULT_FILE, AttachmentType.JSON)
    _attach(run_dir / HISTORY_FILE, AttachmentType.TEXT)
    for log in sorted((run_dir / LOGS_FOLDER).glob("*")):
        _attach(log, AttachmentType.TEXT)


def _attach(path: Path, kind: AttachmentType) -> None:
    if not path.is_file():
        return
    size_bytes = path.stat().st_size
    if size_bytes < ATTACHED_BYTES_MAX:
        allure.attach.file(path, path.name, kind)  # type: ignore[no-untyped-call]
    elif size_bytes:
        told = f"{path} has {size_bytes:,} bytes, more than is attached; it stays there"
        allure.attach(told, f"{path.name} (not attached)", AttachmentType.TEXT)

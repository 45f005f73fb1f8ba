"""A trial in Allure's results: phases as steps, drawn parameters, the run's files as attachments.

All of it is made once the trial is over, from its result and its history, so the steps have their true times and
`holdfast check` can make them again. Without the extra `allure` importing this raises `MissingExtra`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from chaos.errors import MissingExtra, UsageError
from chaos.experiment.plan import Plan
from chaos.history.events import FaultEvent
from chaos.reporting.block import verdict_block
from chaos.reporting.listener import AtTheEnd
from chaos.reporting.page.course import Course, course_of
from chaos.reporting.page.file import as_far_as_it_goes
from chaos.reporting.result import (
    HISTORY_FILE,
    LOGS_FOLDER,
    PLAN_FILE,
    REPORT_FILE,
    RESULT_FILE,
    Broken,
    TrialResult,
    dumps,
    jsonable,
    number_in_run,
)
from chaos.reporting.words import evidence, one_line, printable, scheduled

try:
    from allure_commons.logger import AllureFileLogger
    from allure_commons.model2 import (
        ATTACHMENT_PATTERN,
        Attachment,
        Label,
        Parameter,
        Status,
        StatusDetails,
        TestResult,
        TestStepResult,
    )
    from allure_commons.types import AttachmentType
    from allure_commons.utils import md5, now, represent
except ImportError as error:
    raise MissingExtra("Allure's results", "allure", error) from None

ATTACHED_BYTES_MAX: Final = 5_000_000
_MILLISECOND: Final = 1_000_000


@dataclass(frozen=True)
class _Evidence:
    """What is attached: a text, or a file."""

    name: str
    kind: AttachmentType
    content: str | Path


class AllureResults(AtTheEnd):
    """Writes each trial as a result of its own into Allure's folder: `holdfast run --allure`, without pytest."""

    def __init__(self, folder: Path, *, clean: bool = False) -> None:
        """Make the folder; `clean`: what it holds is from before.

        Raises:
            UsageError: It cannot be made.
        """
        super().__init__()
        try:
            self._logger = AllureFileLogger(str(folder), clean=clean)
        except OSError as error:
            raise UsageError(f"{folder} cannot be made: {error.strerror}; name another folder for Allure") from None

    def ended_early(self, trial: Broken, exit_code: int) -> None:
        """Write nothing, as of a trial that never began."""

    def over(self, trial: TrialResult | Broken) -> None:
        """Write it, its attachments first."""
        course = _course(trial)
        number = Parameter(name="trial", value=represent(number_in_run(trial)))
        parameters = [number, *_parameters(trial.plan)]
        # As allure-pytest makes it, so that a trial is known again from one run to the next, whatever its seed.
        known_by = sorted((each for each in parameters if not each.excluded), key=lambda each: str(each.name))
        name = f"holdfast:{trial.plan.experiment}"
        begun, ended = _span(course)
        result = TestResult(
            uuid=str(uuid4()),
            name=trial.plan.experiment,
            fullName=name,
            titlePath=["holdfast"],
            testCaseId=md5(name),
            historyId=md5(name, *(each.value for each in known_by)),
            description=trial.plan.why or None,
            status=_status(trial),
            statusDetails=_details(trial),
            stage="finished",
            parameters=parameters,
            labels=[
                Label(name=kind, value=value)
                for kind, value in (("framework", "holdfast"), ("parentSuite", "holdfast"), ("suite", name[9:]))
            ],
            steps=list(_steps(course)),
            start=begun,
            stop=ended,
        )
        for each in _attached(trial):
            source = ATTACHMENT_PATTERN.format(prefix=uuid4(), ext=each.kind.extension)
            if isinstance(each.content, Path):
                self._logger.report_attached_file(str(each.content), source)
            else:
                self._logger.report_attached_data(each.content, source)
            result.attachments.append(Attachment(name=each.name, source=source, type=each.kind.mime_type))
        self._logger.report_result(result)


class AllureInPytest(AtTheEnd):
    """Adds a trial to the result of the test in which it runs, which allure-pytest writes."""

    def __init__(self, listener: Any) -> None:
        """Take the plugin "allure_listener" of allure-pytest."""
        super().__init__()
        self._reporter = listener.allure_logger

    def over(self, trial: TrialResult | Broken) -> None:
        """Add parameters, steps and attachments."""
        test = self._reporter.get_test(None)
        known = {each.name for each in test.parameters}
        test.parameters.extend(each for each in _parameters(trial.plan) if each.name not in known)
        course = _course(trial)
        test.steps.extend(_steps(course))
        for each in _attached(trial):
            attach = self._reporter.attach_file if isinstance(each.content, Path) else self._reporter.attach_data
            content = str(each.content)
            attach(str(uuid4()), content, name=each.name, attachment_type=each.kind, parent_uuid=test.uuid)


def _course(trial: TrialResult | Broken) -> Course | None:
    path = trial.run_dir / HISTORY_FILE
    return course_of(path) if isinstance(trial, TrialResult) else as_far_as_it_goes(path)[0]


def _parameters(plan: Plan) -> Iterator[Parameter]:
    """Everything that was drawn. What differs in each run is excluded from a test's identity over time."""
    yield Parameter(name="seed", value=represent(plan.seed), excluded=True)
    for name, value in plan.workload.settings.items():
        yield Parameter(name=name, value=represent(value))
    for number, fault in enumerate(plan.schedule, start=1):
        yield Parameter(name=f"fault {number}", value=represent(scheduled(fault)), excluded=True)


def _steps(course: Course | None) -> Iterator[TestStepResult]:
    """Phases, with what happened to faults in them; a phase that never ended is where the trial broke off."""
    if course is None:
        return
    begun: dict[str, TestStepResult] = {}
    faults = list(course.faults)
    for phase in course.phases:
        at = _wall(course, phase.t)
        if phase.happened == "begun":
            begun[phase.name] = TestStepResult(name=phase.name, start=at, stop=at, status=Status.BROKEN)
            yield from (_moment(course, faults.pop(0)) for _ in tuple(faults) if faults[0].t < phase.t)
            yield begun[phase.name]
        elif phase.name in begun:
            step = begun.pop(phase.name)
            step.stop, step.status = at, Status.PASSED
            while faults and faults[0].t <= phase.t:
                step.steps.append(_moment(course, faults.pop(0)))
    yield from (_moment(course, each) for each in faults)


def _moment(course: Course, event: FaultEvent) -> TestStepResult:
    """What happened to a fault, as a step without duration."""
    told = f": {evidence(event.evidence)}" if event.evidence else ""
    at = _wall(course, event.t)
    status = Status.SKIPPED if event.happened == "missed" else Status.PASSED
    return TestStepResult(name=f"{event.fault} {event.target} {event.happened}{told}", start=at, stop=at, status=status)


def _span(course: Course | None) -> tuple[int, int]:
    """When a trial began and ended, in milliseconds since 1970."""
    if course is None:
        return now(), now()
    last = max((course.header.t, course.last_read, *(phase.t for phase in course.phases)))
    return _wall(course, course.header.t), _wall(course, last)


def _wall(course: Course, t: int) -> int:
    """A time of the history in milliseconds since 1970; where an older one does not know it, since its begin."""
    return (course.header.epoch_ns + t - course.header.t) // _MILLISECOND


def _status(trial: TrialResult | Broken) -> str:
    if isinstance(trial, Broken):
        return str(Status.BROKEN)
    return str(Status.PASSED if trial.as_expected else Status.FAILED)


def _details(trial: TrialResult | Broken) -> StatusDetails | None:
    if isinstance(trial, Broken):
        return StatusDetails(message=one_line(trial.reason))
    if trial.as_expected:
        return None
    return StatusDetails(message=f"{trial.verdict} {one_line(trial.reason)}", trace=_block(trial))


def _block(result: TrialResult) -> str:
    return "\n".join(printable(line) for line in verdict_block(result))


def _attached(trial: TrialResult | Broken) -> Iterator[_Evidence]:
    """Verdict block, page, plan, result, evidence, history and logs; of large files the name only."""
    if isinstance(trial, TrialResult):
        yield _Evidence("verdict", AttachmentType.TEXT, _block(trial))
        faults = dumps({"faults": [jsonable(fault) for fault in trial.faults]})
        yield _Evidence("faults and their evidence", AttachmentType.JSON, faults)
    run_dir = trial.run_dir
    logs = [(log, AttachmentType.TEXT) for log in sorted((run_dir / LOGS_FOLDER).glob("*"))]
    for path, kind in (
        (run_dir / REPORT_FILE, AttachmentType.HTML),
        (run_dir / PLAN_FILE, AttachmentType.YAML),
        (run_dir / RESULT_FILE, AttachmentType.JSON),
        (run_dir / HISTORY_FILE, AttachmentType.TEXT),
        *logs,
    ):
        size_bytes = path.stat().st_size if path.is_file() else 0
        if size_bytes >= ATTACHED_BYTES_MAX:
            told = f"{path} has {size_bytes:,} bytes, more than is attached; it stays there"
            yield _Evidence(f"{path.name} (not attached)", AttachmentType.TEXT, told)
        elif size_bytes:
            yield _Evidence(path.name, kind, path)

"""A trial's result from its run folder, without the stack: what `holdfast check` judges again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from chaos.checks.file import judge_file
from chaos.checks.verdict import Judgement
from chaos.errors import HarnessError, HoldfastError, UsageError
from chaos.experiment.catalogue import FaultCatalogue
from chaos.experiment.loader import load_plan
from chaos.experiment.plan import Plan, ScheduledFault
from chaos.faults import catalogue
from chaos.faults.felt import felt
from chaos.history.events import FaultEvent
from chaos.history.model import History
from chaos.reporting.causes import causes_of
from chaos.reporting.page.course import course_of
from chaos.reporting.page.outage import outage_of
from chaos.reporting.result import HISTORY_FILE, PLAN_FILE, RESULT_FILE, FaultOutcome, TrialResult

_NANOSECONDS = 1_000_000_000


def judge_again(run_dir: Path) -> TrialResult:
    """Judge the history of a finished trial from its run folder, without its stack.

    Raises:
        UsageError: It is no run folder, or its trial never wrote a history.
        HarnessError: The history cannot be judged, or the check is blind on it.
    """
    return recall(run_dir, catalogue())


def recall(run_dir: Path, faults: FaultCatalogue) -> TrialResult:
    """Judge the history of a run folder.

    Raises:
        UsageError: It is no run folder, or its trial never wrote a history.
        HarnessError: The history cannot be judged, or the check is blind on it.
    """
    run_dir = run_folder(run_dir)
    plan = load_plan(run_dir / PLAN_FILE, faults)
    history, judgement = judge_file(run_dir / HISTORY_FILE)
    not_covered, images = _kept(run_dir / RESULT_FILE)
    return result_of(plan, run_dir, history, judgement, not_covered, images)


def proven_loss(run_dir: Path) -> TrialResult | None:
    """The result of a trial that broke off after its history was complete and proves a loss; None: it does not.

    What fails afterwards, such as the removal of the stack, takes a loss not back. That such a trial was HELD is not
    believed.
    """
    try:
        result = recall(run_dir, catalogue())
    except HoldfastError:
        return None
    return result if result.verdict == "VIOLATED" else None


def run_folder(run_dir: Path) -> Path:
    """The run folder that a user names; `latest` will be another one tomorrow, so it is the one that it leads to.

    Raises:
        UsageError: It is no run folder, or its trial never wrote a history.
    """
    if run_dir.is_symlink():
        run_dir = run_dir.parent / run_dir.readlink()
    for name in (PLAN_FILE, HISTORY_FILE):
        if not (run_dir / name).is_file():
            raise UsageError(f"{run_dir} holds no {name}; name a folder that `holdfast run` has made")
    return run_dir


def kept_images(run_dir: Path) -> Mapping[str, str]:
    """The digests of the images that a finished trial ran, by service; none of one that broke off."""
    return _kept(run_dir / RESULT_FILE)[1]


def fell_before(plan: Plan) -> Mapping[int, str]:
    """Of a run folder's plan on which I/O each fault fell in that run, by its place in the schedule."""
    if plan.file is None:
        return {}
    try:
        document = json.loads((plan.file.parent / RESULT_FILE).read_text(encoding="utf-8"))
        fell_on = [fault["evidence"].get("fell_on") for fault in document["faults"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # no run folder, or a trial that broke off
        return {}
    return {index: str(told) for index, told in enumerate(fell_on) if told} if plan.file.name == PLAN_FILE else {}


def result_of(
    plan: Plan,
    run_dir: Path,
    history: History,
    judgement: Judgement,
    not_covered: tuple[str, ...],
    images: Mapping[str, str],
) -> TrialResult:
    """A judged trial with everything that its history shows.

    Raises:
        HarnessError: The check was blind, so there is no verdict.
    """
    if judgement.verdict is None:
        raise HarnessError(f"{judgement.reason}; keep {run_dir} and report it, there is no verdict")
    return TrialResult(
        plan=plan,
        run_dir=run_dir,
        judgement=judgement,
        verdict=judgement.verdict,
        reason=judgement.reason,
        phases=phases_of(history),
        faults=faults_of(history, plan.schedule),
        not_covered=not_covered,
        images=images,
        outage=outage_of(course_of(run_dir / HISTORY_FILE)),
        causes=causes_of(run_dir / HISTORY_FILE),
        begun=history.header.date(history.header.t),
        versions=history.header.versions,
    )


def phases_of(history: History) -> dict[str, float]:
    """Seconds of every phase, in the order in which they began; a phase that never ended has none."""
    begun: dict[str, int] = {}
    taken: dict[str, float] = {}
    for phase in history.phases:
        if phase.happened == "begun":
            begun[phase.name] = phase.t
        elif phase.name in begun:
            seconds = (phase.t - begun.pop(phase.name)) / _NANOSECONDS
            taken[phase.name] = taken.get(phase.name, 0.0) + seconds
    return taken


def faults_of(history: History, schedule: tuple[ScheduledFault, ...]) -> tuple[FaultOutcome, ...]:
    """What became of each scheduled fault; times in seconds after the load began."""
    events: dict[tuple[int, str], FaultEvent] = {}
    for event in history.faults:
        events[event.index, event.happened] = event

    def seconds(event: FaultEvent | None) -> float | None:
        return None if event is None else round((event.t - history.load_begun) / _NANOSECONDS, 6)

    outcomes = []
    for index, fault in enumerate(schedule):
        injected, healed = events.get((index, "injected")), events.get((index, "healed"))
        counted = healed or events.get((index, "lasting"))
        last = counted or events.get((index, "missed")) or injected
        carrier = felt(history, [event for event in history.faults if event.index == index])
        outcomes.append(
            FaultOutcome(
                name=fault.fault,
                target=last.target if last is not None else str(fault.target),  # the event knows who had a role then
                injected_at=seconds(injected),
                healed_at=seconds(healed),
                bit=counted is not None and counted.bit and not (carrier and carrier.why),
                evidence={
                    **(injected.evidence if injected else {}),  # on which I/O it fell
                    **(last.evidence if last else {}),
                    **(carrier.counted if carrier else {}),
                },
                why=(carrier and carrier.why) or (last.why if last is not None else "the trial ended before it"),
            )
        )
    return tuple(outcomes)


def _kept(path: Path) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """What the history does not hold and the trial's own result does: (not covered, images)."""
    if not path.is_file():
        return (), {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        not_covered, images = document["not_covered"], document["images"]
        return tuple(str(each) for each in not_covered), {str(a): str(b) for a, b in images.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HarnessError(f"{path} is no result ({error}); remove it to judge the history alone") from None

"""The report of one trial as a single HTML page: no script, no request, readable from disk years later.

The page is made from a run folder alone. What it shows of records, notes and errors was said by services, so
every text is escaped, made visible and bounded in `_shown`, the one way of a value into the page.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from chaos.checks.classes import THIN, VIOLATING
from chaos.checks.story import AnomalousRecord
from chaos.checks.verdict import Judgement
from chaos.experiment.plan import Plan
from chaos.history.events import CANARY_OWNER
from chaos.history.told import NOBODY
from chaos.reporting.causes import NONE, Causes
from chaos.reporting.meanings import meaning
from chaos.reporting.page import figures
from chaos.reporting.page.copies import Store, stores_of
from chaos.reporting.page.course import SECOND, Course
from chaos.reporting.page.happenings import available, gaps, happenings
from chaos.reporting.page.latency import latencies, latency_figure, told_latency
from chaos.reporting.page.logs import said_around
from chaos.reporting.page.outage import Outage, outages
from chaos.reporting.page.sentence import sentence
from chaos.reporting.result import (
    ERROR_FILE,
    HISTORY_FILE,
    LOGS_FOLDER,
    PLAN_FILE,
    RESULT_FILE,
    FaultOutcome,
    TrialResult,
    again,
    overview_path,
)
from chaos.reporting.words import (
    DOT,
    announcement,
    between,
    count,
    counted,
    date,
    evidence,
    one_line,
    outcomes,
    printable,
    scheduled,
)

STORIES_MAX: Final = 300
STORIES_OPEN: Final = 20
"""So many are listed at once, the rest when asked for."""
EVENTS_MAX: Final = 200
EVENTS_OPEN: Final = 40
"""So many lines of what happened are shown at once, the rest when asked for."""
GAPS_MAX: Final = 40
TEXT_MAX: Final = 2_000
NO_VERDICT: Final = "NO VERDICT"
_FILES: Final = (
    (PLAN_FILE, "everything drawn"),
    (HISTORY_FILE, "every attempt and every read"),
    (RESULT_FILE, "this verdict for programs"),
    (ERROR_FILE, "why it broke off"),
    (LOGS_FOLDER, "what the services said"),
    ("agent.jsonl", "what the agent said"),
    ("engine.jsonl", "what the container engine did"),
    ("traceback.txt", "for a bug report"),
)
_TEMPLATES: Final = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Story:
    """An anomalous record as the page tells it.

    Attributes:
        lines: (time, what, detail, mark) each.
        copies: A sentence for each store that held a copy when the version that counts was acknowledged.
    """

    record: AnomalousRecord
    lines: tuple[tuple[str, str, str, str], ...]
    copies: tuple[str, ...]


def page(result: TrialResult, course: Course) -> str:
    """The page of a trial that has a verdict."""
    judgement = result.judgement
    return _rendered(
        verdict=result.verdict,
        reason=one_line(result.reason),
        further=[] if judgement is None else [one_line(reason) for reason in judgement.reasons[1:]],
        lead="" if judgement is None else sentence(judgement, course),
        kept_by=result.kept_by,
        plan=result.plan,
        run_dir=result.run_dir,
        expected="" if result.as_expected else result.plan.expect,
        rerun=result.again,
        judgement=judgement,
        faults=result.faults,
        outage=result.outage,
        causes=result.causes,
        not_covered=result.not_covered,
        digests=result.images,
        phases=result.phases,
        course=course,
    )


def page_without_verdict(
    run_dir: Path, reason: str, *, plan: Plan | None, course: Course | None, why_no_history: str = ""
) -> str:
    """The page of a trial that broke off: why, and as much of the history as there is."""
    return _rendered(
        verdict=NO_VERDICT,
        reason=one_line(reason),
        further=["The trial broke off or could not be judged: nothing here speaks for or against the service."],
        plan=plan,
        run_dir=run_dir.resolve(),
        rerun=again(run_dir) if (run_dir / PLAN_FILE).is_file() else "",
        why_no_history=why_no_history,
        course=course,
    )


def _rendered(
    *,
    verdict: str,
    reason: str,
    further: list[str],
    plan: Plan | None,
    run_dir: Path,
    course: Course | None,
    lead: str = "",
    kept_by: str = "",
    expected: str = "",
    rerun: str = "",
    judgement: Judgement | None = None,
    faults: Iterable[FaultOutcome] = (),
    outage: Outage | None = None,
    causes: Causes = NONE,
    not_covered: Iterable[str] = (),
    digests: Mapping[str, str] | None = None,
    phases: Mapping[str, float] | None = None,
    why_no_history: str = "",
) -> str:
    over_all = overview_path(run_dir)
    return (
        environment()
        .get_template("report.html")
        .render(
            verdict=verdict,
            reason=reason,
            further=further,
            lead=lead,
            kept_by=one_line(kept_by),
            plan=plan,
            why="" if plan is None else " ".join(plan.why.split()),
            drawn=[] if plan is None else announcement(plan)[1:],
            name=run_dir.name,
            over_all=over_all.name if over_all is not None and over_all.is_file() else "",
            files=[(name, what) for name, what in _FILES if (run_dir / name).exists()],
            expected=expected,
            again=rerun,
            facts=[*_judged(judgement), *_measured(outage)],
            judgement=judgement,
            causes=causes,
            schedule=_schedule(plan, list(faults)),
            not_covered=list(not_covered),
            images=_images(course, digests or {}),
            phases=phases or {},
            longest=max((phases or {}).values(), default=0.0),
            stories=[] if judgement is None or course is None else _stories(judgement, course),
            stories_open=STORIES_OPEN,
            why_no_history=why_no_history,
            course=course,
            **({} if course is None else _drawn(course, judgement, outage, run_dir, verdict, digests or {})),
        )
    )


def _drawn(
    course: Course,
    judgement: Judgement | None,
    outage: Outage | None,
    run_dir: Path,
    verdict: str,
    services: Collection[str],
) -> dict[str, object]:
    """What the page shows of the history, each part bounded."""
    violated = verdict == "VIOLATED"
    away = outages(course)
    operations = figures.operations(course, away, *_lost(judgement, course))
    found = happenings(course, outage, violated)
    begun = course.header.date(course.load_begun)
    return {
        "date": date(begun),
        "timeline": figures.timeline(course, violated=violated),
        "operations": operations if operations.bars else None,
        "latencies": latencies(course),
        "latency": latency_figure(course),
        "happenings": found[:EVENTS_MAX],
        "happenings_open": EVENTS_OPEN,
        "gaps": gaps(course, away[:GAPS_MAX]),
        "gaps_left_out": max(0, len(away) - GAPS_MAX),
        "available": available(course, away),
        "happenings_left_out": max(0, len(found) - EVENTS_MAX),
        "moments": said_around(run_dir, course, services),
        "told": figures.whole_trial(course).told,
    }


def _lost(judgement: Judgement | None, course: Course) -> tuple[list[int], str]:
    """When the versions that were not kept had been acknowledged, and the label of their lane."""
    records = [] if judgement is None else judgement.records[:STORIES_MAX]
    found = [each.finding for each in records]
    times = [each.since for each in found if each.standing == "acknowledged" and each.since is not None]
    first = f" (the first {count(len(records))})" if judgement and judgement.records_total > len(records) else ""
    return [course.load_begun + round(since * SECOND) for since in times], f"acknowledged then, and not kept{first}"


def _schedule(plan: Plan | None, became: Sequence[FaultOutcome]) -> list[tuple[str, FaultOutcome | None]]:
    """Each fault as it was drawn, and what became of it; None where the trial broke off before that was known."""
    drawn = [] if plan is None else [scheduled(each) for each in plan.schedule]
    return [(each, became[at] if at < len(became) else None) for at, each in enumerate(drawn)]


def _images(course: Course | None, digests: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """(service, image as the Compose file names it, digest) of each image that ran."""
    names = {} if course is None else course.header.images
    return [
        (service, names.get(service) or ("built" if service in names else ""), digests.get(service, ""))
        for service in {**names, **digests}
    ]


def _judged(judgement: Judgement | None) -> Iterator[tuple[str, str, str]]:
    """(name, value, what it means) of what the check counted."""
    if judgement is None:
        return
    yield "operations", outcomes(judgement.operations), "creates, updates and deletes by their last outcome"
    yield (
        "covered",
        f"{count(judgement.covered)} of {count(judgement.coverable)}",
        "acknowledged records that were read back at every door",
    )
    yield (
        "canaries",
        f"{judgement.canaries_reported} of {judgement.canaries_planted}",
        "losses planted by Holdfast that the check reported, as it must",
    )


def _measured(outage: Outage | None) -> Iterator[tuple[str, str, str]]:
    if outage is not None:
        yield "service away", outage.length, outage.when


def _stories(judgement: Judgement, course: Course) -> list[Story]:
    stories = []
    for record in judgement.records[:STORIES_MAX]:
        lines = tuple(
            (figures.told_seconds(line.t_seconds_from_load_begin), line.what, one_line(line.detail), line.mark)
            for line in record.story
            if line.mark != "copies"
        )
        stories.append(Story(record, lines, tuple(_copies(record, course))))
    return stories


def _copies(record: AnomalousRecord, course: Course) -> Iterator[str]:
    """Where the version that counts was when it was acknowledged, and which fault struck there."""
    finding = record.finding
    if finding.standing != "acknowledged" or finding.since is None:
        return
    window = figures.whole_trial(course)
    acknowledged = course.load_begun + round(finding.since * 1e9)
    stores = stores_of([note for note in course.notes if note.t <= acknowledged], record.type)
    roles = {role: holder for t, role, holder in figures.role_changes(course) if t <= acknowledged}
    yield f"acknowledged at {window.told(acknowledged)}"
    for store in stores:
        yield _place(store, course, window)
    if roles:
        yield DOT.join(f"{role} then: {holder or NOBODY}" for role, holder in sorted(roles.items()))


def _place(store: Store, course: Course, window: figures.Window) -> str:
    if not store.copies:
        return f"{store.name}: {store.text}"
    parts = []
    for copy in store.copies:
        told = f"{copy.volume} on {copy.place}"
        hits = [f"{event.fault} at {window.told(event.t)}" for event in copy.struck(course.faults)]
        parts.append(f"{told} (struck by {', '.join(hits)})" if hits else told)
    only = len(store.copies) > 1 and store.one_array
    tail = f"; all on the one array {store.one_array}" if only else ""
    return f"{store.name}: {', '.join(parts)}{tail}"


def _classes(counts: Mapping[str, int]) -> list[tuple[str, int, str, str]]:
    """(class, records, meaning, kind), as the check ordered them."""
    return [
        (name, number, meaning(name), "violating" if name in VIOLATING else "thin" if name in THIN else "")
        for name, number in counts.items()
    ]


def _window_of(fault: FaultOutcome) -> str:
    if fault.injected_at is None:
        return "never injected"
    begun = figures.told_seconds(fault.injected_at)
    if fault.healed_at is None:
        return f"from {begun} on"
    return f"{begun} to {figures.told_seconds(fault.healed_at)}"


def _shown(value: object) -> object:
    """A value for the page: invisible characters made visible, and of bounded length."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    text = printable(value)
    return (
        text if len(text) <= TEXT_MAX else f"{text[:TEXT_MAX]}... ({counted(len(text) - TEXT_MAX, 'character')} more)"
    )


@cache
def environment() -> Environment:
    """The templates: every value is escaped, made visible and bounded."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=count,
        evidence=evidence,
        classes=_classes,
        window=_window_of,
        seconds=figures.told_seconds,
        latency=told_latency,
    )
    environment.globals.update(canary=CANARY_OWNER, between=between)
    return environment

"""The report of one trial as a single HTML page: no script, no request, readable from disk years later.

The page is made from a run folder alone. What it shows of records, notes and errors was said by services, so
every text is escaped, made visible and bounded in `_shown`, the one way of a value into the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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
from chaos.history.model import History
from chaos.history.told import NOBODY
from chaos.reporting.causes import NONE, Causes
from chaos.reporting.meanings import meaning
from chaos.reporting.page import figures
from chaos.reporting.page.copies import TOPIC, Store, stores_of
from chaos.reporting.page.outage import Outage
from chaos.reporting.result import (
    ERROR_FILE,
    HISTORY_FILE,
    PLAN_FILE,
    RESULT_FILE,
    FaultOutcome,
    TrialResult,
    again,
)
from chaos.reporting.words import (
    DOT,
    announcement,
    count,
    counted,
    evidence,
    one_line,
    outcomes,
    printable,
)

STORIES_MAX: Final = 300
STORIES_OPEN: Final = 20
"""So many are listed at once, the rest when asked for."""
EVENTS_MAX: Final = 200
TEXT_MAX: Final = 2_000
NO_VERDICT: Final = "NO VERDICT"
_FILES: Final = (
    (PLAN_FILE, "everything drawn"),
    (HISTORY_FILE, "every attempt and every read"),
    (RESULT_FILE, "this verdict for programs"),
    (ERROR_FILE, "why it broke off"),
    ("logs", "what the services said"),
    ("agent.jsonl", "what the agent said"),
    ("engine.jsonl", "what the container engine did"),
    ("traceback.txt", "for a bug report"),
)
_TEMPLATES: Final = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Story:
    """An anomalous record as the page tells it.

    Attributes:
        lines: (time, what, detail, kind) each; the kind is "struck" for a fault, "missing" where it was not there.
        copies: A sentence for each store that held a copy when it was last acknowledged.
    """

    record: AnomalousRecord
    lines: tuple[tuple[str, str, str, str], ...]
    copies: tuple[str, ...]


@dataclass(frozen=True)
class Happening:
    """One line of what happened, in the order of time."""

    time: str
    what: str
    detail: str
    kind: str


def page(result: TrialResult, history: History) -> str:
    """The page of a trial that has a verdict."""
    judgement = result.judgement
    return _rendered(
        verdict=result.verdict,
        reason=one_line(result.reason),
        further=[] if judgement is None else [one_line(reason) for reason in judgement.reasons[1:]],
        plan=result.plan,
        run_dir=result.run_dir,
        expected="" if result.as_expected else result.plan.expect,
        rerun=result.again,
        judgement=judgement,
        faults=result.faults,
        outage=result.outage,
        causes=result.causes,
        not_covered=result.not_covered,
        images=result.images,
        phases=result.phases,
        history=history,
    )


def page_without_verdict(
    run_dir: Path, reason: str, *, plan: Plan | None, history: History | None, why_no_history: str = ""
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
        history=history,
    )


def _rendered(
    *,
    verdict: str,
    reason: str,
    further: list[str],
    plan: Plan | None,
    run_dir: Path,
    history: History | None,
    expected: str = "",
    rerun: str = "",
    judgement: Judgement | None = None,
    faults: Iterable[FaultOutcome] = (),
    outage: Outage | None = None,
    causes: Causes = NONE,
    not_covered: Iterable[str] = (),
    images: Mapping[str, str] | None = None,
    phases: Mapping[str, float] | None = None,
    why_no_history: str = "",
) -> str:
    return (
        _environment()
        .get_template("report.html")
        .render(
            verdict=verdict,
            reason=reason,
            further=further,
            plan=plan,
            why="" if plan is None else " ".join(plan.why.split()),
            drawn=[] if plan is None else announcement(plan)[1:],
            name=run_dir.name,
            files=[(name, what) for name, what in _FILES if (run_dir / name).exists()],
            expected=expected,
            again=rerun,
            facts=[*_judged(judgement), *_measured(outage)],
            judgement=judgement,
            causes=causes,
            faults=list(faults),
            not_covered=list(not_covered),
            images=images or {},
            phases=phases or {},
            longest=max((phases or {}).values(), default=0.0),
            timeline=None if history is None else figures.timeline(history, violated=verdict == "VIOLATED"),
            operations=None if history is None else _operations(history),
            **_bounded(
                "happenings",
                [] if history is None else _happenings(history, outage, verdict == "VIOLATED"),
                EVENTS_MAX,
            ),
            stories=[] if judgement is None or history is None else _stories(judgement, history),
            stories_open=STORIES_OPEN,
            roles_recorded=history is not None and any(True for _ in figures.role_changes(history)),
            why_no_history=why_no_history,
            history=history,
        )
    )


def _operations(history: History) -> figures.Figure | None:
    drawing = figures.operations(history)
    return drawing if drawing.bars else None


def _bounded(name: str, found: list[Happening], most: int) -> dict[str, object]:
    return {name: found[:most], f"{name}_left_out": max(0, len(found) - most)}


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


def _happenings(history: History, outage: Outage | None, violated: bool) -> list[Happening]:
    """Faults, notes, roles and the phases after the load, in the order of time."""
    window = figures.whole_trial(history)
    found: list[tuple[int, str, str, str]] = []
    for event in history.faults:
        short = event.concludes and not event.bit and not violated  # says nothing about a loss that is proven
        told = [evidence(event.evidence), f"did not bite: {event.why}" if short else ""]
        what = f"{event.fault} {event.target} {'is for good' if event.happened == 'lasting' else event.happened}"
        if event.happened == "missed":
            told.append(event.why)
        found.append((event.t, what, DOT.join(part for part in told if part), "struck"))
    for note in history.notes:
        if note.topic not in (figures.ROLE, TOPIC):
            kind = "missing" if note.topic in VIOLATING else ""
            found.append((note.t, note.topic, one_line(note.text), kind))
    for t, role, holder in figures.role_changes(history):
        found.append((t, f"{role} is {holder}" if holder else f"nobody is {role}", "", ""))
    for name, begun, ended in figures.stretches(history.phases):
        if begun >= window.begun:
            takes = "breaks off" if ended is None else f"takes {figures.told_seconds((ended - begun) / 1e9)}"
            found.append((begun, f"{name} begins", takes, "phase"))
    found += _silence(history, outage)
    found.sort(key=lambda each: each[0])
    return [Happening(window.told(t), what, detail, kind) for t, what, detail, kind in found]


def _silence(history: History, outage: Outage | None) -> Iterator[tuple[int, str, str, str]]:
    """When acknowledgements stopped and came back."""
    if outage is None:
        return
    yield history.load_begun + outage.begun, "the last acknowledgement", "before the service was away", ""
    if outage.ended is not None:
        yield history.load_begun + outage.ended, "acknowledged again", f"after {outage.length}", ""


def _stories(judgement: Judgement, history: History) -> list[Story]:
    struck = {f"{event.fault} {event.target}".rstrip() for event in history.faults}
    window = figures.whole_trial(history)
    stories = []
    for record in judgement.records[:STORIES_MAX]:
        lines = tuple(
            (
                figures.told_seconds(line.t_seconds_from_load_begin),
                line.what,
                one_line(line.detail),
                "struck" if line.what in struck else "missing" if line.detail == "not there" else "",
            )
            for line in record.story
            if line.what != TOPIC
        )
        stories.append(Story(record, lines, tuple(_copies(record, history, window))))
    return stories


def _copies(record: AnomalousRecord, history: History, window: figures.Window) -> Iterator[str]:
    """Where the record was when it was last acknowledged, and which fault struck there."""
    operations = history.records.get((record.owner, record.record), [])
    times = [attempt.back for operation in operations for attempt in operation.attempts if attempt.outcome == "ok"]
    if not times:
        yield "never acknowledged"
        return
    acknowledged = max(times)
    notes = [note for note in history.notes if note.t <= acknowledged]
    roles = {role: holder for t, role, holder in figures.role_changes(history) if t <= acknowledged}
    stores = stores_of(notes, record.type)
    yield f"acknowledged last at {window.told(acknowledged)}" + ("" if stores else "; the stack names no copies")
    for store in stores:
        yield _place(store, history, window)
    if roles:
        yield DOT.join(f"{role} then: {holder or NOBODY}" for role, holder in sorted(roles.items()))


def _place(store: Store, history: History, window: figures.Window) -> str:
    if not store.copies:
        return f"{store.name}: {store.text}"
    parts = []
    for copy in store.copies:
        told = f"{copy.volume} on {copy.place}"
        hits = [f"{event.fault} at {window.told(event.t)}" for event in copy.struck(history.faults)]
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
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=count, evidence=evidence, classes=_classes, window=_window_of, seconds=figures.told_seconds
    )
    environment.globals.update(canary=CANARY_OWNER)
    return environment

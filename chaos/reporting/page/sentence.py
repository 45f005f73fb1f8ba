"""The one sentence of a page: what was lost, of whom, when it was acknowledged, and what happened in between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from chaos.checks.classes import MEANING
from chaos.checks.finding import Finding, door_words
from chaos.checks.story import AnomalousRecord
from chaos.checks.verdict import Judgement
from chaos.history.events import FaultEvent
from chaos.reporting.page.course import SECOND, Course
from chaos.reporting.page.figures import told_seconds
from chaos.reporting.words import count, counted, one_line

FAULTS_MAX: Final = 3
_TEXT_MAX: Final = 140
_DONE: Final = {"create": "created", "update": "updated", "delete": "deleted"}
_SHOWN: Final = {
    "corrupted": "it had another payload than was written",
    "torn": "it was mixed from several versions",
    "dangling-blob": "its row was there without its blob",
    "misattributed": "it had the name of another record or user",
    "duplicated": "it was there more than once",
    "phantom": "a version was there that nobody had sent",
    "aborted-visible": "it was there all the same",
}
"""What a final read showed, by class; of other classes the state of the record tells it."""


def sentence(judgement: Judgement, course: Course) -> str:
    """What the trial found; "" where it proved nothing."""
    if judgement.verdict == "HELD":
        return _held(judgement, course)
    noted = next((note for note in course.notes if note.topic == "unrecoverable"), None)
    if noted is not None:
        happened = "; ".join(_between(course, course.load_begun, noted.t)) or "nothing was injected"
        records = f"{counted(judgement.coverable, 'acknowledged record')} cannot be read"
        return f"{records}: {happened}; from then on the service does not serve ({_short(noted.text)})."
    if not judgement.records:
        return ""
    first = judgement.records[0]
    told = "; ".join(_told(first, course))
    if judgement.records_total == 1:
        return f"{_capital(told)}."
    many = f"{count(judgement.records_total)} records of {counted(judgement.owners_total, 'user')}"
    return f"{many}; the first: {told}."


def _held(judgement: Judgement, course: Course) -> str:
    every = f"all {count(judgement.covered)} acknowledged records were as they must be at every door"
    after = list(_between(course, course.load_begun, None))
    return f"{_capital(every)}: {'; '.join(after)}." if after else f"{_capital(every)}."


def _told(record: AnomalousRecord, course: Course) -> Iterator[str]:
    finding = record.finding
    who = f"{record.type or 'record'} {_short(record.record)} of {_short(record.owner)}"
    yield f"{who} {_vouched(finding)}"
    since = finding.since if finding.since is not None else finding.acted
    begun = course.load_begun if since is None else _nanoseconds(since, course)
    read = None if finding.read is None else _nanoseconds(finding.read, course)
    happened = list(_between(course, begun, read))
    yield from happened
    if not happened and read is not None and since is not None:
        yield f"nothing was injected in between{_earlier(course, begun)}"
    yield _seen(finding)


def _vouched(finding: Finding) -> str:
    """What is known of the version that counts."""
    if not finding.kind:
        return "was sent by nobody"
    done = f"was {_DONE[finding.kind]} by {finding.device}"
    by = f" by {finding.by}" if finding.by else ""
    at = f" at {told_seconds(finding.since)}" if finding.since is not None else ""
    if finding.standing == "acknowledged":
        return f"{done} and acknowledged{by}{at}"
    if finding.standing == "degraded":
        return f"{done} and acknowledged with a warning{by}{at}"
    if finding.standing == "shown":
        return f"{done}, and {finding.by or 'a read'} saw it{at}"
    if finding.standing == "refused":
        return f"was refused{by}{at} when {finding.device} {_DONE[finding.kind]} it"
    return f"{done} at {told_seconds(finding.acted or 0.0)}, without an answer"


def _seen(finding: Finding) -> str:
    """Which read shows the anomaly, and how."""
    if finding.read is None:
        return MEANING.get(finding.anomaly, finding.anomaly)
    beside = ", while another door of the same step was right" if finding.right_elsewhere else ""
    return f"at {told_seconds(finding.read)} {door_words(finding.door)}, and {_state(finding)}{beside}"


def _state(finding: Finding) -> str:
    of_the_read = finding.shown if finding.right_elsewhere or finding.found == "damaged" else ()
    shown = next((name for name in (finding.anomaly, *of_the_read) if name in _SHOWN), "")
    if shown:
        return _SHOWN[shown]
    versions = " and ".join(_short(write) for write in finding.versions)
    if finding.found == "missing":
        return "it was not there"
    if finding.found == "damaged":
        return "it was not whole"
    if finding.kind == "delete":
        return f"it was there again, as version {versions}"
    if finding.write in finding.versions:
        return f"version {versions} was there"
    return f"version {versions} was there in place of {_short(finding.write)}"


def _between(course: Course, begun: int, ended: int | None) -> Iterator[str]:
    """Faults, the runbook and the cold restart from a time on, up to another one, in the order of time."""

    def lies(t: int) -> bool:
        return t >= begun and (ended is None or t <= ended)

    def told(t: int) -> str:
        return _told_at(t, course)

    struck = [event for event in course.faults if event.happened == "injected" and lies(event.t)]
    lines = [(event.t, f"{_struck(event)} at {told(event.t)}") for event in struck[:FAULTS_MAX]]
    if len(struck) > FAULTS_MAX:
        rest = struck[FAULTS_MAX:]
        lines.append((rest[0].t, f"{counted(len(rest), 'more fault')} struck up to {told(rest[-1].t)}"))
    runbook = [note for note in course.notes if note.topic == "runbook" and lies(note.t)]
    lines += [(note.t, f'the runbook came to "{_short(note.text)}" at {told(note.t)}') for note in runbook[-1:]]
    restarts = [phase for phase in course.phases if phase.name == "cold restart" and phase.happened == "begun"]
    lines += [(each.t, f"all was restarted cold at {told(each.t)}") for each in restarts if lies(each.t)]
    return (text for _, text in sorted(lines, key=lambda line: line[0]))


def _earlier(course: Course, begun: int) -> str:
    """The last fault that had struck before, which may have led to it all the same."""
    before = [event for event in course.faults if event.happened == "injected" and event.t < begun]
    return f" ({_struck(before[-1])} earlier, at {_told_at(before[-1].t, course)})" if before else ""


def _told_at(t: int, course: Course) -> str:
    return told_seconds((t - course.load_begun) / SECOND)


def _struck(event: FaultEvent) -> str:
    return _short(f"{event.fault} struck {event.target}".rstrip())


def _nanoseconds(seconds: float, course: Course) -> int:
    return course.load_begun + round(seconds * SECOND)


def _short(text: str) -> str:
    told = one_line(text)
    return told if len(told) <= _TEXT_MAX else f"{told[: _TEXT_MAX - 3]}..."


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"

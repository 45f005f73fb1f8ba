"""What happened in a trial, line by line in the order of time: faults, notes, roles, phases, silence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from chaos.checks.classes import VIOLATING
from chaos.history.events import COPIES, ROLE
from chaos.history.told import NOBODY
from chaos.reporting.page import figures
from chaos.reporting.page.course import Course
from chaos.reporting.page.outage import Outage
from chaos.reporting.words import DOT, at_least, evidence, one_line


@dataclass(frozen=True)
class Happening:
    """One line; its mark is "struck" for a fault, "wrong" for an anomaly, "phase" for a phase."""

    time: str
    what: str
    detail: str
    mark: str


@dataclass(frozen=True)
class Gap:
    """A time without an acknowledgement, with the faults in force then, and what became of each role meanwhile."""

    begun: str
    length: str
    faults: tuple[str, ...]
    roles: tuple[str, ...]


def gaps(course: Course, away: Iterable[Outage]) -> list[Gap]:
    """The times in which the service was away, for people."""
    window, forces = figures.whole_trial(course), list(figures.in_force(course, figures.FOREVER))
    found = []
    for each in away:
        since, until = course.load_begun + each.begun, course.load_begun + each.known_until
        faults = [
            f"{event.fault} {event.target} at {window.told(event.t)}"
            for event, ended in forces
            if event.t < until and ended > since
        ]
        found.append(Gap(window.told(since), each.length, tuple(faults), tuple(_moved(course, since, until))))
    return found


def _moved(course: Course, since: int, until: int) -> Iterator[str]:
    """Of each role that changed from a time on, up to another one: who had it, and who had it when."""
    window = figures.whole_trial(course)
    held: dict[str, str] = {}
    told: dict[str, list[str]] = {}
    for t, role, holder in figures.role_changes(course):
        if t <= since:
            held[role] = holder or NOBODY
        elif t <= until:
            begin = [held[role]] if role in held else []
            told.setdefault(role, begin).append(f"{holder or NOBODY} at {window.told(t)}")
    for role, holders in sorted(told.items()):
        yield f"{role}: {', then '.join(holders)}"


def available(course: Course, away: Iterable[Outage]) -> str:
    """The share of the load in which the service was not away, rounded down."""
    window = figures.load_alone(course)
    return at_least(1 - sum(each.known_until - each.begun for each in away) / (window.ended - window.begun))


def happenings(course: Course, outage: Outage | None, violated: bool) -> list[Happening]:
    """Faults, notes, roles and the phases after the load, in the order of time."""
    window = figures.whole_trial(course)
    found: list[tuple[int, str, str, str]] = []
    for event in course.faults:
        short = event.concludes and not event.bit and not violated  # says nothing about a loss that is proven
        told = [evidence(event.evidence), f"did not bite: {event.why}" if short else ""]
        what = f"{event.fault} {event.target} {'is for good' if event.happened == 'lasting' else event.happened}"
        if event.happened == "missed":
            told.append(event.why)
        found.append((event.t, what, DOT.join(part for part in told if part), "struck"))
    for note in course.notes:
        if note.topic not in (ROLE, COPIES):
            mark = "wrong" if note.topic in VIOLATING else ""
            found.append((note.t, note.topic, one_line(note.text), mark))
    for t, role, holder in figures.role_changes(course):
        found.append((t, f"{role} is {holder}" if holder else f"nobody is {role}", "", ""))
    for name, begun, ended in figures.stretches(course.phases):
        if begun >= window.begun:
            takes = "breaks off" if ended is None else f"takes {figures.told_seconds((ended - begun) / 1e9)}"
            found.append((begun, f"{name} begins", takes, "phase"))
    found += _silence(course, outage)
    found.sort(key=lambda each: each[0])
    return [Happening(window.told(t), what, detail, mark) for t, what, detail, mark in found]


def _silence(course: Course, outage: Outage | None) -> Iterator[tuple[int, str, str, str]]:
    """When acknowledgements stopped and came back."""
    if outage is None:
        return
    yield course.load_begun + outage.begun, "the last acknowledgement", "before the service was away", ""
    if outage.ended is not None:
        yield course.load_begun + outage.ended, "acknowledged again", f"after {outage.length}", ""

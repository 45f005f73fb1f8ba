"""What the services said around the faults, from the logs that the run folder keeps: secrets are blanked out there."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from chaos.history.told import struck_by
from chaos.reporting.page.course import SECOND, Course
from chaos.reporting.result import LOGS_FOLDER

SERVICES_MAX: Final = 20
BEFORE_MAX: Final = 5
AFTER_MAX: Final = 10
"""Lines of a service that are shown before and after a fault took hold."""
AROUND_SECONDS: Final = 10
"""Lines further away from the fault are left out."""
FAULTS_MAX: Final = 3
LINE_MAX: Final = 400
_BYTES_MAX: Final = 8 << 20
_STAMP: Final = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{9})Z ")
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True)
class Said:
    """One line of a service's log; `t` is on the history's clock."""

    t: int
    text: str


@dataclass(frozen=True)
class Around:
    """What one service said around one fault; `before` and `after` it took hold."""

    service: str
    before: tuple[Said, ...]
    after: tuple[Said, ...]


@dataclass(frozen=True)
class Moment:
    """A fault that took hold, in words, and what services said around it."""

    fault: str
    t: int
    services: tuple[Around, ...]


def said_around(run_dir: Path, course: Course, services: Collection[str]) -> tuple[Moment, ...]:
    """For each of the first faults that took hold, the lines of each service around it.

    Args:
        run_dir: The run folder; its logs have the wall clock, which the history's header ties to its own.
        course: The trial; one whose history does not tell the wall clock has no lines.
        services: Those of the stack; other logs are Holdfast's own. Without any, all are taken.
    """
    header = course.header
    if not header.epoch_ns:
        return ()
    zero = header.epoch_ns - header.t
    injected = [event for event in course.faults if event.happened == "injected"][:FAULTS_MAX]
    logs = sorted((run_dir / LOGS_FOLDER).glob("*.log"))
    logs = [path for path in logs if not services or path.stem in services]
    moments = []
    for event in injected:
        struck = struck_by(event)
        first = [path for path in logs if path.stem in struck]
        ranked = [*first, *(path for path in logs if path not in first)]
        found = [_around(path, event.t, zero) for path in ranked[:SERVICES_MAX]]
        told = tuple(each for each in found if each.before or each.after)
        if told:
            moments.append(Moment(f"{event.fault} {event.target}".rstrip(), event.t, told))
    return tuple(moments)


def _around(path: Path, t: int, zero: int) -> Around:
    before: deque[Said] = deque(maxlen=BEFORE_MAX)
    after: list[Said] = []
    for at, text in _lines(path):
        distance = at - zero - t
        if -AROUND_SECONDS * SECOND <= distance < 0:
            before.append(Said(at - zero, _cut(text)))
        elif 0 <= distance <= AROUND_SECONDS * SECOND and len(after) < AFTER_MAX:
            after.append(Said(at - zero, _cut(text)))
    return Around(path.stem, tuple(before), tuple(after))


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(nanoseconds since 1970, text) of each line that has a time; only as much is read as a log is kept of."""
    try:
        with path.open("rb") as file:
            lines = file.read(_BYTES_MAX).split(b"\n")
    except OSError:
        return
    for line in lines:
        stamp = _STAMP.match(line)
        if stamp is None:
            continue
        try:
            seconds = datetime.fromisoformat(stamp[1].decode()).replace(tzinfo=UTC).timestamp()
        except ValueError:  # no such day
            continue
        yield int(seconds) * SECOND + int(stamp[2]), line[stamp.end() :]


def _cut(text: bytes) -> str:
    words = _COLOUR.sub("", text.decode("utf-8", "replace")).strip()
    return words if len(words) <= LINE_MAX else f"{words[:LINE_MAX]}..."

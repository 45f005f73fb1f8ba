"""The life story of an anomalous record: who wrote it, who saw it, what struck it, what each door read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from chaos.checks.finding import Finding, door_words, in_place_of, wrong_sights
from chaos.checks.rules.doors import MISSING, Sight
from chaos.checks.rules.logical import BEST_FIRST
from chaos.history.events import BLOBS, COPIES, FaultEvent
from chaos.history.model import INFINITY, Attempt, History, Operation, RecordId

LINES_MAX: Final = 40
_DONE: Final = {"create": "created it", "update": "updated it", "delete": "deleted it"}


Mark = Literal["", "struck", "wrong", "copies"]
"""What a line is, beyond its text: a fault that took hold, a read that shows the anomaly, where copies are."""


@dataclass(frozen=True)
class StoryLine:
    """One thing that happened, in seconds from the begin of the load."""

    t_seconds_from_load_begin: float
    what: str
    detail: str
    mark: Mark = ""


@dataclass(frozen=True)
class AnomalousRecord:
    """A record that the service did not keep as it promised, with its life story.

    Attributes:
        finding: The facts of its worst class.
    """

    record: str
    owner: str
    type: str
    classes: tuple[str, ...]
    story: tuple[StoryLine, ...]
    finding: Finding


def life_story(
    history: History,
    name: RecordId,
    operations: Sequence[Operation],
    sights: Sequence[Sight],
    *,
    classes: Collection[str],
    lines_max: int = LINES_MAX,
) -> tuple[StoryLine, ...]:
    """All that a reader needs to believe that it has these classes, in order of time; of a long one not the middle."""
    begun = history.load_begun
    told = [
        *_acts(operations, begun),
        *_seen(operations),
        *_faults(history),
        *_notes(history, next((each.type for each in operations if each.type), "")),
        *_restarts(history),
        *_doors(sights, classes),
    ]
    told += _odd_sights(history, name)
    told.sort(key=lambda line: line[0])
    half = lines_max // 2
    left_out = len(told) - 2 * half
    if left_out > 1:  # to leave out a single line, and to say so, would save nothing
        told[half:-half] = [(told[half][0], "...", f"{left_out} lines left out", "")]
    return tuple(StoryLine((t - begun) / 1e9, what, detail, mark) for t, what, detail, mark in told)


Told = tuple[int, str, str, Mark]


def _acts(operations: Sequence[Operation], begun: int) -> Iterator[Told]:
    """When the user acted, and when it was answered: an outbox may have held it for long."""
    several = len({operation.write for operation in operations}) > 1
    for operation in operations:
        what = f"{operation.device} {_DONE[operation.kind]}"
        detail = _attempts(operation.attempts, begun)
        if several or operation.base is not None:
            detail += f", version {operation.write}"
        if operation.base is not None:
            detail += f" on {operation.base}"
        yield operation.t, what, detail, ""


def _attempts(attempts: Sequence[Attempt], begun: int) -> str:
    if not attempts:
        return "never sent"
    best = min(reversed(attempts), key=lambda attempt: BEST_FIRST.index(attempt.outcome))
    if best.outcome == "ok":  # known from its first acknowledgement on
        best = next(attempt for attempt in attempts if attempt.outcome == "ok")
    # Else the last attempt that tells what is known of the operation: a refused one leaves open what became of the
    # others.
    by, why = (f" by {best.by}" if best.by else ""), (f": {best.why}" if best.why else "")
    at = f"at {(best.back - begun) / 1e9:.3f} s"
    outcome = {
        "ok": f"acknowledged{by} {at}",
        "degraded": f"acknowledged{by} {at} with a warning{why}",
        "fail": f"refused{by} {at}{why}",
        "info": f"given up {at}, unknown{why}",
    }[best.outcome]
    if best.back == INFINITY:
        outcome = f"sent at {(best.sent - begun) / 1e9:.3f} s, no answer ever came"
    return outcome if len(attempts) == 1 else f"{outcome}, in {len(attempts)} attempts"


def _odd_sights(history: History, name: RecordId) -> Iterator[Told]:
    """Damaged copies that reads of the load showed, the first of each; photos without their blobs, all of them."""
    bare: set[str] = set()
    for answer in history.answers:
        for version in answer.bare:
            if (version.owner, version.record) == name:
                bare.add(version.write)
                reader = answer.session.partition("#")[0]
                yield answer.t, f"{reader} read it", f"version {version.write}, its blob was missing", ""
    for sight in history.odd_sights.values():
        row = sight.row
        if (sight.owner, row.record) == name and not (row.blob == "missing" and row.write in bare):
            yield sight.t, f"{sight.reader} read it", f"{row.write or 'no version'}, hash {row.hash}", ""


def _seen(operations: Sequence[Operation]) -> Iterator[Told]:
    last = max(operations, key=lambda operation: operation.seen_last, default=None)
    if last is not None and last.seen_last:
        yield last.seen_last, f"{last.seen_by} saw it last", f"version {last.write}", ""


def _faults(history: History) -> Iterator[Told]:
    for event in history.faults:
        if event.happened not in ("injected", "healed"):
            continue
        healed = event.happened == "healed"
        counted = _last_evidence(history.faults, event)
        yield (
            event.t,
            f"{event.fault} {event.target}".rstrip() + (" healed" if healed else ""),
            "" if healed else ", ".join(f"{name} {value}" for name, value in counted.items()),
            "" if healed else "struck",
        )


def _last_evidence(events: Sequence[FaultEvent], of: FaultEvent) -> dict[str, int | float | str]:
    counted = dict(of.evidence)
    for event in events:
        if event.index == of.index and event.concludes:
            counted.update(event.evidence)
    return counted


def _notes(history: History, type_: str) -> Iterator[Told]:
    """All of them, but where blobs are only of a record that has one."""
    for note in history.notes:
        if note.store != BLOBS or type_ == "photo":
            yield note.t, note.topic, " ".join(note.text.split()), "copies" if note.topic == COPIES else ""


def _restarts(history: History) -> Iterator[Told]:
    """The cold restart, which no fault made: what was there before it and is not after was on no disk."""
    for phase in history.phases:
        if (phase.name, phase.happened) == ("cold restart", "begun"):
            yield phase.t, "cold restart of all services", "", ""


def _doors(sights: Sequence[Sight], classes: Collection[str]) -> Iterator[Told]:
    wrong = wrong_sights(sights, classes)
    for sight in sights:
        if sight.states == MISSING:
            found = "not there"
        elif sight.states is None:
            found = f"there, {' and '.join(sorted(sight.classes))}"
        else:
            found = f"there, version {' and '.join(sorted(sight.states))}{in_place_of(sight)}"
        mark: Mark = "wrong" if any(sight is each for each in wrong) else ""
        yield sight.reading.door.t, door_words(sight.reading.door.door), found, mark

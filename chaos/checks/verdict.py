"""From a history to a verdict.

VIOLATED needs one proven violation, however thin the rest. HELD needs a conclusive trial as well: every
acknowledged record read at every door, enough acknowledged, little unknown, the mix, and every fault bit. Where the
check overlooks a canary there is no verdict, unless it reported the canary as something else and a loss is proven.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from chaos.checks.classes import NOTED, OF_SESSIONS, REPORTED, THIN, VIOLATING
from chaos.checks.conditions.bite import toothless
from chaos.checks.conditions.canaries import canaries
from chaos.checks.conditions.coverage import Coverage, coverage
from chaos.checks.conditions.mix import Mix, mix_of
from chaos.checks.counts import Counts
from chaos.checks.finding import finding_of
from chaos.checks.outcomes import OUTCOMES, first_acknowledged
from chaos.checks.story import AnomalousRecord, life_story
from chaos.checks.tally import Tally, count, first_struck
from chaos.errors import HarnessError, HoldfastError
from chaos.experiment.plan import Verdict
from chaos.history.model import INFINITY, History, RecordId

INFO_SHARE_MAX: Final = 0.20
RECORDS_SHOWN_MAX: Final = 300


@dataclass(frozen=True)
class Judgement:
    """The verdict on one history, with everything that a report shows of it.

    Attributes:
        verdict: None where the check is blind: the harness failed.
        reason: The first of `reasons`; these are lines, the worst first.
        operations: Logical creates, updates and deletes by outcome.
        anomalies: Records (or doors) by class; `reported` likewise, of classes that decide nothing.
        first_told: OWNER/RECORD of the first record of some of the latter, which has no life story here.
        records: The first anomalous records with their life stories, of `records_total`
            of `owners_total` users.
        toothless: Faults that did not bite, by their places in the schedule.
    """

    verdict: Verdict | None
    reason: str
    reasons: tuple[str, ...]
    operations: Mapping[str, int]
    anomalies: Mapping[str, int]
    reported: Mapping[str, int]
    canaries_planted: int
    canaries_reported: int
    covered: int
    coverable: int
    mix: Mix
    records: tuple[AnomalousRecord, ...]
    records_total: int
    owners_total: int
    first_told: Mapping[str, str] = field(default_factory=dict)
    toothless: tuple[int, ...] = ()


def judge(history: History, further: Counts | None = None) -> Judgement:
    """Judge a history.

    Args:
        history: All of it, or that part of it which needs a closer look.
        further: The counts of the rest.

    Raises:
        HarnessError: It asks for what this version cannot judge, contradicts itself, or the check itself failed.
    """
    try:
        tally = count(history)
        if further is not None:
            tally.counts.add(further)
        return conclude(history, tally)
    except HoldfastError:
        raise
    except Exception as error:
        raise HarnessError(
            f"{history.path}: the check itself failed ({type(error).__name__}: {error}); "
            "keep the run folder and report it, there is no verdict"
        ) from error


def conclude(history: History, tally: Tally) -> Judgement:
    """The verdict on what was counted.

    Args:
        history: Of it the header, the faults, the notes and the doors; and the anomalous records, for their stories.
        tally: What all of its records come to.
    """
    counts = tally.counts
    seen = canaries(history, tally.canary_sights, counts.steps)
    covered = coverage(history.header.copies, tally.readings, counts)
    mix = mix_of(counts.mixed, history.resets)
    anomalies = _anomalies(history, tally, covered)
    violated = _violated(history, tally, anomalies)
    thin = _thin(history, tally, covered, mix)
    idle = toothless(history, counts.traffic)
    if not violated:  # a loss is proven by itself, however its fault took hold
        thin = [*idle.values(), *thin]
    verdict: Verdict | None = "VIOLATED" if violated else "INCONCLUSIVE" if thin else "HELD"
    reasons = [*violated, *thin]
    if seen.blind and not (violated and seen.otherwise):
        verdict = None
        reasons.insert(0, f"the check is blind: {seen.blind}")
    if not reasons:
        reasons = [
            f"{covered.covered:,} of {covered.coverable:,} acknowledged records are as they must be at every door"
        ]
    return Judgement(
        verdict=verdict,
        reason=reasons[0],
        reasons=tuple(reasons),
        operations={outcome: tally.counts.operations[outcome] for outcome in OUTCOMES},
        anomalies=anomalies,
        reported={name: tally.counts.reported[name] for name in REPORTED if tally.counts.reported[name]},
        canaries_planted=seen.planted,
        canaries_reported=seen.reported,
        covered=covered.covered,
        coverable=covered.coverable,
        mix=mix,
        records=_stories(history, tally),
        records_total=len(tally.classes),
        owners_total=len({owner for owner, _ in tally.classes}),
        first_told=tally.first_told,
        toothless=tuple(idle),
    )


def _anomalies(history: History, tally: Tally, covered: Coverage) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for classes in tally.classes.values():
        counted.update(classes)
    counted.update(note.topic for note in history.notes if note.topic in NOTED)
    last_rounds = [rounds[-1] for rounds in history.doors.values()]
    counted["unreadable"] = sum(not door.ok and not door.unasked for door in last_rounds)
    counted["not-asked"] = sum(door.unasked for door in last_rounds)
    counted["not-quiescent"] = sum(door.ok and not door.settled for door in last_rounds)
    counted["never-read"] = covered.coverable - covered.covered
    return {name: counted[name] for name in (*VIOLATING, *OF_SESSIONS, *THIN) if counted[name]}


def _violated(history: History, tally: Tally, anomalies: Mapping[str, int]) -> list[str]:
    lines = []
    for name in (*VIOLATING, *OF_SESSIONS):
        if not anomalies.get(name):
            continue
        if name in NOTED:
            text = next(note.text for note in history.notes if note.topic == name)
            lines.append(f"{_NOTED_AS[name]}: {text}")
        elif name == "lost":
            lines.append(_lost(history, tally))
        else:
            many = anomalies[name]
            lines.append(f"{many:,} record{' is' if many == 1 else 's are'} {name}")
    return lines


_NOTED_AS: Final = {
    "unrecoverable": "the service does not serve after the runbook",
    "unprotected": "what was acknowledged is not protected",
}


def _lost(history: History, tally: Tally) -> str:
    struck, lost = first_struck(history), list(tally.named("lost"))
    if struck is not None:
        before = sum(first_acknowledged(history.records.get(name, ())) <= struck.t for name in lost)
        if before:
            tail = f", and {len(lost) - before:,} later ones" if len(lost) > before else ""
            of = tally.counts.must_before
            return f"{before:,} of {of:,} records acknowledged before {struck.fault} are lost{tail}"
    return f"{len(lost):,} of {tally.counts.must:,} acknowledged records are lost"


def _thin(history: History, tally: Tally, covered: Coverage, mix: Mix) -> list[str]:
    lines: list[str] = []
    doors = [rounds[-1] for rounds in history.doors.values()]
    every = tally.counts.doors
    if not every:
        lines.append("no final read was made")
    for what, wrong in (
        (
            "were read without asking the service, so the driver's answers prove nothing",
            [door for door in doors if door.unasked],
        ),
        ("could not be read", [door for door in doors if not door.ok and not door.unasked]),
        ("kept changing", [door for door in doors if door.ok and not door.settled]),
    ):
        if wrong:
            why = f": {wrong[0].why}" if wrong[0].why else ""
            lines.append(f"{len(wrong)} of {every} doors {what}, the first is {wrong[0].door} of {wrong[0].owner}{why}")
    if covered.unread:
        owner, missing = covered.unread[0]
        lines.append(
            f"{covered.coverable - covered.covered:,} of {covered.coverable:,} acknowledged records were not read at "
            f"every door, the first gap is {missing} of {owner}"
        )
    operations = tally.counts.operations
    acknowledged, least = operations["ok"], max(1, history.header.minimum_acknowledged)
    if acknowledged < least:
        lines.append(f"{acknowledged:,} operations were acknowledged, at least {least:,} wanted")
    total = operations.total()
    if operations["info"] > INFO_SHARE_MAX * total:
        lines.append(f"{operations['info']:,} of {total:,} operations are unknown, at most {INFO_SHARE_MAX:.0%} wanted")
    if history.header.require_mix:
        lines.extend(mix.thin(history.header.mix_without))
    return lines


def _stories(history: History, tally: Tally) -> tuple[AnomalousRecord, ...]:
    def rank(name: RecordId) -> tuple[int, int]:
        worst = min((*VIOLATING, *OF_SESSIONS).index(anomaly) for anomaly in tally.classes[name])
        operations = history.records.get(name)
        return worst, operations[0].t if operations else INFINITY

    shown = []
    for name in sorted(tally.classes, key=rank)[:RECORDS_SHOWN_MAX]:
        operations, sights = history.records.get(name, []), tally.sights.get(name, [])
        classes = tuple(c for c in (*VIOLATING, *OF_SESSIONS) if c in tally.classes[name])
        shown.append(
            AnomalousRecord(
                record=name[1],
                owner=name[0],
                type=operations[0].type if operations else "",
                classes=classes,
                story=life_story(history, name, operations, sights, classes=classes),
                finding=finding_of(classes[0], operations, sights, history.load_begun, classes=classes),
            )
        )
    return tuple(shown)

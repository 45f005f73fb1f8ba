"""From a history to a verdict.

VIOLATED needs one proven violation, however thin the rest. HELD needs a conclusive trial as well: every
acknowledged record read at every door, enough acknowledged, little unknown, the mix, and every fault bit. Where the
check overlooks a canary there is no verdict at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from chaos.checks.bulk.beside import Beside
from chaos.checks.classes import NOTED, OF_SESSIONS, REPORTED, THIN, VIOLATING
from chaos.checks.guards.bite import toothless
from chaos.checks.guards.canaries import canaries
from chaos.checks.guards.coverage import Coverage, coverage
from chaos.checks.guards.mix import Mix, mix_of
from chaos.checks.outcomes import (
    OUTCOMES,
    first_acknowledged,
    late_effect,
    overwritten_by_policy,
    tally,
    uncertain,
)
from chaos.checks.rules.agreement import classes_of, healed_by_device
from chaos.checks.rules.doors import Reading, RecordJudge, Sight, anomalies_of_rows, readings
from chaos.checks.rules.references import anomalies_of_answers
from chaos.checks.rules.restore import Restored, restored
from chaos.checks.story import AnomalousRecord, life_story
from chaos.errors import HarnessError, HoldfastError
from chaos.experiment.plan import Verdict
from chaos.history.events import CANARY_OWNER
from chaos.history.model import INFINITY, RESTORE_STEP, History, RecordId

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
        records: The first anomalous records with their life stories, of `records_total`.
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
    first_told: Mapping[str, str] = field(default_factory=dict)


def judge(history: History, beside: Beside | None = None) -> Judgement:
    """Judge a history.

    Args:
        history: All of it, or that part of it which needs a closer look.
        beside: What the other records come to.

    Raises:
        HarnessError: It asks for what this version cannot judge, contradicts itself, or the check itself failed.
    """
    try:
        return _judge(history, beside or Beside())
    except HoldfastError:
        raise
    except Exception as error:
        raise HarnessError(
            f"{history.path}: the check itself failed ({type(error).__name__}: {error}); "
            "keep the run folder and report it, there is no verdict"
        ) from error


@dataclass(slots=True)
class _Findings:
    """What the records came to."""

    beside: Beside
    classes: dict[RecordId, set[str]] = field(default_factory=dict)
    sights: dict[RecordId, list[Sight]] = field(default_factory=dict)
    canary_sights: dict[str, list[Sight]] = field(default_factory=dict)
    operations: Counter[str] = field(default_factory=Counter)
    reported: Counter[str] = field(default_factory=Counter)
    acknowledged: dict[RecordId, int] = field(default_factory=dict)
    must_be_there: set[RecordId] = field(default_factory=set)
    first_told: dict[str, str] = field(default_factory=dict)

    def add(self, name: RecordId, classes: Iterable[str]) -> None:
        self.classes.setdefault(name, set()).update(classes)

    def named(self, anomaly: str) -> list[RecordId]:
        return [name for name, classes in self.classes.items() if anomaly in classes]


def _judge(history: History, beside: Beside) -> Judgement:
    read = readings(history)
    findings = _Findings(beside)
    loss = restored(history, read)
    _records(history, read, loss, findings)
    for name, anomaly in loss.classes.items():
        findings.add(name, (anomaly,))
    for name, anomaly in anomalies_of_rows(history, read):
        findings.add(name, (anomaly,))
    _sessions(history, loss, findings)
    findings.reported["orphan-blob"] += sum(reading.orphans for of_owner in read.values() for reading in of_owner)
    findings.operations += beside.operations
    findings.reported += beside.reported
    seen = canaries(history, read, findings.canary_sights, beside.steps)
    covered = coverage(history, read, findings.acknowledged, beside)
    mix = mix_of(history, beside.mixed)
    anomalies = _anomalies(history, findings, covered)
    violated = _violated(history, findings, anomalies)
    thin = _thin(history, findings, covered, mix)
    if not violated:  # a loss is proven by itself, however its fault took hold
        thin = [*toothless(history, beside.traffic), *thin]
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
        operations={outcome: findings.operations[outcome] for outcome in OUTCOMES},
        anomalies=anomalies,
        reported={name: findings.reported[name] for name in REPORTED if findings.reported[name]},
        canaries_planted=seen.planted,
        canaries_reported=seen.reported,
        covered=covered.covered,
        coverable=covered.coverable,
        mix=mix,
        records=_stories(history, findings),
        records_total=len(findings.classes),
        first_told=findings.first_told,
    )


def _records(history: History, read: Mapping[str, list[Reading]], loss: Restored, findings: _Findings) -> None:
    overwriting = history.header.policy == "last-writer-wins"
    later = {owner: [r for r in of_owner if r.door.step != RESTORE_STEP] for owner, of_owner in read.items()}
    for name, operations in history.records.items():
        judge_of = RecordJudge(history, name, operations, loss.rollback)
        doors = later.get(name[0], ())
        if name[0] == CANARY_OWNER:
            findings.canary_sights[name[1]] = judge_of.sights(doors)
            continue
        tally(judge_of.logical, findings.operations)
        acknowledged = first_acknowledged(operations)
        if acknowledged < INFINITY:
            findings.acknowledged[name] = acknowledged
            if not judge_of.rule.absence:
                findings.must_be_there.add(name)
        if overwriting:
            findings.reported["policy-overwritten"] += overwritten_by_policy(operations)
        if judge_of.is_plain(doors):
            continue
        sights = judge_of.sights(doors)
        if not judge_of.certain:
            findings.reported += uncertain(judge_of.logical, judge_of.rule, sights)
            findings.reported["late-effect"] += late_effect(operations, sights)
        classes = classes_of(judge_of, sights) | judge_of.broken
        if classes:
            findings.classes[name] = classes
            findings.sights[name] = sights
            findings.reported["healed-by-device"] += healed_by_device(sights)


def _sessions(history: History, loss: Restored, findings: _Findings) -> None:
    strict = history.header.sessions == "strict"
    found = anomalies_of_answers(history, loss.rollback)
    for name, anomaly in sorted(found, key=lambda each: (history.records[each[0]][0].t, each)):
        if strict:
            findings.add(name, (anomaly,))
        else:
            findings.reported[anomaly] += 1
            findings.first_told.setdefault(anomaly, "/".join(name))


def _anomalies(history: History, findings: _Findings, covered: Coverage) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for classes in findings.classes.values():
        counted.update(classes)
    counted.update(note.topic for note in history.notes if note.topic in NOTED)
    last_rounds = [rounds[-1] for rounds in history.doors.values()]
    counted["unreadable"] = sum(not door.ok and not door.unasked for door in last_rounds)
    counted["not-asked"] = sum(door.unasked for door in last_rounds)
    counted["not-quiescent"] = sum(door.ok and not door.settled for door in last_rounds)
    counted["never-read"] = covered.coverable - covered.covered
    return {name: counted[name] for name in (*VIOLATING, *OF_SESSIONS, *THIN) if counted[name]}


def _violated(history: History, findings: _Findings, anomalies: Mapping[str, int]) -> list[str]:
    lines = []
    for name in (*VIOLATING, *OF_SESSIONS):
        if not anomalies.get(name):
            continue
        if name in NOTED:
            text = next(note.text for note in history.notes if note.topic == name)
            lines.append(f"{_NOTED_AS[name]}: {text}")
        elif name == "lost":
            lines.append(_lost(history, findings, set(findings.named("lost"))))
        else:
            count = anomalies[name]
            lines.append(f"{count:,} record{' is' if count == 1 else 's are'} {name}")
    return lines


_NOTED_AS: Final = {
    "unrecoverable": "the service does not serve after the runbook",
    "unprotected": "what was acknowledged is not protected",
}


def _lost(history: History, findings: _Findings, lost: set[RecordId]) -> str:
    struck = next((event for event in history.faults if event.happened == "injected"), None)
    must = findings.must_be_there | (lost & findings.acknowledged.keys())
    when = ""
    if struck is not None:
        before = {name for name in must if findings.acknowledged[name] <= struck.t}
        if not before.isdisjoint(lost):
            more = len(lost - before)
            when = f" before {struck.fault}"
            tail = f", and {more:,} later ones" if more else ""
            of = len(before) + findings.beside.must_before
            return f"{len(before & lost):,} of {of:,} records acknowledged{when} are lost{tail}"
    return f"{len(lost):,} of {len(must) + findings.beside.must:,} acknowledged records are lost"


def _thin(history: History, findings: _Findings, covered: Coverage, mix: Mix) -> list[str]:
    lines: list[str] = []
    doors = [rounds[-1] for rounds in history.doors.values()]
    every = len(doors) + findings.beside.doors
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
    acknowledged, least = findings.operations["ok"], max(1, history.header.minimum_acknowledged)
    if acknowledged < least:
        lines.append(f"{acknowledged:,} operations were acknowledged, at least {least:,} wanted")
    total = sum(findings.operations.values())
    if findings.operations["info"] > INFO_SHARE_MAX * total:
        lines.append(
            f"{findings.operations['info']:,} of {total:,} operations are unknown, at most {INFO_SHARE_MAX:.0%} wanted"
        )
    if history.header.require_mix:
        lines.extend(mix.thin)
    return lines


def _stories(history: History, findings: _Findings) -> tuple[AnomalousRecord, ...]:
    def rank(name: RecordId) -> tuple[int, int]:
        worst = min((*VIOLATING, *OF_SESSIONS).index(anomaly) for anomaly in findings.classes[name])
        operations = history.records.get(name)
        return worst, operations[0].t if operations else INFINITY

    shown = []
    for name in sorted(findings.classes, key=rank)[:RECORDS_SHOWN_MAX]:
        operations = history.records.get(name, [])
        shown.append(
            AnomalousRecord(
                record=name[1],
                owner=name[0],
                type=operations[0].type if operations else "",
                classes=tuple(c for c in (*VIOLATING, *OF_SESSIONS) if c in findings.classes[name]),
                story=life_story(history, name, operations, findings.sights.get(name, [])),
            )
        )
    return tuple(shown)

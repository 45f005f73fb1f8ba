"""The verdict block: what a reader must know of a finished trial, on one screen of plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from chaos.experiment.plan import Verdict
from chaos.reporting.causes import Causes
from chaos.reporting.result import REPORT_FILE, FaultOutcome, TrialResult
from chaos.reporting.words import DOT, between, classes, count, counted, evidence, one_line, outcomes, phases

if TYPE_CHECKING:
    from chaos.checks.story import AnomalousRecord
    from chaos.checks.verdict import Judgement

_WIDTH = 12
_REASONS_MAX = 4
_RECORDS_MAX = 5  # in a whole block; every other shows one
_CAUSES_MAX = 5
_FIRST_LINES, _LAST_LINES = 6, 14  # of a life story; a fault, the runbook and the doors are among the last


def verdict_block(result: TrialResult, *, whole: bool = False) -> list[str]:
    """The block's lines, the verdict first; `whole` leaves out no reason and no cause, and tells of more records."""
    judgement = result.judgement
    lines = [f"{result.verdict:<{_WIDTH}} {one_line(result.reason)}"]
    if judgement is not None:
        most = len(judgement.reasons) if whole else _REASONS_MAX
        lines += [f"{'':{_WIDTH}} {reason}" for reason in _further(judgement.reasons, result.reason, most)]
    if not result.as_expected:
        lines.append(f"{'':{_WIDTH}} expected: {result.plan.expect}")
    lines.append("")
    if judgement is not None:
        for number, record in enumerate(judgement.records[: _RECORDS_MAX if whole else 1]):
            lines += [*life_story(record, of=0 if number else judgement.records_total), ""]
        lines += [f"  {line}" for line in _counts(judgement)]
    lines += [f"  {line}" for line in _causes(result.causes, len(result.causes.listed) if whole else _CAUSES_MAX)]
    lines += [f"  {_fault(fault, result.verdict)}" for fault in result.faults]
    if result.outage is not None:
        lines.append(f"  service away for {result.outage.length}: {result.outage.when}")
    if result.not_covered:
        lines.append(f"  not covered: {', '.join(result.not_covered)}")
    if result.kept_by:
        lines.append(f"  {one_line(result.kept_by)}")
    lines.append(f"  again:  {result.again}")
    report = result.run_dir / REPORT_FILE
    lines.append(f"  report: {report}" if report.is_file() else f"  run:    {result.run_dir}")
    return lines


def life_story(record: AnomalousRecord, *, of: int) -> list[str]:
    """What happened to one record, the first of so many, in the order of time."""
    name = one_line(f"{record.type or 'record'} {record.record} of {record.owner}")
    among = f", the first of {count(of)}" if of > 1 else ""
    lines = [f"  {name}{among}: {', '.join(record.classes)}"]
    story = [line for line in record.story if line.mark != "copies"]
    left_out = len(story) - _FIRST_LINES - _LAST_LINES
    for number, line in enumerate(story):
        if number == _FIRST_LINES and left_out > 0:
            lines.append(f"             ...  {counted(left_out, 'line')} left out, the report has them")
        if not _FIRST_LINES <= number < _FIRST_LINES + left_out:
            what = f"{one_line(line.what)} "  # one blank at least, however long
            told = f"  {line.t_seconds_from_load_begin:9.3f} s  {what:<34} {one_line(line.detail)}"
            lines.append(told.rstrip())
    copies = [line.detail for line in record.story if line.mark == "copies"]
    if copies:
        lines.append(f"     copies when acknowledged: {one_line('; '.join(copies))}")
    return lines


def phase_line(result: TrialResult) -> str:
    """Where the trial's time went, on one line."""
    return f"  {phases(result.phases)}"


def _further(reasons: Sequence[str], first: str, most: int) -> Iterator[str]:
    others = [reason for reason in reasons if reason != first]
    yield from others[:most]
    if len(others) > most:
        yield f"and {counted(len(others) - most, 'further reason')}, see result.json"


def _counts(judgement: Judgement) -> Iterator[str]:
    canaries = f"{judgement.canaries_reported}/{judgement.canaries_planted}"
    covered = f"{count(judgement.covered)}/{count(judgement.coverable)}"
    yield f"operations {outcomes(judgement.operations)}      canaries {canaries}      covered {covered}"
    if judgement.anomalies:
        yield f"anomalies: {classes(judgement.anomalies)}"
    if judgement.reported:
        yield f"reported: {classes(judgement.reported)}"
    yield f"mix: {judgement.mix}"


def _causes(causes: Causes, most: int) -> Iterator[str]:
    if not causes.listed:
        return
    yield "attempts that failed or stayed unknown:"
    for cause in causes.listed[:most]:
        when = between(cause.first_at, cause.last_at)
        yield f"  {count(cause.attempts):>7} {cause.of:<5} {cause.outcome}  {one_line(cause.text)}  ({when})"
    further = causes.further + sum(cause.attempts for cause in causes.listed[most:])
    if further:
        yield f"  {count(further):>7} of other causes, the report has them"


def _fault(fault: FaultOutcome, verdict: Verdict) -> str:
    """One fault with its evidence. Whether that suffices for HELD says nothing about a loss that is proven."""
    if fault.injected_at is None:
        when = "never injected"
    elif fault.healed_at is None:
        when = f"{fault.injected_at:.3f} s"
    else:
        when = f"{fault.injected_at:.3f} - {fault.healed_at:.3f} s"
    parts = [f"fault {fault.name} {fault.target}", when, evidence(fault.evidence)]
    if fault.bit:
        parts.append("bit")
    elif verdict != "VIOLATED":
        parts.append(f"did not bite: {fault.why or 'no reason given'}")
    elif fault.injected_at is None:
        parts.append(fault.why)
    return DOT.join(part for part in parts if part)

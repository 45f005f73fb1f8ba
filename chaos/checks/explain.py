"""Why: one record's whole story with the rule that judged it, and the verdict with the rule behind each reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from chaos.checks.agreement import classes_of
from chaos.checks.allowed import Logical
from chaos.checks.classes import MEANING
from chaos.checks.doors import RecordJudge, Sight, readings
from chaos.checks.logical import Cut
from chaos.checks.restore import restored
from chaos.checks.story import life_story
from chaos.checks.verdict import INFO_SHARE_MAX, Judgement
from chaos.checks.ways import Rule
from chaos.errors import UsageError
from chaos.history.model import RESTORE_STEP, History, RecordId

_STANDINGS = {
    "ok": "acknowledged",
    "degraded": "acknowledged with a warning",
    "info": "unknown",
    "fail": "refused",
    "unsent": "never sent",
}


def find_record(history: History, name: str) -> RecordId:
    """The record of a name, or of OWNER/NAME where several owners have one.

    Raises:
        UsageError: There is none, or more than one.
    """
    owner, _, record = name.rpartition("/")
    found = [each for each in history.records if each[1] == name or each == (owner, record)]
    if not found:
        near = get_close_matches(name, {each[1] for each in history.records}, cutoff=0.0)
        raise UsageError(f"no record {name!r} in {history.path}; did you mean {', '.join(near) or 'another trial'}?")
    if len(found) > 1:
        raise UsageError(f"{len(found)} owners have a record {name!r}; say which, such as {found[0][0]}/{name}")
    return found[0]


def explain_record(history: History, name: RecordId) -> list[str]:
    """A record's life, and at each door what was there, what was allowed, and why."""
    read = readings(history)
    loss = restored(history, read)
    operations = history.records[name]
    judge_of = RecordJudge(history, name, operations, loss.rollback)
    sights = judge_of.sights([r for r in read.get(name[0], ()) if r.door.step != RESTORE_STEP])
    classes = sorted(classes_of(judge_of, sights) | judge_of.broken | {*filter(None, [loss.classes.get(name)])})
    lines = [f"{operations[0].type or 'record'} {name[1]} of {name[0]}: {', '.join(classes) or 'as it must be'}", ""]
    for told in life_story(history, name, operations, sights, lines_max=len(operations) * 4 + 200):
        lines.append(f"  {told.t_seconds_from_load_begin:9.3f} s  {told.what:<34} {told.detail}".rstrip())
    lines += ["", f"  policy {history.header.policy}, idempotency {history.header.idempotency}"]
    lines += [f"  {name_of}: {MEANING[name_of]}" for name_of in sorted(judge_of.broken)]
    shown: list[str] = []
    for sight in sights:
        why = list(_why(judge_of, sight))
        door = sight.reading.door
        lines.append(f"  step {door.step}, {door.door}: {_found(sight)}")
        lines += ["      as at the door before"] if why == shown else [f"      {line}" for line in why]
        shown = why
    return lines


def _found(sight: Sight) -> str:
    what = "there, not whole" if sight.states is None else " and ".join(sorted(sight.states)) or "not there"
    return f"{what}: {', '.join(f'{name} ({MEANING[name]})' for name in sorted(sight.classes)) or 'allowed'}"


def _why(judge_of: RecordJudge, sight: Sight) -> Iterator[str]:
    """For each version, and for absence, whether it was allowed at the door, and why."""
    door = sight.reading.door
    logical, rule = judge_of.at(Cut(door.invoked, door.t, judge_of.rollback))
    for operation in logical:
        if operation.delete:
            continue
        allowed = "allowed" if operation.write in rule.writes else "not allowed"
        yield f"{operation.write:<12} {allowed}: {_reason(operation, logical, rule)}"
    yield f"{'absence':<12} {'allowed' if rule.absence else 'not allowed'}: {_reason_of_absence(logical, rule)}"


def _reason(operation: Logical, logical: Sequence[Logical], rule: Rule) -> str:
    standing = _STANDINGS[operation.standing]
    if operation.standing in ("fail", "unsent"):
        return f"{standing}, so it must never be there"
    if rule.broken:
        return f"{standing}; no order explains what was acknowledged"
    if operation.write in rule.acknowledged:
        known = standing if operation.standing == "ok" else f"{standing}, but a read or an acknowledged write proves it"
        if operation.write in rule.writes:
            return f"{known}, and nothing acknowledged must have come after it"
        later = [o for o in logical if o.write in rule.acknowledged and o.write != operation.write]
        on_it = next((o for o in later if o.base == operation.write), None)
        if on_it is not None:
            return f"{known}, and {on_it.write} replaced it"
        ended = min(operation.ret, operation.seen)
        after = next((o for o in later if o.inv > ended), None)
        return f"{known}, and {after.write if after else 'another write'} was made after it had returned"
    if operation.write in rule.late:
        return f"{standing}: it may have taken effect, even late"
    if operation.base is not None:
        return f"{standing}, and {operation.base}, on which it is based, cannot be the last version"
    return f"{standing}, and it had returned before a later write was made"


def _reason_of_absence(logical: Sequence[Logical], rule: Rule) -> str:
    if not any(o.write in rule.acknowledged and not o.delete for o in logical):
        return "no create or update is known to have taken effect"
    deletes = [o for o in logical if o.delete and o.standing not in ("fail", "unsent")]
    if rule.absence:
        return f"the delete {deletes[0].write} may be the last" if deletes else "no order explains the operations"
    return "no delete may be the last" if deletes else "it was acknowledged, and nobody deleted it"


def explain_verdict(judgement: Judgement) -> list[str]:
    """The verdict's reasons, each class with its meaning, and what a HELD rests on."""
    lines = [f"{judgement.verdict or 'no verdict'}", *(f"  {reason}" for reason in judgement.reasons)]
    if judgement.anomalies:
        lines += ["", "  what was found"]
        lines += [f"    {count:>7,} {name}: {MEANING[name]}" for name, count in judgement.anomalies.items()]
    if judgement.reported:
        lines += ["", "  told, and neither for nor against"]
        lines += [f"    {count:>7,} {name}: {MEANING[name]}" for name, count in judgement.reported.items()]
    total = sum(judgement.operations.values())
    info = judgement.operations["info"]
    lines += [
        "",
        "  what a HELD rests on",
        f"    canaries {judgement.canaries_reported}/{judgement.canaries_planted}: the check reports fabricated losses",
        f"    covered {judgement.covered:,}/{judgement.coverable:,}: acknowledged records that were read at every door",
        f"    unknown {info:,}/{total:,} operations, at most {INFO_SHARE_MAX:.0%} wanted",
        f"    mix {judgement.mix}",
    ]
    lines += [
        f"    a record: {record.owner}/{record.record}, {', '.join(record.classes)}" for record in judgement.records
    ]
    return lines

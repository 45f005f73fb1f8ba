"""Text for `holdfast check`: a record's life story with the rule that judged it, and what the verdict rests on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches

from chaos.checks.classes import MEANING, OF_SESSIONS
from chaos.checks.rules.agreement import classes_of
from chaos.checks.rules.allowed import Logical
from chaos.checks.rules.answers import anomalies_of_answers
from chaos.checks.rules.doors import RecordJudge, Sight, anomalies_of_rows, readings
from chaos.checks.rules.logical import Cut
from chaos.checks.rules.restore import restored
from chaos.checks.rules.ways import Rule
from chaos.checks.story import life_story
from chaos.checks.verdict import INFO_SHARE_MAX, Judgement
from chaos.errors import UsageError
from chaos.history.model import RESTORE_STEP, History, RecordId

_STANDINGS = {
    "ok": "acknowledged",
    "degraded": "acknowledged with a warning",
    "info": "unknown",
    "fail": "refused",
    "unsent": "never sent",
}
_ORDER = tuple(_STANDINGS)
_RECORDS_MAX = 10
_NOT_JUDGED = "not judged"
_NO_ORDER = "no order explains what was acknowledged"


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
    classes = sorted(
        classes_of(judge_of, sights)
        | judge_of.broken
        | {*filter(None, [loss.classes.get(name)])}
        | {anomaly for of, anomaly in anomalies_of_answers(history, loss.rollback) if of == name}
        | (of_rows := {anomaly for of, anomaly in anomalies_of_rows(history, read) if of == name})
    )
    lines = [f"{operations[0].type or 'record'} {name[1]} of {name[0]}: {', '.join(classes) or 'as it must be'}", ""]
    for told in life_story(history, name, operations, sights, classes=classes, lines_max=len(operations) * 4 + 200):
        lines.append(f"  {told.t_seconds_from_load_begin:9.3f} s  {told.what:<34} {told.detail}".rstrip())
    lines += ["", f"  policy {history.header.policy}, idempotency {history.header.idempotency}"]
    told_at_no_door = [each for each in classes if each in judge_of.broken or each in OF_SESSIONS or each in of_rows]
    lines += [f"  {each}: {MEANING[each]}" for each in told_at_no_door]
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
    right = _NOT_JUDGED if sight.rule.broken else "allowed"
    return f"{what}: {', '.join(f'{name} ({MEANING[name]})' for name in sorted(sight.classes)) or right}"


def _why(judge_of: RecordJudge, sight: Sight) -> Iterator[str]:
    """For each version, and for absence, whether it was allowed at the door, and why."""
    door = sight.reading.door
    logical, rule = judge_of.at(Cut(door.invoked, door.t, judge_of.rollback))
    for operation in _best_of_each_write(logical):
        if not operation.delete:
            word = _word(rule, operation.write in rule.writes)
            yield f"{operation.write:<12} {word}: {_reason(operation, logical, rule)}"
    yield f"{'absence':<12} {_word(rule, rule.absence)}: {_reason_of_absence(logical, rule)}"


def _word(rule: Rule, permitted: bool) -> str:
    """Where no order explains what was acknowledged, that is the finding, and nothing that is there adds to it."""
    return "not allowed" if not permitted else _NOT_JUDGED if rule.broken else "allowed"


def _best_of_each_write(logical: Sequence[Logical]) -> Iterable[Logical]:
    """Where keys are not kept, each attempt is an operation: that one of each write of which most is known."""
    best: dict[str, Logical] = {}
    for operation in logical:
        known = best.setdefault(operation.write, operation)
        if _ORDER.index(operation.standing) < _ORDER.index(known.standing):
            best[operation.write] = operation
    return best.values()


def _reason(operation: Logical, logical: Sequence[Logical], rule: Rule) -> str:
    standing, write = _STANDINGS[operation.standing], operation.write
    if rule.broken and write in rule.writes:
        return f"{standing}; {_NO_ORDER}"
    if operation.standing in ("fail", "unsent"):
        return f"{standing}, so it must never be there"
    if write in rule.acknowledged:
        known = standing if operation.standing == "ok" else f"{standing}, but a read or an acknowledged write proves it"
        if write in rule.late:
            return f"{known}, and another attempt at it may have taken effect later"
        if write in rule.writes:
            return f"{known}, and nothing acknowledged must have come after it"
        later = [o for o in logical if o.write in rule.acknowledged and o.write != write]
        on_it = next((o for o in later if o.base == write), None)
        if on_it is not None:
            return f"{known}, and {on_it.write} replaced it"
        ended = min(operation.ret, operation.seen)
        after = next((o for o in later if o.inv > ended), None)
        return f"{known}, and {after.write if after else 'another write'} was made after it had returned"
    if write in rule.writes:
        return f"{standing}: it may have taken effect, even late"
    if operation.base is not None:
        return f"{standing}, and {operation.base}, on which it is based, cannot be the last version"
    return f"{standing}, and it had returned before a later write was made"


def _reason_of_absence(logical: Sequence[Logical], rule: Rule) -> str:
    if rule.broken:
        return _NO_ORDER
    made = [o for o in logical if o.write in rule.acknowledged and not o.delete]
    if not made:
        return "no create or update is known to have taken effect"
    deletes = [o for o in logical if o.delete and o.standing not in ("fail", "unsent")]
    if rule.absence:
        return f"the delete {_last(deletes, rule)} may be the last"
    if deletes:
        return "no delete may be the last"
    known = "it was acknowledged" if any(o.standing == "ok" for o in made) else "a read showed it"
    refused = any(o.delete and o.standing == "fail" for o in logical)
    return f"{known}, and {'every delete was refused' if refused else 'nobody deleted it'}"


def _last(deletes: Sequence[Logical], rule: Rule) -> str:
    """Of the deletes that may be the last, an acknowledged one, and of these the youngest."""
    possible = [o for o in deletes if o.write in rule.acknowledged or o.write in rule.late] or deletes
    return max(possible, key=lambda o: (o.write in rule.acknowledged, o.inv)).write


def explain_verdict(judgement: Judgement) -> list[str]:
    """The verdict's reasons, each class with its meaning, and what a HELD rests on."""
    lines = [f"{judgement.verdict or 'no verdict'}", *(f"  {reason}" for reason in judgement.reasons)]
    if judgement.anomalies:
        lines += ["", "  what was found"]
        lines += [f"    {count:>7,} {name}: {MEANING[name]}" for name, count in judgement.anomalies.items()]
    if judgement.reported:
        lines += ["", "  reported, and not part of the verdict"]
        for name, count in judgement.reported.items():
            first = f"; the first is {judgement.first_told[name]}" if name in judgement.first_told else ""
            lines.append(f"    {count:>7,} {name}: {MEANING[name]}{first}")
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
    listed = judgement.records[:_RECORDS_MAX]
    if listed:
        lines += ["", "  records that are not as they must be, the worst first"]
        lines += [f"    {each.owner}/{each.record}: {', '.join(each.classes)}" for each in listed]
    if (more := judgement.records_total - len(listed)) > 0:
        lines.append(f"    and {more:,} more; report.html tells of {len(judgement.records):,}")
    if listed:
        lines.append(f"    the life of one: holdfast check RUN_DIR --record {listed[0].owner}/{listed[0].record}")
    return lines

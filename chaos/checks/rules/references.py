"""Photos that a read of the load returned without their blob, though their version had been acknowledged.

The doors find a blob that is missing at the end. One that was missing only until somebody deleted or replaced the photo
is as lost, and only the reads of the load tell. A read may take a row and its blob one after the other, and a service
may store them so. Hence nothing is wrong before the version is acknowledged, nor once anything that may replace it is
under way: its blob may go between the two halves of the read.
"""

from __future__ import annotations

from collections.abc import Sequence

from chaos.checks.rules.logical import Rollback
from chaos.checks.rules.sessions import concluded, precedes
from chaos.history.events import CANARY_OWNER
from chaos.history.model import Answer, History, Operation, RecordId


def dangling_in_load(history: History, rollback: Rollback | None = None) -> set[tuple[RecordId, str]]:
    """Records of which a read of the load should have had a blob and had none, as (record, class)."""
    return {
        ((version.owner, version.record), "dangling-in-load")
        for answer in history.answers
        if answer.owner != CANARY_OWNER
        for version in answer.bare
        if _should_be_whole(history, version, answer, rollback)
    }


def _should_be_whole(history: History, version: Operation, answer: Answer, rollback: Rollback | None) -> bool:
    operations = history.records[(version.owner, version.record)]
    since = _known(operations, version.write)
    if since >= answer.invoked or _lost_for_good(since, answer, rollback):
        return False
    if history.header.idempotency == "none" and concluded(history, version, answer.t) >= answer.invoked:
        return False  # another attempt at it may be storing it again
    return not any(_may_replace(history, other, version, answer.t) for other in operations)


def _known(operations: Sequence[Operation], write: str) -> int:
    """When a version was first acknowledged, or shown whole."""
    acts = [operation for operation in operations if operation.write == write]
    return min(min(act.seen_first, act.acknowledged_at) for act in acts)


def _lost_for_good(since: int, answer: Answer, rollback: Rollback | None) -> bool:
    """Whether a declared loss lies between: what comes back of it is for the restored store's own door to tell."""
    return rollback is not None and since <= rollback.disaster < answer.t


def _may_replace(history: History, other: Operation, version: Operation, until: int) -> bool:
    """Whether another write may have taken the version's place by some instant."""
    if other.write == version.write:
        return False
    if not any(attempt.sent <= until and attempt.outcome != "fail" for attempt in other.attempts):
        return False
    policy = history.header.policy
    if other.base == version.write and policy != "last-writer-wins":
        return True
    unconditional = other.base is None or policy == "last-writer-wins"
    return unconditional and policy != "keep-both" and not precedes(history, other, version)

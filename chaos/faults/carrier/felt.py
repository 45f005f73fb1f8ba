"""Whether phones noticed a fault of the carrier, by the history alone: its evidence, and whether that is enough.

The carrier itself counts nothing while a connection lives, so the proof is what became of the phones' writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from chaos.faults.base import Felt
from chaos.history.events import CANARY_OWNER, FaultEvent
from chaos.history.model import INFINITY, Attempt, History, Operation

TRAFFIC_NS_MAX: Final = 5_000_000_000
"""The path must have carried an acknowledgement so shortly before it went down, or became slow."""
_NS_IN_MS: Final = 1_000_000


def down(history: History, begun: int, healed: FaultEvent) -> Felt:
    """Attempts failed and none was acknowledged, on a path that had carried an acknowledgement shortly before."""
    failed = answered = 0
    before = False
    for attempt in _attempts(history):
        acknowledged = attempt.outcome in ("ok", "degraded")
        before |= acknowledged and begun - TRAFFIC_NS_MAX <= attempt.back <= begun
        if not acknowledged and begun < attempt.back <= healed.t:
            failed += 1
        if acknowledged and attempt.sent > begun and attempt.back < healed.t:
            answered += 1
    why = ""
    if not before:
        why = "the path had carried no acknowledgement in the 5 s before"
    elif answered:
        why = f"attempts acknowledged while it was in force: {answered:,}"
    elif not failed:
        why = "no attempt failed while it was in force"
    return Felt({"failed_attempts": failed}, why)


def late(history: History, begun: int, healed: FaultEvent) -> Felt:
    """The replies' median, or their first quartile, came later than that of those before, by half of the latency.

    Half of it, since the service's own pace varies by itself. The median, since jitter goes to both sides of it; the
    quartile, since of a service that has just started the slow half of the replies tells nothing.
    """
    before, took = [], []
    for attempt in _attempts(history):
        if attempt.outcome in ("ok", "degraded"):
            if begun - TRAFFIC_NS_MAX <= attempt.back <= begun:
                before.append(attempt.back - attempt.sent)
            elif attempt.sent > begun and attempt.back <= healed.t:
                took.append(attempt.back - attempt.sent)
    if not before:
        return Felt({"late_replies": 0}, "no reply had come in the 5 s before, with which to compare")
    before.sort()
    half = max(1, int(healed.evidence.get("delay_ms", 0))) * _NS_IN_MS / 2
    for quarters in (1, 2):
        late = sum(each >= before[len(before) * quarters // 4] + half for each in took)
        if late and 4 * late >= (4 - quarters) * len(took):
            return Felt({"late_replies": late}, "")
    return Felt({"late_replies": late}, f"{late:,} of {len(took):,} replies were late by its latency")


def replies_lost(history: History, begun: int, healed: FaultEvent) -> Felt:
    """A write was committed without its phone knowing: a read returned it, and every attempt until then ended unknown.

    One of those attempts applied it. Had one of them ended otherwise, it could be that one, and nothing is proved.
    """
    lost = sum(attempt.outcome == "info" and begun < attempt.back <= healed.t for attempt in _attempts(history))
    unheard = 0
    for operations in _of_phones(history):
        by_write: dict[str, list[Operation]] = {}
        for operation in operations:
            by_write.setdefault(operation.write, []).append(operation)
        for acts in by_write.values():
            seen = min(act.seen_first for act in acts)
            tried = [attempt for act in acts for attempt in act.attempts if attempt.sent < seen]
            in_force = [attempt.outcome == "info" and begun < attempt.back <= healed.t for attempt in tried]
            unheard += seen < INFINITY and bool(tried) and all(in_force)
    why = "" if unheard else "no write is known to have been committed whose reply was lost"
    return Felt({"replies_lost": lost, "committed_unheard": unheard}, why)


def _of_phones(history: History) -> Iterator[list[Operation]]:
    return (operations for (owner, _), operations in history.records.items() if owner != CANARY_OWNER)


def _attempts(history: History) -> Iterator[Attempt]:
    for operations in _of_phones(history):
        for operation in operations:
            yield from operation.attempts

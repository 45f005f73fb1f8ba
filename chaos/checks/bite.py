"""Whether every scheduled fault bit: without that a green verdict would be about nothing.

The injector counted the evidence of its own target. What the history adds: a fault of the load must have struck
while writes were being acknowledged.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from chaos.checks.carrier import felt
from chaos.history.events import CANARY_OWNER, FaultEvent
from chaos.history.model import INFINITY, History

QUIET_NS_MAX: Final = 1_000_000_000
"""The last acknowledgement may lie this long before a fault takes hold, unless requests were in flight."""


def toothless(history: History, busy: Collection[int] = ()) -> tuple[str, ...]:
    """One line for every scheduled fault that did not bite.

    Args:
        history: The history.
        busy: Faults that are known to have struck under load.
    """
    lines = []
    for index, name in enumerate(history.header.faults):
        why = _missing(history, [event for event in history.faults if event.index == index], index in busy)
        if why:
            lines.append(f"{name} (fault {index + 1}) did not bite: {why}")
    return tuple(lines)


def _missing(history: History, events: Sequence[FaultEvent], busy: bool) -> str:
    injected = next((event for event in events if event.happened == "injected"), None)
    if injected is None:
        return next((event.why for event in events if event.why), "its trigger never came")
    if not any(event.concludes and event.bit for event in events):
        return next((event.why for event in reversed(events) if event.why), "its evidence stayed below its minimum")
    carrier = felt(history, events)
    if carrier is not None and carrier.why:
        return carrier.why
    if injected.phase == "load" and not busy and not _under_load(history, injected.t):
        return "no write was being acknowledged when it took hold"
    return ""


def _under_load(history: History, t: int) -> bool:
    for (owner, _), operations in history.records.items():
        if owner == CANARY_OWNER:
            continue
        for operation in operations:
            for attempt in operation.attempts:
                # A request that was never answered, say of a phone that was reset, is in flight for a while only.
                until = attempt.back if attempt.back < INFINITY else attempt.sent + QUIET_NS_MAX
                if attempt.sent <= t < until:
                    return True
                if attempt.outcome == "ok" and t - QUIET_NS_MAX <= attempt.back <= t:
                    return True
    return False

"""Whether every scheduled fault bit: a HELD without its faults would prove nothing.

The injector counted the evidence of its own target. What the history adds: a fault of the load must have struck
while writes were being acknowledged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from chaos.checks.conditions.traffic import NEVER, Traffic, until
from chaos.faults.felt import felt
from chaos.history.events import CANARY_OWNER, FaultEvent
from chaos.history.model import INFINITY, History

_NONE: Final = Traffic()


def toothless(history: History, traffic: Mapping[int, Traffic]) -> dict[int, str]:
    """One line for every scheduled fault that did not bite, by its place in the schedule.

    Args:
        history: Its faults, and what phones felt of them.
        traffic: What was known of writes when a fault of the load struck, by the fault's index.
    """
    lines: dict[int, str] = {}
    for index, name in enumerate(history.header.faults):
        why = _missing(history, [event for event in history.faults if event.index == index], traffic.get(index, _NONE))
        if why:
            lines[index] = f"{name} (fault {index + 1}) did not bite: {why}"
    return lines


def _missing(history: History, events: Sequence[FaultEvent], traffic: Traffic) -> str:
    injected = next((event for event in events if event.happened == "injected"), None)
    if injected is None:
        return next((event.why for event in events if event.why), "its trigger never came")
    if not any(event.concludes and event.bit for event in events):
        return next((event.why for event in reversed(events) if event.why), "its evidence stayed below its minimum")
    carrier = felt(history, events)
    if carrier is not None and carrier.why:
        return carrier.why
    if injected.phase == "load" and not traffic.flows(injected.t):
        return "no write was being acknowledged when it took hold"
    return ""


def traffic_at_faults(history: History) -> dict[int, Traffic]:
    """What was known of the writes of a history when a fault of its load struck, by the fault's index."""
    return {
        event.index: _traffic(history, event.t)
        for event in reversed(history.faults)
        if event.happened == "injected" and event.phase == "load"
    }


def _traffic(history: History, t: int) -> Traffic:
    attempts = [
        attempt
        for (owner, _), operations in history.records.items()
        if owner != CANARY_OWNER
        for operation in operations
        for attempt in operation.attempts
        if attempt.sent <= t
    ]
    acknowledged = (each.back for each in attempts if each.outcome == "ok" and each.back <= t)
    under_way = (each.sent for each in attempts if each.outcome != "fail" and t < until(each.sent, each.back))
    return Traffic(
        begun=min((each.sent for each in attempts), default=INFINITY),
        acknowledged=max(acknowledged, default=NEVER),
        under_way=min(under_way, default=INFINITY),
    )

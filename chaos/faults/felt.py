"""Whether phones noticed a fault, by the history alone."""

from __future__ import annotations

from collections.abc import Sequence

from chaos.faults.base import Felt
from chaos.faults.registry import known_faults
from chaos.history.events import FaultEvent
from chaos.history.model import History


def is_felt(name: str) -> bool:
    """Whether the evidence of a fault of this name is, in part, what became of the phones' attempts."""
    fault = known_faults().get(name)
    return fault is not None and fault.is_felt


def felt(history: History, events: Sequence[FaultEvent]) -> Felt | None:
    """Judge one scheduled fault by its events; None where it is none that is felt, or never was in force."""
    injected = next((event for event in events if event.happened == "injected"), None)
    healed = next((event for event in events if event.concludes), None)
    if injected is None or healed is None or not is_felt(injected.fault):
        return None
    return known_faults()[injected.fault].felt(history, injected, healed)

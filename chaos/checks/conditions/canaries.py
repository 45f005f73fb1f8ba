"""The canaries: two fabricated losses that the check must report at every door, or it is blind.

A is recorded as acknowledged and never went out, so it must come out as `lost`. B is real, with the hash of its
update recorded wrong, so it must come out as `corrupted`, or as what else is wrong where the door lacks it. They go
through the very code that judges every other record.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from chaos.checks.rules.doors import Sight
from chaos.history.events import CANARY_OWNER
from chaos.history.model import History


@dataclass(frozen=True)
class Canaries:
    """Whether the canaries were planted and reported.

    Attributes:
        planted: How many the history holds, of 2.
        reported: How many were reported at every door.
        blind: Why the check is blind; empty if it sees.
        otherwise: Whether the check did report what is named under `blind`, as something else: a service that damages
            records may damage a canary. That supports no HELD, and takes nothing from a loss that is proven.
    """

    planted: int
    reported: int
    blind: str
    otherwise: bool = False


def canaries(history: History, sights: Mapping[str, Sequence[Sight]], steps: Collection[int]) -> Canaries:
    """Judge the check itself.

    Args:
        history: The history.
        sights: What was made of the records of `CANARY_OWNER`, by record.
        steps: Of the final reads at which anybody was read.
    """
    planted = {
        name: record for name, record in history.header.canaries.items() if (CANARY_OWNER, record) in history.records
    }
    if len(planted) < 2:
        return Canaries(len(planted), 0, f"only {len(planted)} of 2 canaries were planted")
    tried = {step for step, owner, _ in history.doors if owner == CANARY_OWNER}
    if unread := sorted(set(steps) - tried):
        return Canaries(2, 0, f"the canaries were not read at step {unread[0]} of the final reads")
    silent = {
        name: next((s for s in sights.get(record, ()) if not _reported(name, s)), None)
        for name, record in planted.items()
    }
    if not any(sights.get(record) for record in planted.values()):
        # No door could be read by anybody: nothing was judged, so nothing was overlooked.
        return Canaries(2, 0, "")
    reported = sum(sight is None for sight in silent.values())
    for name, sight in sorted(silent.items()):
        if sight is not None:
            why = f"canary {name} ({planted[name]}) was not reported at door {sight.reading.door.door}"
            return Canaries(2, reported, why, otherwise=all(s is None or s.classes for s in silent.values()))
    return Canaries(2, reported, "")


def _reported(name: str, sight: Sight) -> bool:
    if name == "A":
        return "lost" in sight.classes
    if sight.reading.before is not None:
        return True  # only what is wrong in both rounds counts, and B may be lost in one and damaged in the other
    return "corrupted" in sight.classes or (bool(sight.classes) and sight.states is not None)

"""What a copy map says would lose records, as schedules: to be confirmed by trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chaos.audit.copymap import CopyMap, Held
from chaos.experiment.plan import ScheduledFault, Target, Trigger
from chaos.stack.spec import Stack

Schedule = tuple[ScheduledFault, ...]


@dataclass(frozen=True)
class Prediction:
    """One set of faults that is expected to lose records.

    Attributes:
        schedule: The faults, all at one acknowledgement.
        writes: How many acknowledged writes of the recorded run had no copy elsewhere.
        first: OWNER/RECORD of the first of them.
        why: In words.
    """

    schedule: Schedule
    writes: int
    first: str
    why: str


def domains(stack: Stack) -> dict[str, str]:
    """By LUN what it is lost with: its array; a local disk by itself."""
    return {name: name if lun.is_local else lun.array for name, lun in stack.luns.items()}


def predict(copies: CopyMap, stack: Stack) -> list[Prediction]:
    """The smallest sets of faults that take all copies of something, those of fewest faults first."""
    found = [_power_cut(copies.unflushed, stack)] if copies.unflushed else []
    for fatal in copies.fatal(domains(stack)):
        names = ", ".join(sorted(fatal.domains))
        why = f"every copy of them is on {names}"
        found.append(Prediction(_lost(fatal.domains, fatal.takes, stack), fatal.writes, fatal.takes[0].first, why))
    return found


def _power_cut(held: Sequence[Held], stack: Stack) -> Prediction:
    """Right after the acknowledgement of something that is flushed nowhere."""
    writes = {number for each in held for number in each.acknowledgements}
    arrays = tuple(stack.arrays)
    target = Target("array", arrays[0]) if len(arrays) == 1 else Target("arrays", arrays)
    cut = ScheduledFault("disk.power_cut", target, _at(held))
    return Prediction((cut,), len(writes), held[0].first, "they were acknowledged before they were flushed anywhere")


def _lost(lost: frozenset[str], takes: Sequence[Held], stack: Stack) -> Schedule:
    at, arrays = _at(takes), tuple(sorted(lost & stack.arrays.keys()))
    faults = [ScheduledFault("disk.lose", Target("lun", lun), at) for lun in sorted(lost - stack.arrays.keys())]
    if arrays:
        target = Target("array", arrays[0]) if len(arrays) == 1 else Target("arrays", arrays)
        faults.insert(0, ScheduledFault("san.lose", target, at))
    return tuple(faults)


def _at(takes: Sequence[Held]) -> Trigger:
    """After the acknowledgement in the middle of those that it takes, so that there are some before it."""
    numbers = sorted({number for each in takes for number in each.acknowledgements})
    return Trigger(acknowledged=numbers[len(numbers) // 2])

"""The copy map: of each acknowledged write the LUNs on which its bytes had been flushed when it was acknowledged."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from chaos.agent.recording import BLOCK_BYTES, FLUSH, WRITE, Recording
from chaos.experiment.plan import PHOTO
from chaos.history.events import CANARY_OWNER
from chaos.history.model import INFINITY, History

Part = Literal["record", "blob"]
"""A photo has both, and is lost with either."""
Luns = frozenset[str]
_PARTS: Final[tuple[Part, ...]] = ("record", "blob")
_STAMP: Final = re.compile(rb"( ?)\[[^\[\]|]{1,80}\|[^\[\]|]{1,80}\|([^\[\]|]{1,80})\](\d{0,8})")
"""A field's stamp follows a space, a photo's sector has its number after it; the end of a photo may have neither."""
_ACROSS: Final = 260
"""Bytes of the block before in which a stamp may have begun."""


@dataclass(frozen=True)
class Held:
    """Writes whose copies of one part were on the same LUNs when they were acknowledged.

    Attributes:
        luns: Where their bytes had been flushed; none: nowhere.
        writes: How many.
        first: OWNER/RECORD of the first.
        acknowledgements: Which acknowledgements of the load, from 1, in order.
        later: LUNs on which all of them were flushed in the end.
    """

    part: Part
    luns: Luns
    writes: int
    first: str
    acknowledgements: tuple[int, ...]
    later: Luns


@dataclass(frozen=True)
class Fatal:
    """Fault domains that take all copies of something when they are lost together.

    Attributes:
        domains: Arrays, and LUNs that are on none.
        takes: What of it they take at an acknowledgement, at the least.
    """

    domains: frozenset[str]
    takes: tuple[Held, ...]

    @property
    def writes(self) -> int:
        """How many writes, a photo's two parts once."""
        return len({number for each in self.takes for number in each.acknowledgements})


@dataclass(frozen=True)
class CopyMap:
    """Where what was acknowledged was.

    Attributes:
        acknowledged: Creates and updates that were acknowledged in the load.
        unseen: Those of which no stamp was found on any LUN: compressed, encoded, encrypted, or kept elsewhere.
        held: The others by part and LUNs, most writes first.
    """

    acknowledged: int
    unseen: int
    held: tuple[Held, ...]

    def fatal(self, domain: Mapping[str, str]) -> list[Fatal]:
        """The smallest sets of fault domains whose loss takes all copies of some part, smallest first.

        Args:
            domain: By LUN what it is lost with: its array, or itself.
        """
        by_domains: dict[Luns, list[Held]] = defaultdict(list)
        for each in self.held:
            if each.luns:
                by_domains[frozenset(domain[lun] for lun in each.luns)].append(each)
        smallest = [found for found in by_domains if not any(other < found for other in by_domains)]
        return sorted(
            (Fatal(found, tuple(by_domains[found])) for found in smallest),
            key=lambda each: (len(each.domains), -each.writes, sorted(each.domains)),
        )

    @property
    def unflushed(self) -> tuple[Held, ...]:
        """What a loss of power alone would have taken: acknowledged, and flushed nowhere."""
        return tuple(each for each in self.held if not each.luns)


def copy_map(history: History, recordings: Mapping[str, Recording], data: Mapping[str, Path]) -> CopyMap:
    """Look for the stamps of all acknowledged writes in what was written.

    Args:
        history: Of the recorded run.
        recordings: The write log of each LUN.
        data: The file of each with what was written.
    """
    types = {write.encode(): each.type for write, each in history.writes.items()}
    flushed: dict[tuple[bytes, Part], dict[str, int]] = defaultdict(dict)
    for lun, recording in recordings.items():
        for stamped, sector, t in _arrivals(recording, data[lun]):
            is_blob = bool(sector) and types.get(stamped) == PHOTO
            where = flushed[stamped, "blob" if is_blob else "record"]
            where[lun] = max(t, where.get(lun, 0))  # the last of its sectors
    writes = sorted(
        (each.acknowledged_at, each.kind, each.write, f"{owner}/{record}")
        for (owner, record), several in history.records.items()
        for each in several
        if owner != CANARY_OWNER and history.load_begun <= each.acknowledged_at < INFINITY
    )
    groups: dict[tuple[Part, Luns], list[_Found]] = defaultdict(list)
    acknowledged = unseen = 0
    for number, (t, kind, write, name) in enumerate(writes, start=1):
        if kind == "delete":  # it has no bytes of its own
            continue
        parts = [part for part in _PARTS if (write.encode(), part) in flushed]
        acknowledged += 1
        unseen += not parts
        for part in parts:
            where = flushed[write.encode(), part]
            by_then = frozenset(lun for lun, at in where.items() if at <= t)
            in_the_end = frozenset(lun for lun, at in where.items() if at < INFINITY)
            groups[part, by_then].append(_Found(number, name, in_the_end))
    held = [
        Held(part, luns, len(found), found[0].name, tuple(each.number for each in found),
             frozenset.intersection(*(each.in_the_end for each in found)))
        for (part, luns), found in groups.items()
    ]  # fmt: skip
    return CopyMap(acknowledged, unseen, tuple(sorted(held, key=lambda each: (-each.writes, each.part))))


@dataclass(frozen=True)
class _Found:
    number: int
    name: str
    in_the_end: Luns


def _arrivals(recording: Recording, data: Path) -> Iterator[tuple[bytes, bytes, int]]:
    """Each write id that reached the LUN, with the number of each of its sectors, and when that was flushed there.

    A field has no number. INFINITY: it never was.
    """
    durable = _flush_times(recording)
    seen: set[tuple[bytes, bytes]] = set()
    with data.open("rb") as file:
        begin, before, last = 0, b"", -2
        for io, end in enumerate(recording.ends):
            for place in range(begin, end):
                file.seek(recording.slots[place] * BLOCK_BYTES)
                block = file.read(BLOCK_BYTES)
                number = recording.blocks[place]
                text = (before[-_ACROSS:] if number == last + 1 else b"") + block
                before, last = block, number
                if recording.kinds[io] != WRITE or b"|" not in text:
                    continue
                for space, write, sector in _STAMP.findall(text):
                    if (space or sector) and (write, sector) not in seen:
                        seen.add((write, sector))
                        yield write, sector, durable[io]
            begin = end


def _flush_times(recording: Recording) -> list[int]:
    """Of each I/O when what it wrote was durable: at the next flush; INFINITY where none came."""
    found, t = [INFINITY] * len(recording.kinds), INFINITY
    for io in range(len(recording.kinds) - 1, -1, -1):
        if recording.kinds[io] == FLUSH:
            t = recording.times[io]
        found[io] = t
    return found

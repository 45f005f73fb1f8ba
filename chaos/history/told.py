"""Reads facts of older histories out of their texts; newer histories have fields for them.

Until 0.1 a note said "primary: pg1, pg2" or "records: pgdata on array core", and a fault's target "primary (primary is
pg1; array core)".
"""

from __future__ import annotations

import re
from dataclasses import replace

from chaos.history.events import FaultEvent, Note

NOBODY = "nobody"
_NAME = re.compile(r"[\w.-]+")
_PLACE = re.compile(
    r"(?P<volume>\S+) on (?P<place>array (?P<array>[^\s,]+)|the local disks of [^\s,]+(?: and [^\s,]+)*|no LUN)"
)


def with_fields(note: Note) -> Note:
    """The note with its facts in fields."""
    head, _, rest = (part.strip() for part in note.text.partition(":"))
    if note.topic == "role" and not note.role:
        return replace(note, role=head, services=() if rest in ("", NOBODY) else tuple(rest.split(", ")))
    if note.topic == "copies" and not note.store:
        copies = tuple((place["volume"], place["array"] or "", place["place"]) for place in _PLACE.finditer(rest))
        return replace(note, store=head, copies=copies)
    return note


def struck_by(event: FaultEvent) -> frozenset[str]:
    """The names that a fault struck; of an older event every word of its target."""
    return frozenset(event.struck or _NAME.findall(event.target))

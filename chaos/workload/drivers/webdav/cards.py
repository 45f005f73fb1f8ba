"""Records as vCards and iCalendar objects, and back.

Servers parse what they are given and write it anew: lines folded elsewhere, properties in another order, texts escaped
in another way. So everything of a record stands in one property of an own name, in letters that nobody has to escape.
What else is in an item is what the formats ask for.

https://www.rfc-editor.org/rfc/rfc2426 (vCard), https://www.rfc-editor.org/rfc/rfc5545 (iCalendar)
"""

from __future__ import annotations

import re
from typing import Final

from chaos.workload.session import Record
from chaos.workload.values import damaged, packed_text, unpacked_text

OWN: Final = "X-HOLDFAST"
LINE_CHARACTERS_MAX: Final = 75
_FOLD = re.compile(r"\r?\n[ \t]")
_PROPERTY = re.compile(rf"^{OWN}(?:;[^:\r\n]*)?:([^\r\n]*)", re.MULTILINE | re.IGNORECASE)
_VCARD = ("BEGIN:VCARD", "VERSION:3.0", "UID:{name}", "FN:{name}", "N:{name};;;;", "{own}", "END:VCARD")
_CALENDAR = ("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Holdfast//phones//EN")
_ITEM = ("UID:{name}", "DTSTAMP:20091001T000000Z", "SUMMARY:{name}", "{own}")
_LINES: Final = {
    "calendar": (*_CALENDAR, "BEGIN:VEVENT", *_ITEM, "DTSTART:20091001T000000Z", "END:VEVENT", "END:VCALENDAR"),
    "todo": (*_CALENDAR, "BEGIN:VTODO", *_ITEM, "END:VTODO", "END:VCALENDAR"),
}


def is_of_calendars(kind: str) -> bool:
    """Whether records of this type are iCalendar objects; all others are vCards."""
    return kind in _LINES


def item_of(record: Record) -> bytes:
    """The record as a vCard or an iCalendar object."""
    own = f"{OWN}:{packed_text(record)}"
    lines = (line.format(name=record.name, own=own) for line in _LINES.get(record.type, _VCARD))
    return "".join(f"{_folded(line)}\r\n" for line in lines).encode()


def record_of(owner: str, row: str, name: str, item: str) -> Record:
    """The record in an item, or what is there in its place.

    Args:
        owner: Whose collection it was in.
        row: The item's own identity.
        name: What the record would be called by that.
        item: The text that the server has.
    """
    found = _PROPERTY.findall(_FOLD.sub("", item))
    return unpacked_text(owner, name, row, found[0]) if len(found) == 1 else damaged(owner, name, row, item)


def _folded(line: str) -> str:
    """A content line in pieces of the length that is allowed, all but the first behind a blank."""
    first, rest = line[:LINE_CHARACTERS_MAX], line[LINE_CHARACTERS_MAX:]
    step = LINE_CHARACTERS_MAX - 1
    return "\r\n ".join([first, *(rest[at : at + step] for at in range(0, len(rest), step))])

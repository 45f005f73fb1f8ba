"""Makes records that can be recognised, and says what came back.

Every field value and every sector of a photo carries a stamp, `[owner|record|write]`, of the write that made
it. So a record read back tells by itself whether it is whole, torn (stamps of two writes) or another user's.
"""

from __future__ import annotations

import hashlib
import random
import re
from typing import Literal

from chaos.history.events import Row
from chaos.workload.session import Record

TYPES = ("contact", "calendar", "todo", "photo")
SECTOR_BYTES = 512

_FIELDS = {
    "contact": ("name", "phone", "note"),
    "calendar": ("title", "place", "starts"),
    "todo": ("title", "due", "note"),
    "photo": ("title", "taken", "camera"),
}
_WORDS = (
    "Ada", "Grace", "Zoë", "Łukasz", "日本", "breakfast", "dentist 10:30", "call back", "Straße 5",
    "🎂 birthday", "it's \"quoted\"", "back\\slash", "50 % off", "tab\there", "two\nlines", "",
)  # fmt: skip
_STAMP = re.compile(r"\[([^\[\]|]+)\|([^\[\]|]+)\|([^\[\]|]+)\]")
_STAMP_IN_BLOB = re.compile(rb"\[([^\[\]|]{1,80})\|([^\[\]|]{1,80})\|([^\[\]|]{1,80})\]")
_FILLER = random.Random(2009).randbytes(SECTOR_BYTES).replace(b"[", b"_").replace(b"|", b"_")

Stamp = tuple[str, str, str]


def make(owner: str, name: str, write: str, kind: str, *, size_bytes: int = 0) -> Record:
    """The payload of one write; a pure function of its arguments.

    Args:
        owner: The user.
        name: The record's name (r).
        write: The write id (w).
        kind: One of TYPES.
        size_bytes: Size of the content, for a photo.
    """
    draw = random.Random(write)
    stamp = f"[{owner}|{name}|{write}]"
    fields = {field: f"{draw.choice(_WORDS)} {stamp}" for field in _FIELDS[kind]}
    return Record(
        owner=owner,
        name=name,
        type=kind,
        write=write,
        fields=fields,
        blob=_content(stamp, size_bytes) if kind == "photo" else None,
    )


def _content(stamp: str, size_bytes: int) -> bytes:
    sectors = -(-size_bytes // SECTOR_BYTES)
    start = stamp.encode()
    fill = _FILLER[len(start) + 9 :]
    # Numbered, so that two sectors that changed places are seen.
    return b"".join(b"%b%08d\n%b" % (start, number, fill) for number in range(sectors))[:size_bytes]


def digest(record: Record) -> str:
    """Hash over the whole payload, the blob included; what the service adds (`row`) is left out."""
    found = hashlib.blake2b(digest_size=8)
    parts = (
        record.owner,
        record.name,
        record.type,
        record.write,
        *(s for kv in sorted(record.fields.items()) for s in kv),
    )
    for part in parts:
        text = part.encode("utf-8", "surrogatepass")
        found.update(b"%d:" % len(text))
        found.update(text)
    if record.blob is not None:
        found.update(b"blob:")
        found.update(record.blob)
    return found.hexdigest()


def size_of(record: Record) -> int:
    """Size of the payload with its blob, in bytes."""
    return sum(len(value.encode()) for value in record.fields.values()) + len(record.blob or b"")


def observe(record: Record) -> Row:
    """Boil a record down to what the check needs: whose it is by its own payload, and what does not fit.

    The first stamp of the fields says what the record is. What differs from it, be it in another field, in
    the blob or in the envelope that the service put around it, is listed in `stamps`.
    """
    fields = [record.fields[field] for field in sorted(record.fields)]
    found: list[Stamp] = [stamp for value in fields for stamp in _STAMP.findall(value)]
    envelope = (record.owner, record.name, record.write)
    owner, name, write = first = found[0] if found else envelope
    others = dict.fromkeys(stamp for stamp in [*found, envelope, *_stamps_of_blob(record.blob)] if stamp != first)
    return Row(
        record=name,
        owner=owner,
        write=write,
        hash=digest(record),
        row=record.row,
        stamps=tuple(others),
        blob=_state_of_blob(record),
    )


def _stamps_of_blob(blob: bytes | None) -> list[Stamp]:
    found = set(_STAMP_IN_BLOB.findall(blob or b""))
    return sorted(
        (owner.decode("utf-8", "replace"), name.decode("utf-8", "replace"), write.decode("utf-8", "replace"))
        for owner, name, write in found
    )


def _state_of_blob(record: Record) -> Literal["", "ok", "missing"]:
    if record.type != "photo":
        return ""
    return "missing" if record.blob is None else "ok"

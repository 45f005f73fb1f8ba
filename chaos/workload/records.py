"""Makes records that can be recognised, and says what came back.

Every field value and every sector of a photo carries a stamp, `[owner|record|write]`, of the write that made
it. So a record read back tells by itself whether it is whole, torn (stamps of two writes) or another user's.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, TypeGuard

import orjson

from chaos.experiment.plan import PHOTO, PLAIN_TYPES
from chaos.history.events import Row
from chaos.workload.returned import canonical, each_of, shown, text
from chaos.workload.session import Record

TYPES = (*(each.name for each in PLAIN_TYPES), PHOTO)
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
_STAMP = re.compile(r"\[([^\[\]|]{1,80})\|([^\[\]|]{1,80})\|([^\[\]|]{1,80})\]")
_STAMP_IN_BLOB = re.compile(rb"\[([^\[\]|]{1,80})\|([^\[\]|]{1,80})\|([^\[\]|]{1,80})\]")
_LETTERS = bytes(random.Random(2009).choices(b"abcdefghijklmnopqrstuvwxyz0123456789 ", k=SECTOR_BYTES))
_FILLER = random.Random(2009).randbytes(SECTOR_BYTES).replace(b"[", b"_").replace(b"|", b"_")

_IDENTITY = re.compile(r"[\w.:#-]{1,80}", re.ASCII)
STAMPS_MAX = 16
ANSWER_BYTES_MAX = 24 << 20
"""Of all rows of one answer, some 150,000: a line of a history has a limit, too."""
_ROW_BYTES = 128
"""Of a row's hash and of what its members are called."""

Stamp = tuple[str, str, str]


def make(owner: str, name: str, write: str, kind: str, *, size_bytes: int = 0) -> Record:
    """The payload of one write; a pure function of its arguments.

    Args:
        owner: The user.
        name: The record's name (r).
        write: The write id (w).
        kind: One of TYPES, or a type of the user's own.
        size_bytes: Size of the content of a photo, or of all fields of a type of the user's own.
    """
    draw = random.Random(write)
    stamp = f"[{owner}|{name}|{write}]"
    fields = {field: f"{draw.choice(_WORDS)} {stamp}" for field in _FIELDS.get(kind, ("title",))}
    if kind not in TYPES:
        rest = size_bytes - len(fields["title"].encode())
        fields["body"] = _content(stamp, rest, _LETTERS).decode()
    return Record(
        owner=owner,
        name=name,
        type=kind,
        write=write,
        fields=fields,
        blob=_content(stamp, size_bytes) if kind == "photo" else None,
    )


def _content(stamp: str, size_bytes: int, filler: bytes = _FILLER) -> bytes:
    sectors = -(-size_bytes // SECTOR_BYTES)
    start = stamp.encode()
    fill = filler[len(start) + 9 :]
    # Numbered, so that two sectors that changed places are seen.
    return b"".join(b"%b%08d\n%b" % (start, number, fill) for number in range(sectors))[:size_bytes]


def digest(record: Record) -> str:
    """Hash over the whole payload, the blob included; what the service adds (`row`) is left out.

    What came back of another type than it was sent has another hash than whatever could have been sent.
    """
    found = hashlib.blake2b(digest_size=8)
    parts = [getattr(record, part, None) for part in ("owner", "name", "type", "write")]
    for part in (*parts, *(s for kv in _fields_of(record) for s in kv)):
        if isinstance(part, str):
            text = canonical(part)
            found.update(b"%d:" % len(text))
            found.update(text)
        else:
            found.update(b"?%b:" % type(part).__name__.encode())
            found.update(canonical(part))
    blob = getattr(record, "blob", None)
    if blob is not None:
        found.update(b"blob:" if _is_content(blob) else b"?blob:")
        found.update(canonical(blob))
    return found.hexdigest()


def size_of(record: Record) -> int:
    """Size of the payload with its blob, in bytes."""
    return sum(len(value.encode()) for value in record.fields.values()) + len(record.blob or b"")


def observe(record: Record, reader: str = "") -> Row:
    """Boil a record down to what the check needs: whose it is by its own payload, and what does not fit.

    The first stamp of the fields says what the record is. What differs from it, be it in another field, in
    the blob or in the envelope that the service put around it, is listed in `stamps`. A part that came back as nothing,
    or as something else than a text, speaks for nobody; it only makes the hash another one.

    Args:
        record: What a driver returned as one: of any type, with anything in it.
        reader: Whose records were asked for.
    """
    values = [value for _, value in _fields_of(record) if isinstance(value, str)]
    found: list[Stamp] = [_stamp(stamp) for value in values for stamp in _STAMP.findall(value)]
    said = [text(getattr(record, part, None)) for part in ("owner", "name", "write")]
    blob = getattr(record, "blob", None)
    content = _stamps_of_blob(blob)
    first = found[0] if found else _filled(said, content[0] if content else (reader, "", ""))
    owner, name, write = first
    others = dict.fromkeys(stamp for stamp in [*found, _filled(said, first), *content] if stamp != first)
    return Row(
        record=name,
        owner=owner,
        write=write,
        hash=digest(record),
        row=shown(getattr(record, "row", None)),
        stamps=tuple(others)[:STAMPS_MAX],
        blob=_state_of_blob(record, blob),
    )


def observed(records: object, reader: str) -> list[tuple[Row, str]]:
    """Every record of an answer with its type.

    Raises:
        TypeError: It is no list.
        ValueError: It holds more than one line of a history can.
    """
    found: list[tuple[Row, str]] = []
    size = 0
    for record in each_of(records, "the list of records"):
        row = observe(record, reader)  # type: ignore[arg-type]  # whatever it is
        size += _ROW_BYTES + len(orjson.dumps((row.record, row.owner, row.write, row.row, row.stamps)))
        if size > ANSWER_BYTES_MAX:
            raise ValueError(f"an answer of more than {len(found):,} records is more than the history can hold")
        found.append((row, text(getattr(record, "type", None))))
    return found


def may_be_changed(row: Row, kind: str, owner: str, types: Collection[str] = TYPES) -> bool:
    """Whether a user can work on what a phone has: a damaged name, or another user's record, nobody could ask for."""
    return (
        kind in types
        and row.owner == owner
        and bool(_IDENTITY.fullmatch(row.record))
        and bool(_IDENTITY.fullmatch(row.write))
    )


def _fields_of(record: Record) -> list[tuple[object, object]]:
    """The fields in order; what is no mapping of names is one value without a name."""
    fields = getattr(record, "fields", None)
    if not isinstance(fields, Mapping):
        return [(None, fields)]
    return sorted(fields.items(), key=lambda each: (isinstance(each[0], str), canonical(each[0])))


def _is_content(blob: object) -> TypeGuard[bytes]:
    return isinstance(blob, bytes | bytearray | memoryview)


def _filled(said: Sequence[str], otherwise: Stamp) -> Stamp:
    """The envelope; what it lacks is as otherwise."""
    owner, name, write = (here or there for here, there in zip(said, otherwise, strict=True))
    return owner, name, write


def _stamp(parts: tuple[str, str, str]) -> Stamp:
    owner, name, write = map(text, parts)
    return owner, name, write


def _stamps_of_blob(blob: object) -> list[Stamp]:
    found = set(_STAMP_IN_BLOB.findall(blob)) if _is_content(blob) else set()
    return sorted(_stamp((o.decode("utf-8", "replace"), r.decode("utf-8", "replace"), w.decode("utf-8", "replace")))
                  for o, r, w in found)  # fmt: skip


def _state_of_blob(record: Record, blob: object) -> Literal["", "ok", "missing"]:
    if getattr(record, "type", None) != "photo":
        return ""
    return "missing" if blob is None else "ok"

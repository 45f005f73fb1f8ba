"""A record as one value of bytes, for stores that know keys and values and nothing of what is in them.

    the write's id, a line feed, type, name and fields as JSON in one line, and for a photo a line feed and the blob

The id comes first and has an end, so that a store which compares bytes can tell by the first ones whether a value is
still that of a write. Where only a text can be kept, it is the same in base64 that nobody has to escape.
"""

from __future__ import annotations

import base64
from dataclasses import replace

import orjson

from chaos.workload.session import Record, WriteId


def packed(record: Record) -> bytes:
    """The value of a record."""
    told = {"type": record.type, "name": record.name, "fields": dict(record.fields)}
    parts = [beginning(record.write), orjson.dumps(told)]
    if record.blob is not None:
        parts += [b"\n", record.blob]
    return b"".join(parts)


def beginning(write: WriteId) -> bytes:
    """The first bytes of every value of this write, and of no other."""
    return write.encode() + b"\n"


def unpacked(owner: str, key: bytes, value: bytes) -> Record:
    """The record of a value, or what is left of it: damage is for the check to see.

    Args:
        owner: Whose records were asked for.
        key: Where the store has it, below its user: the record's name, and the identity of its row.
        value: As the store has it.
    """
    head, *blob = value.split(b"\n", 2)[1:] or [b""]
    try:
        told = orjson.loads(head)
    except ValueError:
        told = None
    row = key.decode("utf-8", "replace")
    if not isinstance(told, dict):
        told = {"name": row, "type": "", "fields": value.decode("utf-8", "replace")}
    return Record(
        owner,
        told.get("name", row),
        told.get("type", ""),
        value.partition(b"\n")[0].decode("utf-8", "replace"),
        told.get("fields"),  # type: ignore[arg-type]  # whatever it is
        blob[0] if blob else None,
        row,
    )


def packed_text(record: Record) -> str:
    """The value of a record as a text of letters, digits, `-`, `_` and `=`."""
    return base64.urlsafe_b64encode(packed(record)).decode()


def unpacked_text(owner: str, name: str, row: str, text: str) -> Record:
    """The record of such a text, or what is left of it.

    Args:
        owner: Whose records were asked for.
        name: What the record is called by the place where the service has it.
        row: The identity of its row.
        text: As the service has it.
    """
    try:
        value = base64.b64decode(text.encode(), altchars=b"-_", validate=True)
    except ValueError:
        return damaged(owner, name, row, text)
    return replace(unpacked(owner, name.encode(), value), row=row)


def damaged(owner: str, name: str, row: str, found: object) -> Record:
    """What the service has in the place of a record, whatever it is."""
    return Record(owner, name, "", "", found, None, row)  # type: ignore[arg-type]

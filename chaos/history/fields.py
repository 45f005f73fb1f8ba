"""The values in a line: each is checked for its type and range before anything uses it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from chaos.history.events import Row
from chaos.history.model import INFINITY, Operation

_ROW_FIELDS: Final = frozenset(field.name for field in dataclasses.fields(Row))


class BadLineError(Exception):
    """What is wrong with the line at hand."""


def text(value: object, name: str) -> str:
    """A text."""
    if type(value) is not str:
        raise BadLineError(f"{name} is {value!r:.60}, not a text")
    return value


def integer(value: object, name: str, least: int = 0) -> int:
    """A whole number in the range of times."""
    if type(value) is not int or not least <= value < INFINITY:
        raise BadLineError(f"{name} is {value!r:.60}, not a whole number from {least}")
    return value


def flag(value: object, name: str) -> bool:
    """True or false."""
    if type(value) is not bool:
        raise BadLineError(f"{name} is {value!r:.60}, not true or false")
    return value


def one_of(value: object, name: str, choices: tuple[str, ...]) -> str:
    """One of these texts."""
    if value not in choices:
        raise BadLineError(f"{name} is {value!r:.60}, not one of {', '.join(choices)}")
    return str(value)


def texts(value: object, name: str) -> tuple[str, ...]:
    """A list of texts."""
    if type(value) is not list:
        raise BadLineError(f"{name} is {value!r:.60}, not a list")
    return tuple(text(member, name) for member in value)


def texts_by_name(value: object, name: str) -> dict[str, str]:
    """A map of texts."""
    if type(value) is not dict:
        raise BadLineError(f"{name} is {value!r:.60}, not a map")
    return {key: text(member, name) for key, member in value.items()}


def evidence_of(value: object) -> dict[str, int | float | str]:
    """What was counted of a fault, by name."""
    if type(value) is not dict or any(type(each) not in (int, float, str) for each in value.values()):
        raise BadLineError("evidence is not a map of numbers and texts")
    return value


def copies_of(value: object) -> tuple[tuple[str, str, str], ...]:
    """Copies of a store: volume, array, and both in words."""
    found = [texts(each, "a copy") for each in value] if type(value) is list else []
    if type(value) is not list or any(len(each) != 3 for each in found):
        raise BadLineError("copies is no list of (volume, array, place)")
    return tuple((volume, array, place) for volume, array, place in found)


def whole_copy(row: dict[str, Any], owner: str, writes: Mapping[str, Operation]) -> Operation | None:
    """The write of which this row is a whole copy with the right record and owner; None if there is none."""
    write = writes.get(row["write"])
    if (
        write is None
        or row["hash"] != write.hash
        or row["record"] != write.record
        or row["owner"] != owner
        or write.owner != owner
        or write.kind == "delete"
    ):
        return None
    if len(row) == 5 and type(row.get("row")) is str:
        # Nearly every row: the four fields above and the server's own identity.
        return write
    plain = (
        _ROW_FIELDS.issuperset(row)
        and not row.get("stamps")
        and row.get("blob", "") in ("", "ok")
        and type(row.get("row", "")) is str
    )
    return write if plain else None


def bare_copy(row: Row, owner: str, writes: Mapping[str, Operation]) -> Operation | None:
    """The write of which this row is a copy without the blob that belongs to it; None where it is not."""
    write = writes.get(row.write)
    if write is None or row.blob != "missing" or row.stamps or write.kind == "delete":
        return None
    return write if (row.owner, row.record) == (owner, write.record) and write.owner == owner else None


def row_of(row: dict[str, Any]) -> Row:
    """A row that is kept, fully checked."""
    if type(row) is not dict or not _ROW_FIELDS.issuperset(row):
        raise BadLineError(f"a row is {row!r:.60}")
    stamps = row.get("stamps", [])
    if type(stamps) is not list or any(type(stamp) is not list or len(stamp) != 3 for stamp in stamps):
        raise BadLineError("stamps is not a list of (owner, record, write)")
    return Row(
        record=text(row["record"], "record"),
        owner=text(row["owner"], "owner"),
        write=text(row["write"], "write"),
        hash=text(row["hash"], "hash"),
        row=text(row.get("row", ""), "row"),
        stamps=tuple((text(o, "stamp"), text(r, "stamp"), text(w, "stamp")) for o, r, w in stamps),
        blob=one_of(row.get("blob", ""), "blob", ("", "ok", "missing", "orphan")),  # type: ignore[arg-type]
    )

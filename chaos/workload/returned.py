"""Makes any value that a driver returned fit for the history.

A service may answer with anything: nothing where a text should be, a number, a text that is no Unicode, a name of a
megabyte. All of it is evidence of what the service did with a record, so none of it may stop the reader.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final

import orjson

TEXT_MAX: Final = 200
"""Characters of one name, id or message; nothing that Holdfast made up is longer."""


def text(value: object) -> str:
    """A text as a history can hold it, bounded; "" for whatever is no text."""
    if not isinstance(value, str):
        return ""
    found = str.__str__(value).encode("utf-8", "backslashreplace").decode()
    if len(found) <= TEXT_MAX:
        return found
    rest = hashlib.blake2b(found.encode(), digest_size=8).hexdigest()
    return f"{found[: TEXT_MAX - 20]}... {rest}"


def shown(value: object) -> str:
    """A value of any kind as a text, always the same one; "" for nothing."""
    if value is None or isinstance(value, str):
        return text(value)
    return text(canonical(value).decode("utf-8", "replace"))


def canonical(value: object) -> bytes:
    """The same bytes for the same value, whenever and wherever it is read: no address of an object is in them."""
    if isinstance(value, str):
        return str.encode(value, "utf-8", "surrogatepass")
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, int):
        number = int(value)  # a large one has no decimal digits that Python would tell
        return b"%d" % number if abs(number) < 1 << 64 else b"%x" % number
    try:
        return orjson.dumps(value, default=_within, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SORT_KEYS)
    except (orjson.JSONEncodeError, RecursionError):
        return type(value).__name__.encode("utf-8", "replace")


def each_of(values: object, what: str) -> Iterable[object]:
    """The members of an answer.

    Raises:
        TypeError: It is no list of anything.
    """
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise TypeError(f"{what} is of the type {type(values).__name__}, not a list; the driver returned it so")
    return values


def _within(value: object) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    return type(value).__name__

"""The tables of a history in memory: which columns each has, and which fields of a line they come from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from chaos.history.events import TAGS

OPERATIONS: Final = ("act", "send", "back")
_U, _I = np.uint64, np.int64
TYPES: Final[Mapping[str, Mapping[str, Any]]] = {
    "act": {
        "line": _I, "op": _I, "t": _I, "session": _U, "device": _U, "owner": _U, "kind": _U, "record": _U, "type": _U,
        "write": _U, "hash": _U, "key": _U, "base": _U, "size_bytes": _I,
    },
    "send": {"line": _I, "op": _I, "n": _I, "t": _I, "session": _U},
    "back": {"line": _I, "op": _I, "n": _I, "t": _I, "outcome": _U, "flags": _I},
    "row": {"line": _I, "at": _I, "record": _U, "owner": _U, "write": _U, "hash": _U, "blob": _U},
    "gone": {"line": _I, "record": _U},
}  # fmt: skip
"""The columns of each table: texts as hashes, numbers as they are; `line` and `at` are places in the file."""

DTYPES: Final = {tag: np.dtype(list(types.items())) for tag, types in TYPES.items()}

REQUIRED: Final[Mapping[str, frozenset[str]]] = {
    "act": frozenset(("event", "op", "t", "session", "device", "owner", "kind")),
    "send": frozenset(("event", "op", "n", "t")),
    "back": frozenset(("event", "op", "n", "t", "outcome")),
    "row": frozenset(("record", "owner", "write", "hash")),
}
FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    **{tag: tuple(field.name for field in dataclasses.fields(TAGS[tag])) for tag in OPERATIONS},
    "row": ("record", "owner", "write", "hash", "row", "blob"),
}
"""The fields of each line in the order in which the recorder writes them."""

NUMBERS: Final = frozenset(("op", "t", "n", "size_bytes", "outbox"))
"""Fields that are whole numbers; `cached` and `full` are true, `rows` and `gone` lists, the others texts."""

CACHED: Final = 1
FULL: Final = 2
"""Bits of `flags`."""


def entries(table: Any, places: Any) -> Any:
    """Some entries of a table; whole rows of numbers are copied much faster than records are."""
    numbers = table.view(np.int64).reshape(len(table), len(table.dtype))
    return numbers.take(places, axis=0).view(table.dtype).reshape(len(places))

"""What a check of a driver needs to know and finds, and how records that came back are compared with those sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from chaos.experiment.plan import PLAIN_TYPES, RecordType
from chaos.history.events import Policy
from chaos.workload.records import digest
from chaos.workload.session import Record

Outcome = Literal["ok", "wrong", "not tried"]


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        why: What is wrong, or why it was not tried.
        remedy: What to do where it is wrong.
        needs: The checks without which it could not be tried, and that were wrong or not tried themselves.
    """

    check: str
    outcome: Outcome
    why: str = ""
    remedy: str = ""
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Promises:
    """The settings of stack and workload that the driver must honour."""

    policy: Policy
    keyed: bool
    photos: bool
    doors: tuple[tuple[str, str, int], ...]
    request_seconds_max: float
    types: tuple[RecordType, ...] = PLAIN_TYPES


def put_off(findings: Sequence[Finding]) -> str:
    """All that has to wait until what is wrong is mended, in one line; "" where nothing has."""
    waiting = [each for each in findings if each.needs]
    wrong = [each.check for each in findings if each.outcome == "wrong"]
    first = [check for check in wrong if any(check in each.needs for each in waiting)]
    many = f"{len(waiting)} further check{'' if len(waiting) == 1 else 's'}"
    return f"{many}: first mend {' and '.join(repr(each) for each in first)}" if waiting else ""


class WrongError(Exception):
    """A check failed."""

    def __init__(self, why: str, remedy: str) -> None:
        super().__init__(why)
        self.remedy = remedy


class NotTried(Exception):
    """A check that this stack does not ask for."""


def compare(found: Iterable[Record], wanted: Sequence[Record]) -> None:
    """Whether these are the records, each once and unchanged."""
    found = list(found)
    names = [record.name for record in found]
    for record in wanted:
        mine = [each for each in found if each.name == record.name]
        if not mine:
            raise WrongError(
                f"{record.name} is not there, but {', '.join(names) or 'nothing'}",
                "return every live record of the user",
            )
        if len(mine) > 1:
            raise WrongError(f"{record.name} is there {len(mine)} times", "honour `key`, and return each row once")
        if digest(mine[0]) != digest(record):
            raise WrongError(
                f"{record.name} came back changed: {_difference(mine[0], record)}",
                "store name, type, write, every field and the blob as they are, and return them unchanged; where it is "
                "an older version, `put` returned although the service had refused the write: raise what it says",
            )


def _difference(found: Record, wanted: Record) -> str:
    for name in ("owner", "type", "write"):
        if getattr(found, name) != getattr(wanted, name):
            return f"{name} is {getattr(found, name)!r:.60}, not {getattr(wanted, name)!r:.60}"
    for name, value in wanted.fields.items():
        if found.fields.get(name) != value:
            return f"field {name} is {found.fields.get(name)!r:.60}, not {value!r:.60}"
    if found.blob != wanted.blob:
        sizes = [None if blob is None else len(blob) for blob in (found.blob, wanted.blob)]
        return f"its blob has {sizes[0]} bytes, not {sizes[1]}" if sizes[0] != sizes[1] else "its blob has other bytes"
    return f"it has further fields {sorted(set(found.fields) - set(wanted.fields))}"

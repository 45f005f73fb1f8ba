"""What a driver must offer: one device of one user, one attempt on the wire per call, no hidden retry.

A driver is a class whose objects are sessions. Holdfast makes one per device incarnation with
`Driver(front_door, user=..., device=...)` and awaits its methods. A method that returns means acknowledged.
`chaos.errors.Refused` means definitely not applied. Any other exception (time-outs are imposed from outside)
means unknown. `docs/drivers.md` is the guide, `chaos/workload/drivers/http.py` the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

WriteId = str


@dataclass(frozen=True, slots=True)
class FrontDoor:
    """Where the phones reach the service: the published address of `x-chaos.front_door`.

    `others` holds the addresses of further published ports by "service:port".
    """

    host: str
    port: int
    others: Mapping[str, tuple[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """One version of one user record.

    Attributes:
        name: The client's own name, unique per owner and never used again (r).
        type: contact, calendar, todo or photo, or one that the workload names.
        write: Id of the write that made this version (w).
        fields: Text by name; every value carries owner, name and write (`chaos.workload.records`).
        blob: A photo's content; None where the type has none, or where the service has lost it.
        row: The server's own identity of the row, so that duplicates can be told.
    """

    owner: str
    name: str
    type: str
    write: WriteId
    fields: Mapping[str, str]
    blob: bytes | None = None
    row: str = ""


@dataclass(frozen=True, slots=True)
class Ack:
    """An acknowledgement. `warning` makes it degraded; `by` names the service that answered, if known."""

    warning: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Changes:
    """One delta: records created or updated and names deleted since the cursor, and the next cursor.

    Attributes:
        by: The service that answered, if known.
        full: `records` is everything that the user has, as of a full read: what is not there is gone. `deleted` is
            for what the service itself says was deleted.
    """

    records: Sequence[Record]
    deleted: Sequence[str]
    cursor: str
    by: str = ""
    full: bool = False


class Copy(Protocol):
    """One user's records as one copy of the data has them, past everything that stands before it.

    A read counts only if the copy was asked meanwhile. One that holds nothing but blobs says so by an attribute
    `blobs_alone = True`: then it need not be asked for records without any.
    """

    def __init__(self, front_door: FrontDoor, at: str, *, user: str) -> None:
        """Remember the arguments; `front_door.others[at]` is where the copy answers."""

    async def everything(self) -> Sequence[Record]:
        """All live records of the user on this copy; raise where the copy has yet to catch up."""

    async def close(self) -> None:
        """Close every connection."""


class Session(Protocol):
    """One device of one user, as the service sees it.

    A driver may have an attribute `doors`: for each kind of `x-chaos.doors` that it can read a class of `Copy`, or
    "module:Class" of one, which is imported when it is wanted.
    """

    def __init__(self, front_door: FrontDoor, *, user: str, device: str) -> None:
        """Remember the arguments; connect lazily."""

    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        """Create (`base` None and the name new) or update `record`; conditional on `base` where given."""

    async def delete(self, name: str, base: WriteId | None, key: str) -> Ack:
        """Delete the record; conditional on `base` where given."""

    async def changes(self, cursor: str | None) -> Changes:
        """Delta sync: everything since `cursor` (None: from the beginning)."""

    async def everything(self) -> Sequence[Record]:
        """A full read of the user's live records, as after a device reset."""

    async def close(self) -> None:
        """Close every connection."""

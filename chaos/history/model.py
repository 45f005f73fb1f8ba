"""A history in memory: what the checks need of it, compact, and nothing else.

One `Operation` per act of a user that changes a record, with its attempts. Rows that reads returned are not
kept: a row that is a whole copy of a known write becomes a mark on that write (`seen_first`), or in a final
read a pointer to it; only rows that are not are kept as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from chaos.history.events import FaultEvent, Header, Note, PhaseEvent, Row

INFINITY: Final = 1 << 63
"""Later than every time of a history: the return of an operation that never returned."""

RESTORE_STEP: Final = 0
"""The step at which a restored store is read, before devices resume."""
CACHE_STEP: Final = 2
"""The step of the final reads that a device's cache answers; all others ask the service."""

RecordId = tuple[str, str]
"""(owner, record): a record's name is unique among its owner's."""


class Attempt:
    """One request on the wire. `back` is INFINITY and `outcome` "info" while no answer came."""

    __slots__ = ("back", "by", "outcome", "sent", "session", "why")

    def __init__(self, sent: int, session: str) -> None:
        self.sent = sent
        self.session = session
        self.back = INFINITY
        self.outcome = "info"
        self.by = ""
        self.why = ""


class Operation:
    """One act of a user, see `chaos.history.events.Act`, with its attempts in order.

    Attributes:
        seen_first: Return of the first read of the service that returned this write whole, else INFINITY; kept
            on the first operation of a write id.
        seen_last: Return of the last such read of a phone, 0 if none; `seen_by` is that phone.
    """

    __slots__ = (
        "attempts", "base", "device", "hash", "key", "kind", "number", "outbox", "owner", "record", "seen_by",
        "seen_first", "seen_last", "session", "size_bytes", "t", "type", "write",
    )  # fmt: skip

    def __init__(
        self,
        number: int,
        t: int,
        session: str,
        device: str,
        owner: str,
        kind: str,
        record: str,
        type_: str,
        write: str,
        hash_: str,
        key: str,
        base: str | None,
        size_bytes: int,
        outbox: int,
    ) -> None:
        self.number = number
        self.t = t
        self.session = session
        self.device = device
        self.owner = owner
        self.kind = kind
        self.record = record
        self.type = type_
        self.write = write
        self.hash = hash_
        self.key = key
        self.base = base
        self.size_bytes = size_bytes
        self.outbox = outbox
        self.attempts: list[Attempt] = []
        self.seen_first = INFINITY
        self.seen_last = 0
        self.seen_by = ""

    @property
    def acknowledged_at(self) -> int:
        """When the first acknowledgement came, else INFINITY."""
        return min((attempt.back for attempt in self.attempts if attempt.outcome == "ok"), default=INFINITY)

    def saw(self, t: int, by: str) -> None:
        """A read of the service by device `by`, returned at `t`, showed this write whole."""
        if t < self.seen_first:
            self.seen_first = t
        if t > self.seen_last:
            self.seen_last, self.seen_by = t, by


@dataclass(slots=True)
class Door:
    """One round of one final read.

    Attributes:
        whole: By record: the write of which the read returned one whole, rightly attributed copy.
        rows: The server's row of each of them, where it said so.
        beside: The writes of further whole copies of records in `whole`: versions beside each other.
        odd: Every other row: damaged, unknown, of someone else, or a further one of a record in `whole`.
        ok: Whether it was read, and the service was asked meanwhile: what comes from elsewhere proves nothing.
        unasked: Whether it returned, and the service was not asked.
        settled: Whether the round before returned the same.
    """

    step: int
    door: str
    owner: str
    round: int
    invoked: int
    t: int
    ok: bool
    why: str
    unasked: bool = False
    settled: bool = False
    whole: dict[str, Operation] = field(default_factory=dict)
    rows: dict[str, str] = field(default_factory=dict)
    beside: list[Operation] = field(default_factory=list)
    odd: list[Row] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one successful read of the service told one session; cached answers are left out.

    Attributes:
        invoked, t: When the request left and the answer came.
        full: Whether it returned everything of its owner; else a delta.
        single: Whether it asked for one record alone (kind `read`).
        showed: The writes of which it returned a whole copy; `odd` names the records of its other rows, and `gone`
            those reported deleted.
        bare: The writes of which it returned a copy without the blob that belongs to it.
    """

    session: str
    owner: str
    invoked: int
    t: int
    full: bool
    single: bool
    showed: tuple[Operation, ...]
    odd: tuple[str, ...]
    gone: tuple[str, ...]
    bare: tuple[Operation, ...] = ()


@dataclass(frozen=True, slots=True)
class OddSight:
    """A row that a read during the trial returned, and that is no whole copy of a write acted until then."""

    row: Row
    reader: str
    owner: str
    t: int


@dataclass(slots=True)
class History:
    """Everything that the checks look at.

    Attributes:
        records: Creates, updates and deletes by record, in the order in which users acted.
        writes: The first operation of every write id.
        resets: Device resets.
        gone: For each record the first return of a read of the service that reported it deleted.
        odd_sights: Odd rows returned during the trial, one of each (record, write, hash).
        answers: Successful reads of the service during the trial, in the order of their lines.
        doors: For each (step, owner, door) its last rounds in order: the last one, preceded by one more where
            that differs from it.
    """

    path: Path
    header: Header
    records: dict[RecordId, list[Operation]] = field(default_factory=dict)
    writes: dict[str, Operation] = field(default_factory=dict)
    resets: list[Operation] = field(default_factory=list)
    gone: dict[RecordId, int] = field(default_factory=dict)
    odd_sights: dict[tuple[str, str, str], OddSight] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    doors: dict[tuple[int, str, str], list[Door]] = field(default_factory=dict)
    faults: list[FaultEvent] = field(default_factory=list)
    phases: list[PhaseEvent] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    operations: int = 0
    ended: int = 0

    @property
    def load_begun(self) -> int:
        """When the load began; without that phase, when the first user acted."""
        for phase in self.phases:
            if phase.name == "load" and phase.happened == "begun":
                return phase.t
        return min((operations[0].t for operations in self.records.values()), default=self.header.t)

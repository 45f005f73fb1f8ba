"""The events of a history, as they stand in `history.jsonl`: one JSON object a line, in the order written.

All times are nanoseconds of the controller's CLOCK_MONOTONIC. Fields that equal their default are left out of the
line. `docs/history.md` describes the format; FORMAT is raised when its meaning changes.

Life of one logical operation: one `Act` (the user acts: it enters the device's outbox), then per attempt one
`Send` (the request leaves) and at most one `Back` (the answer, or the certainty that none comes). An `Act`
without `Send` was never sent: `fail`. A `Send` without `Back` is `info`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

FORMAT = 1

Kind = Literal["create", "update", "delete", "read", "list", "sync", "reset"]
MUTATIONS: frozenset[str] = frozenset({"create", "update", "delete"})
Outcome = Literal["ok", "fail", "info", "degraded"]
Policy = Literal["reject", "last-writer-wins", "keep-both"]
Idempotency = Literal["keyed", "none"]


@dataclass(frozen=True, slots=True)
class Row:
    """One version of a record as a read returned it, boiled down to what the check needs.

    Attributes:
        record: The client's own name of the record (r), from the payload.
        owner: The owner found in the payload.
        write: The write id (w) found in the payload; of a photo, in the metadata row.
        hash: Hash over the whole payload as read, blob included (16 hex digits).
        row: The server's identity of this row; two rows of one record differ here.
        stamps: Every further (owner, record, write) found in the payload's fields or blob beside the first:
            empty for a whole record. More than one means torn or misattributed.
        blob: "" no blob belongs to it; "ok"; "missing" (the row is there, its blob is not); "orphan" (no row but a
            blob that none points to).
    """

    record: str
    owner: str
    write: str
    hash: str
    row: str = ""
    stamps: tuple[tuple[str, str, str], ...] = ()
    blob: Literal["", "ok", "missing", "orphan"] = ""


@dataclass(frozen=True, slots=True)
class Header:
    """First line: what the check must know of the experiment.

    Attributes:
        event: "header".
        minimum_acknowledged: Fewer acknowledged creates, updates and deletes make the trial vacuous.
        require_mix: Whether the workload's mix is judged (counted trials).
        mix_without: Of "photos" and "resets" those that the workload does not have, so the mix does not ask for them.
        canaries: {"A": record, "B": record} of the reserved user CANARY_OWNER.
        faults: names of the scheduled faults in order; each needs a `FaultEvent` that says whether it bit.
        copies: Doors of step 4 beside those of the devices, one for each copy that is read directly, by name; every
            owner is read at each of them.
        epoch_ns: The wall clock at `t`, in nanoseconds since 1970 UTC; 0: not known, as in older histories.
        versions: Of what the trial ran on, by name: "Holdfast", the engine, "Linux", "host"; and its "commit".
        images: The image of each service as the Compose file names it; "" where it is built.
    """

    experiment: str
    seed: int
    policy: Policy
    idempotency: Idempotency
    sessions: Literal["report", "strict"] = "report"
    rpo_seconds: float = 0.0
    minimum_acknowledged: int = 1
    require_mix: bool = True
    mix_without: tuple[str, ...] = ()
    canaries: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()
    format: int = FORMAT
    t: int = 0
    epoch_ns: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)

    def date(self, t: int) -> datetime | None:
        """The wall clock at a time, in UTC and whole seconds; None where the history does not tell it."""
        if not self.epoch_ns:
            return None
        try:
            return datetime.fromtimestamp((self.epoch_ns + t - self.t) // 1_000_000_000, UTC)
        except (OverflowError, ValueError, OSError):
            return None


COPIES, ROLE = "copies", "role"
"""Topics of the notes that say where a store's copies are, and who has a role from then on."""
PLANTED = "planted"
"""Topic of the note that a record, OWNER/RECORD, was removed behind the service's back."""
BLOBS = "blobs"
"""The store of photos' contents, in notes about copies."""
CANARY_OWNER, CANARY_DEVICE = "u-canary", "d-canary"


@dataclass(frozen=True, slots=True)
class Act:
    """A user acts on a device; the operation enters its outbox.

    Attributes:
        op: Number of the logical operation, unique in the history.
        session: Device and incarnation, e.g. "d-05#1"; a reset starts the next ("d-05#2").
        device: The device, e.g. "d-05".
        owner: The user, e.g. "u-03".
        kind: What is done. The fields below are set for create, update and delete alone.
        record: r. type: contact, calendar, todo, photo, or one that the workload names. write: w. hash: of the whole
            payload ("" for a delete).
        key: Idempotency key. base: write id of the version that the phone knew, or None; under `reject`
            the write is conditional on it.
        size_bytes: Size of the payload with its blob.
        outbox: For a reset: entries wiped from the outbox.
    """

    op: int
    t: int
    session: str
    device: str
    owner: str
    kind: Kind
    record: str = ""
    type: str = ""
    write: str = ""
    hash: str = ""
    key: str = ""
    base: str | None = None
    size_bytes: int = 0
    outbox: int = 0


@dataclass(frozen=True, slots=True)
class Send:
    """Attempt `n` (from 1) of operation `op` leaves the device; `session` is set where it is not the actor's."""

    op: int
    n: int
    t: int
    session: str = ""


@dataclass(frozen=True, slots=True)
class Back:
    """The end of an attempt.

    Attributes:
        outcome: ok, fail (definitely not applied), info (unknown), degraded (acknowledged with a warning).
        by: Which service answered, where it says so.
        why: Error, warning or status, one line.
        cached: A read answered by the device's own cache; covers nothing.
        full: The read returned everything of its owner (else a delta).
        rows: What a read, list or sync returned.
        gone: Names of records that it reported deleted.
    """

    op: int
    n: int
    t: int
    outcome: Outcome
    by: str = ""
    why: str = ""
    cached: bool = False
    full: bool = False
    rows: tuple[Row, ...] = ()
    gone: tuple[str, ...] = ()


ANSWER_BYTES_A_ROW = 12
"""An answer has more than this for each row, however it is packed: a hundred records by LZMA have 24 bytes each."""


def is_unasked(
    asked_bytes: int | None, answered_bytes: int | None, rows: int, asked_packets: int | None = None
) -> bool:
    """Whether a final read of so many rows returned them without the service: then it proves nothing of it."""
    if asked_bytes == 0 or asked_packets == 0:
        return True
    return answered_bytes is not None and answered_bytes < max(1, ANSWER_BYTES_A_ROW * rows)


@dataclass(frozen=True, slots=True)
class DoorRead:
    """One final read of all records of one owner through one door.

    Attributes:
        step: 0 a restored store before devices resume (door "restored STORE"), 1 fresh device,
            2 phones' caches after a sync without reset, 4 after cold restart and reset.
        door: "fresh", "cache d-05", "reset d-05" ...: unique per (step, owner).
        round: From 1; a door is read until two rounds agree. The highest round is the one that is judged.
        settled: Whether this round equals the one before it (else not-quiescent, if it is the last).
        invoked, t: Begin and end of the read.
        outcome: ok, or fail with `why`.
        asked_bytes: What this very read sent to the service (to the copy, at a copy's door) while it was made.
        answered_bytes: What came back.
        asked_packets: Of step 2, where a cache is read, instead of both: packets that reached the service meanwhile.
            All of them are None where they were not measured, as in older histories.
    """

    step: int
    door: str
    owner: str
    round: int
    invoked: int
    t: int
    outcome: Literal["ok", "fail"]
    settled: bool = False
    asked_bytes: int | None = field(default=None, kw_only=True)
    answered_bytes: int | None = field(default=None, kw_only=True)
    asked_packets: int | None = field(default=None, kw_only=True)
    rows: tuple[Row, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class FaultEvent:
    """A fault took hold, or ended.

    Attributes:
        index: Its place in the schedule, from 0.
        happened: "injected"; then "healed", or "lasting" for one that is for good; or "missed" (its trigger never
            came).
        phase: Phase in which its trigger lies ("load" or a later one).
        bit: With "healed" and "lasting": whether the injector's own counters reached this fault's minimum.
        evidence: What was counted, by name.
        why: Why it did not bite, or was missed.
        struck: With "injected": by name the LUNs that it struck, with arrays of which it struck all, or the services.
        exceeds: With "injected": it took more copies than the declared redundancy survives, so that `rpo_seconds`
            counts from here.
    """

    index: int
    t: int
    fault: str
    target: str
    happened: Literal["injected", "healed", "lasting", "missed"]
    phase: str = "load"
    bit: bool = False
    evidence: Mapping[str, int | float | str] = field(default_factory=dict)
    why: str = ""
    struck: tuple[str, ...] = ()
    exceeds: bool = False

    @property
    def concludes(self) -> bool:
        """Whether this event carries the evidence of a fault that was injected."""
        return self.happened in ("healed", "lasting")


@dataclass(frozen=True, slots=True)
class PhaseEvent:
    """A phase of the trial began or ended.

    The names: "reset", "canaries", "load", "heal", "recover", "converge", "fresh devices", "caches", "cold restart",
    "reset devices".
    """

    name: str
    t: int
    happened: Literal["begun", "ended"]


@dataclass(frozen=True, slots=True)
class Note:
    """Something else that happened: repairs, steps of the runbook, who has a role, where copies are.

    Attributes:
        topic: "copies" (where a store's copies are), "role" (who has a role that moves from here on: "primary: pg1",
            "primary: pg1, pg2", "primary: nobody"), "fsck" (a boot-time check), "ended" (a service that ended by
            itself), "started" (services that had ended and were started again), "runbook" (what a step of it came to),
            "stalled" (a driver held up all phones), "unrecoverable" (the service does not serve after the runbook),
            "unprotected" (all copies of acknowledged data share one array, or no restore younger than the RPO was
            verified; trials write it for the first, with `topology: strict`).
        text: For people; what pages need again stands in the fields below.
        role: Of the topic "role".
        services: Those that have it from here on; none is nobody.
        store: Of the topic "copies": "records" or "blobs".
        copies: Of the store: each the volume, the array that it is on ("" for none, and for a local disk), and both in
            words, as "array core".
    """

    topic: str
    t: int
    text: str
    role: str = ""
    services: tuple[str, ...] = ()
    store: str = ""
    copies: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class End:
    """Last line. `events` counts the lines before it; a history without it was cut short."""

    t: int
    events: int


Event = Header | Act | Send | Back | DoorRead | FaultEvent | PhaseEvent | Note | End

TAGS: Mapping[str, type] = {
    "header": Header,
    "act": Act,
    "send": Send,
    "back": Back,
    "door": DoorRead,
    "fault": FaultEvent,
    "phase": PhaseEvent,
    "note": Note,
    "end": End,
}
"""The `event` member of a line, and the class that it stands for."""

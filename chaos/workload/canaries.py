"""Two fabricated losses, of a reserved user, that every final read must show to the check, or it is blind.

A is recorded as acknowledged and was never sent. B is created and updated for real; the hash recorded for the
update is wrong. Planting B also finds out a driver whose full read does not ask the service: another process,
in one and the same session, must see the update that this one was acknowledged.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace

from chaos.errors import DriverError, HarnessError
from chaos.experiment.plan import PLAIN_TYPES, RecordType
from chaos.history.events import CANARY_DEVICE, CANARY_OWNER, Act, Back, Kind, Policy, Send, is_unasked
from chaos.workload.drivers.blame import checked_ack
from chaos.workload.drivers.calls import close
from chaos.workload.logbook import Logbook, tell_ack
from chaos.workload.reads.doors import Door, Reader
from chaos.workload.records import digest, make, size_of
from chaos.workload.session import Ack, FrontDoor, Record, Session

CANARIES: Mapping[str, str] = {"A": "canary-a", "B": "canary-b"}
PAUSE_SECONDS = 0.05


async def plant(
    driver: type[Session],
    front_door: FrontDoor,
    logbook: Logbook,
    reader: Reader,
    *,
    policy: Policy = "reject",
    request_seconds_max: float = 2.0,
    kind: RecordType = PLAIN_TYPES[0],
    deadline: float,
) -> None:
    """Plant both, before the load.

    Args:
        driver: The stack's driver.
        front_door: Where the service answers.
        logbook: Of this trial.
        reader: A reader process; it may serve a door afterwards.
        policy: Under last-writer-wins the update is unconditional.
        request_seconds_max: Bound of one attempt.
        kind: What the records are.
        deadline: On `time.monotonic()`.

    Raises:
        HarnessError: The service did not take B in time, or a full read does not show what it took.
    """
    _pretend(logbook, kind)
    session = driver(front_door, user=CANARY_OWNER, device=CANARY_DEVICE)
    planting = _Planting(session, front_door, logbook, reader, request_seconds_max, deadline)
    created = _made("B", "w-canary-b1", kind)
    updated = _made("B", "w-canary-b2", kind)
    try:
        await planting.write("create", created, None, digest(created))
        await planting.see(created)
        wrong = digest(replace(updated, fields={**updated.fields, "note": "never sent"}))
        await planting.write("update", updated, created.write if policy == "reject" else None, wrong)
        await planting.see(updated)
        await planting.read_by_a_stranger()
    finally:
        await close(session, request_seconds_max)


def _made(canary: str, write: str, kind: RecordType) -> Record:
    return make(CANARY_OWNER, CANARIES[canary], write, kind.name, size_bytes=kind.bytes_min)


def _pretend(logbook: Logbook, kind: RecordType) -> None:
    record = _made("A", "w-canary-a", kind)
    op = logbook.number()
    logbook.act(_act(logbook, op, "create", record, None, digest(record)))
    logbook.sink.append(Send(op, 1, logbook.clock()))
    logbook.sink.append(Back(op, 1, logbook.clock(), "ok"))


def _act(logbook: Logbook, op: int, kind: Kind, record: Record, base: str | None, shown_hash: str) -> Act:
    return Act(
        op,
        logbook.clock(),
        f"{CANARY_DEVICE}#1",
        CANARY_DEVICE,
        CANARY_OWNER,
        kind,
        record=record.name,
        type=record.type,
        write=record.write,
        hash=shown_hash,
        key=f"{CANARY_DEVICE}#1/{record.write}",
        base=base,
        size_bytes=size_of(record),
    )


class _Planting:
    """Writes through one session, and looks for the result through another process."""

    def __init__(
        self,
        session: Session,
        front_door: FrontDoor,
        logbook: Logbook,
        reader: Reader,
        request_seconds_max: float,
        deadline: float,
    ) -> None:
        self._session = session
        self._front_door = front_door
        self._logbook = logbook
        self._reader = reader
        self._request_seconds_max = request_seconds_max
        self._deadline = deadline

    async def write(self, kind: Kind, record: Record, base: str | None, shown_hash: str) -> None:
        """Send until acknowledged, always with the same key."""
        op = self._logbook.number()
        act = _act(self._logbook, op, kind, record, base, shown_hash)
        self._logbook.act(act)
        attempts = 0

        async def put() -> Ack:
            return checked_ack(await self._session.put(record, base, act.key), "put")

        while True:
            attempts += 1
            answer = await self._logbook.attempt(op, attempts, put, tell_ack, self._request_seconds_max)
            if answer.outcome in ("ok", "degraded"):
                return
            if answer.defect:
                raise DriverError(
                    f"driver {self._reader.driver}: {answer.defect}; `holdfast driver-test` tries each method of it"
                )
            if answer.final or time.monotonic() >= self._deadline:
                raise HarnessError(
                    f"canary B cannot be planted, its {kind} was not acknowledged: {answer.why}; either the stack does "
                    f"not serve yet, or nothing listens at that port inside the service, or the driver is wrong, which "
                    f"`holdfast driver-test` tells"
                )
            await asyncio.sleep(PAUSE_SECONDS)

    async def see(self, record: Record) -> None:
        """Wait until the other process, through the session that it keeps, reads this version."""
        door = Door("probe", CANARY_OWNER, "probe")
        while True:
            reads = await self._reader.read(
                self._front_door,
                0,
                [door],
                seconds_max=max(0.0, self._deadline - time.monotonic()),
                rounds=1,
                keep_sessions=True,
                impatient=True,
            )
            seen = {row.write for read in reads for row in read.rows}
            if record.write in seen:
                return
            if time.monotonic() >= self._deadline:
                why = (
                    reads[-1].why
                    or f"it returned {', '.join(sorted(write or 'what is no record' for write in seen)) or 'nothing'}"
                )
                raise HarnessError(
                    f"a full read by another device does not show the acknowledged canary write {record.write}: "
                    f"{why}; "
                    f"either `put` of driver {self._reader.driver} returned although the service refused the write, or "
                    f"`everything` answers from a cache, or the stack was not reset before; `holdfast driver-test` "
                    "tells"
                )
            await asyncio.sleep(PAUSE_SECONDS)

    async def read_by_a_stranger(self) -> None:
        """One more read as the final ones are made: counted, and at an address where nobody listens."""
        door = Door("probe", CANARY_OWNER, "stranger")
        seconds_max = max(0.0, self._deadline - time.monotonic())
        reads = await self._reader.read(self._front_door, 0, [door], seconds_max=seconds_max, rounds=1, impatient=True)
        if any(
            read.outcome == "ok" and is_unasked(read.asked_bytes, read.answered_bytes, len(read.rows)) for read in reads
        ):
            raise DriverError(
                f"driver {self._reader.driver}: a full read returned {len(reads[-1].rows)} records and did not ask the "
                f"service; `everything` must ask the front door that the session was given, each time"
            )

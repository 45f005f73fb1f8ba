"""A phone: it works on its cache, keeps an outbox, and sends it in order, again and again with the same keys.

What the user does is in the history at once and takes effect on the phone at once; the service hears of it
when it can be reached. The phone sends one request at a time, oldest first. No answer: the same request with
the same idempotency key, after a pause. Refused: what was based on it is dropped with it, and the phone
syncs. A reset wipes cache, outbox and keys, and the phone starts again with a full read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

from chaos.history.events import Act, Kind, Policy, Row
from chaos.workload.cache import Cache, Known
from chaos.workload.drivers.blame import checked_ack, checked_changes
from chaos.workload.drivers.calls import close
from chaos.workload.logbook import Answer, Logbook, Told, tell_ack
from chaos.workload.records import TYPES, digest, make, may_be_changed, observe, observed, size_of
from chaos.workload.returned import each_of, shown
from chaos.workload.session import Ack, Record, Session

T = TypeVar("T")
NAMES = ("ada", "ben", "cleo", "dev", "eva", "finn", "gus", "hana", "ines", "jon", "kim", "lea", "max", "noa")


@dataclass(frozen=True)
class Habits:
    """How phones of this workload behave.

    Attributes:
        policy: Under last-writer-wins no write is conditional.
        request_seconds_max: After this an attempt is given up, its outcome unknown.
        backoff_seconds: First and longest pause before the same request is tried again.
        types: Of the records that there may be.
    """

    policy: Policy = "reject"
    request_seconds_max: float = 2.0
    backoff_seconds: tuple[float, float] = (0.05, 0.4)
    types: Collection[str] = TYPES


@dataclass(slots=True)
class _Entry:
    """One thing in the outbox. `record` is None for a delete, and `name` empty for a sync or full read."""

    op: int
    kind: Kind
    name: str = ""
    type: str = ""
    record: Record | None = None
    write: str = ""
    base: str | None = None
    key: str = ""
    attempts: int = 0


class Device:
    """One phone of one user over all its resets.

    Attributes:
        name: E.g. "d-05".
        owner: E.g. "u-02".
        broken: What stopped it that should not have: a defect, or a history that cannot be written.
    """

    def __init__(self, name: str, owner: str, connect: Callable[[], Session], logbook: Logbook, habits: Habits) -> None:
        """A new phone, switched on. `connect` makes a session for each incarnation."""
        self.name = name
        self.owner = owner
        self._connect = connect
        self._logbook = logbook
        self._habits = habits
        self.broken: BaseException | None = None
        self._incarnation = 1
        self._online = True
        self._working = False
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._gone: list[Session] = []
        self._start()

    def _start(self) -> None:
        self.cache = Cache()
        self._outbox: deque[_Entry] = deque()
        self._cursor: str | None = None
        self._session = self._connect()
        self._worker: asyncio.Task[None] | None = None
        self._idle.set()

    # What the user does.

    def create(self, kind: str, size_bytes: int = 0) -> None:
        """Create a record of a new name."""
        op = self._logbook.number()
        self._put(op, "create", f"{NAMES[op % len(NAMES)]}-{op}", kind, None, size_bytes)

    def update(self, name: str, size_bytes: int = 0) -> None:
        """Change a record that `choices` offers; a photo gets a new content."""
        known = self.choices()[name]
        self._put(self._logbook.number(), "update", name, known.type, known.row.write, size_bytes)

    def delete(self, name: str) -> None:
        """Delete a record that `choices` offers."""
        known, op = self.choices()[name], self._logbook.number()
        self._enter(_Entry(op, "delete", name, known.type, None, f"w-{op}", known.row.write, self._key(op)))

    def sync(self) -> None:
        """Fetch what changed, once the outbox before it is sent."""
        self._enter(_Entry(self._logbook.number(), "sync"))

    def reset(self) -> None:
        """Wipe cache, outbox and keys, then read everything back as a new session."""
        wiped = sum(1 for entry in self._outbox if entry.name)
        op, now = self._logbook.number(), self._logbook.clock()
        self._logbook.act(Act(op, now, self.session_name, self.name, self.owner, "reset", outbox=wiped))
        if self._worker:
            self._worker.cancel()
        self._gone.append(self._session)
        self._incarnation += 1
        self._start()
        self._online = True
        self._enter(_Entry(self._logbook.number(), "list"))
        self._wake()

    def go_offline(self) -> None:
        """No network from now on; a request that has left is not called back."""
        self._online = False

    def go_online(self) -> None:
        """The network is there again."""
        self._online = True
        self._wake()

    # What it knows.

    @property
    def session_name(self) -> str:
        """Device and incarnation, e.g. "d-05#1"."""
        return f"{self.name}#{self._incarnation}"

    @property
    def cursor(self) -> str | None:
        """Up to where it has synced."""
        return self._cursor

    @property
    def unsent(self) -> int:
        """Creates, updates and deletes in the outbox."""
        return sum(1 for entry in self._outbox if entry.name)

    @property
    def waiting(self) -> set[str]:
        """Names of records of which the outbox has a create, update or delete."""
        return {entry.name for entry in self._outbox if entry.name}

    @property
    def unheard(self) -> bool:
        """Whether it has tried to send a write of which it knows no outcome."""
        return bool(self._outbox) and bool(self._outbox[0].name) and self._outbox[0].attempts > 0

    def choices(self) -> dict[str, Known]:
        """Records that the user sees and may work on: the cache with the outbox laid over it."""
        seen = self._usable()
        for entry in self._outbox:
            if entry.kind == "delete":
                seen.pop(entry.name, None)
            elif entry.record is not None:
                seen[entry.name] = Known(Row(entry.name, self.owner, entry.write, ""), entry.type)
        return seen

    def settled_choices(self) -> dict[str, Known]:
        """Those of `choices` of which nothing waits in the outbox."""
        waiting = self.waiting
        return {name: known for name, known in self._usable().items() if name not in waiting}

    def _usable(self) -> dict[str, Known]:
        sure = self.cache.sure()
        return {name: known for name, known in sure.items() if self._may_be_changed(known)}

    def _may_be_changed(self, known: Known) -> bool:
        return may_be_changed(known.row, known.type, self.owner, self._habits.types)

    # Sending.

    def resume(self) -> None:
        """Work off the outbox from now on."""
        self._working = True
        self._wake()

    async def pause(self) -> None:
        """Begin no further request, wait for the one on its way, and close the connection."""
        self._working = False
        self._changed.set()
        if self._worker:
            await asyncio.wait([self._worker])
        await self._close_sessions()

    async def idle(self) -> None:
        """Wait until the outbox is empty, or nothing can be sent."""
        await self._idle.wait()

    async def close(self) -> None:
        """Stop at once; what is on its way is given up."""
        self._working = False
        if self._worker:
            self._worker.cancel()
            await asyncio.wait([self._worker])
        await self._close_sessions()

    async def sync_now(self) -> str:
        """One delta sync of a paused phone, outside its outbox; returns why it failed, or ""."""
        entry = _Entry(self._logbook.number(), "sync")
        self._act(entry)
        return (await self._exchange(entry)).why

    async def _close_sessions(self) -> None:
        sessions, self._gone = [*self._gone, self._session], []
        for session in sessions:
            await close(session, self._habits.request_seconds_max)

    def _put(self, op: int, kind: Kind, name: str, of_type: str, base: str | None, size_bytes: int) -> None:
        record = make(self.owner, name, f"w-{op}", of_type, size_bytes=size_bytes)
        self._enter(_Entry(op, kind, name, of_type, record, record.write, base, self._key(op)))

    def _condition(self, entry: _Entry) -> str | None:
        """The version that must be there for a write to be taken; what else a phone knew is for the history alone."""
        return entry.base if self._habits.policy == "reject" else None

    def _key(self, op: int) -> str:
        return f"{self.session_name}/{op}"

    def _enter(self, entry: _Entry) -> None:
        self._act(entry)
        self._outbox.append(entry)
        self._wake()

    def _act(self, entry: _Entry) -> None:
        record = entry.record
        self._logbook.act(
            Act(
                entry.op,
                self._logbook.clock(),
                self.session_name,
                self.name,
                self.owner,
                entry.kind,
                record=entry.name,
                type=entry.type,
                write=entry.write,
                hash=digest(record) if record else "",
                key=entry.key,
                base=entry.base,
                size_bytes=size_of(record) if record else 0,
            )
        )

    def _wake(self) -> None:
        self._changed.set()
        if self._outbox and self._online and self._working:
            self._idle.clear()
            if self._worker is None or self._worker.done():
                self._worker = asyncio.create_task(self._work(self._outbox), name=self.session_name)
                self._worker.add_done_callback(self._ended)

    def _ended(self, worker: asyncio.Task[None]) -> None:
        if not worker.cancelled() and (error := worker.exception()):
            self.broken = error
            self._idle.set()

    async def _work(self, outbox: deque[_Entry]) -> None:
        """Send the outbox in order. After a reset this task has nothing left to do."""
        pause, longest = self._habits.backoff_seconds
        delay = pause
        while outbox and self._online and self._working:
            entry = outbox[0]
            if (await self._exchange(entry)).final:
                outbox.popleft()
                delay = pause
                continue
            if entry.kind == "sync":
                # A phone does not insist on a sync: there will be another one.
                outbox.popleft()
            self._changed.clear()
            try:
                async with asyncio.timeout(delay):
                    while self._online and self._working:
                        await self._changed.wait()
                        self._changed.clear()
            except TimeoutError:
                delay = min(2 * delay, longest)
        self._idle.set()

    async def _exchange(self, entry: _Entry) -> Answer[None]:
        """One attempt of one entry, and what it changes on the phone."""
        entry.attempts += 1
        if entry.name:
            return await self._send(entry)
        return await self._fetch(entry)

    async def _send(self, entry: _Entry) -> Answer[None]:
        session, record = self._session, entry.record

        async def call() -> Ack:
            if record is None:
                return checked_ack(await session.delete(entry.name, self._condition(entry), entry.key), "delete")
            return checked_ack(await session.put(record, self._condition(entry), entry.key), "put")

        answer = await self._attempt(entry, call, tell_ack)
        if answer.outcome == "fail" and answer.final:
            self._refused(entry)
        elif answer.final and record is None:
            self.cache.forget(entry.name)
        elif answer.final and record is not None:
            self.cache.learn(observe(record), record.type)
        return Answer(answer.outcome, None, answer.final, answer.why)

    def _refused(self, entry: _Entry) -> None:
        """Drop what was based on the refused write, and find out what is there instead."""
        dropped = {entry.write}
        kept = []
        for other in self._outbox:
            if self._condition(other) in dropped:
                dropped.add(other.write)
            else:
                kept.append(other)
        self._outbox.clear()
        self._outbox.extend(kept)
        self.cache.doubt(entry.name)
        sync = _Entry(self._logbook.number(), "sync")
        self._act(sync)
        self._outbox.insert(1, sync)

    async def _fetch(self, entry: _Entry) -> Answer[None]:
        session, cursor = self._session, self._cursor

        async def changes() -> _Fetched:
            found = checked_changes(await session.changes(cursor))
            gone = tuple(shown(name) for name in each_of(found.deleted, "the list of deleted names"))
            return _Fetched(self._known(found.records), gone, found.cursor, shown(found.by), found.full is True)

        async def everything() -> _Fetched:
            return _Fetched(self._known(await session.everything()), full=True)

        answer = await self._attempt(entry, everything if entry.kind == "list" else changes, _tell_fetched)
        if fetched := answer.result:
            self._take(fetched)
            if entry.kind == "sync":
                self._cursor = fetched.cursor
        return Answer(answer.outcome, None, answer.final, answer.why)

    def _take(self, fetched: _Fetched) -> None:
        if fetched.full:
            self.cache.replace_all(fetched.versions)
        else:
            for known in fetched.versions:
                self.cache.learn(known.row, known.type)
        for name in fetched.deleted:
            self.cache.forget(name)

    def _known(self, records: object) -> tuple[Known, ...]:
        return tuple(Known(row, kind) for row, kind in observed(records, self.owner))

    async def _attempt(self, entry: _Entry, call: Callable[[], Awaitable[T]], tell: Callable[[T], Told]) -> Answer[T]:
        return await self._logbook.attempt(entry.op, entry.attempts, call, tell, self._habits.request_seconds_max)


@dataclass(frozen=True, slots=True)
class _Fetched:
    versions: tuple[Known, ...]
    deleted: tuple[str, ...] = ()
    cursor: str | None = None
    by: str = ""
    full: bool = False


def _tell_fetched(fetched: _Fetched) -> Told:
    rows = tuple(known.row for known in fetched.versions)
    return Told(by=fetched.by, full=fetched.full, rows=rows, gone=fetched.deleted)

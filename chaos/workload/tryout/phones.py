"""The sessions through which a driver is tried, and calls of them: each is bounded, and its result is checked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from chaos.workload.drivers.blame import checked_ack, checked_changes, checked_records
from chaos.workload.drivers.calls import answer_of, close
from chaos.workload.records import make
from chaos.workload.session import Changes, FrontDoor, Record, Session, WriteId
from chaos.workload.tryout.findings import Promises

OWNER: Final = "u-tryout"

T = TypeVar("T")


class Phones:
    """Makes sessions, and closes all of them at the end.

    Attributes:
        seconds_max: So long a call may take.
    """

    def __init__(self, driver: type[Session], service: FrontDoor, promises: Promises) -> None:
        """None is made yet."""
        self._driver = driver
        self._service = service
        self._promises = promises
        self.seconds_max = promises.request_seconds_max
        self._open: list[Session] = []

    def new(self, device: str, *, user: str = OWNER, at: FrontDoor | None = None) -> Session:
        """A session before the service, or at another address."""
        session = self._driver(at or self._service, user=user, device=device)
        self._open.append(session)
        return session

    def record(self, name: str, write: str, kind: int = 0) -> Record:
        """A record of the stack's first type, or of another one."""
        of_type = self._promises.types[kind]
        return make(OWNER, name, write, of_type.name, size_bytes=of_type.bytes_min)

    async def close_all(self) -> None:
        """Close every session that was made."""
        for session in self._open:
            await close(session, self.seconds_max)

    def base(self, record: Record) -> WriteId | None:
        """The base of a write on this version, under the stack's conflict policy."""
        return None if self._promises.policy == "last-writer-wins" else record.write

    async def put(self, session: Session, record: Record, base: WriteId | None) -> None:
        """Put a record, with the same key each time."""
        checked_ack(await self.bounded(lambda: session.put(record, base, f"k-{record.write}")), "put")

    async def delete(self, session: Session, name: str, base: WriteId | None) -> None:
        """Delete a record, with the same key each time."""
        checked_ack(await self.bounded(lambda: session.delete(name, base, f"k-try-delete-{name}")), "delete")

    async def everything(self, session: Session) -> Sequence[Record]:
        """A full read."""
        return checked_records(await self.bounded(session.everything), "everything")

    async def changes(self, session: Session, cursor: str | None) -> Changes:
        """A delta sync."""
        return checked_changes(await self.bounded(lambda: session.changes(cursor)))

    async def bounded(self, call: Callable[[], Awaitable[T]]) -> T:
        """Any other call."""
        return await answer_of(call, self.seconds_max)

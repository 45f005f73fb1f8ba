"""Whether a session can go on after a call that was given up: what is acknowledged afterwards must be there.

A driver that is cancelled in the middle of a transaction and goes on with the same connection writes into a
transaction that nobody will commit, and one that goes on with the late reply takes it for the next one's. Where the
middle is, only the driver knows. So each method is given up at each reply that it waits for: the reply is kept back on
its way, the call is cancelled, and the reply comes late.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from chaos.workload.drivers.blame import defect_of
from chaos.workload.drivers.calls import answer_of
from chaos.workload.logbook import one_line
from chaos.workload.reads.relay import Relay, Relays
from chaos.workload.records import digest
from chaos.workload.session import FrontDoor, Record, Session
from chaos.workload.tryout.findings import WrongError
from chaos.workload.tryout.phones import Phones

METHODS: Final = ("put", "delete", "changes", "everything")
REPLIES_MAX: Final = 16
"""At so many replies of one call, the first ones, it is given up."""
TRIES_MAX: Final = 5
PAUSE_SECONDS: Final = 0.05
_GLANCE_SECONDS: Final = 0.002
_UNBOUNDED_SECONDS: Final = 3600.0
_REMEDY: Final = (
    "drop the connection on which a call was given up (`except BaseException` around it, since that is a "
    "CancelledError), and connect anew for the next one"
)

Call = Callable[[], Awaitable[object]]


class GivingUp:
    """One check: every method of a driver, at every reply."""

    def __init__(self, phones: Phones, other: Session, service: FrontDoor, relays: Relays) -> None:
        """`other` is a session of the same user, which looks at what is there."""
        self._phones = phones
        self._other = other
        self._service = service
        self._relays = relays

    async def check(self) -> None:
        """Give up every call.

        Raises:
            WrongError: A session could not go on, or acknowledged what is not there.
        """
        for method in METHODS:
            replies = 0
            while replies < REPLIES_MAX and await self._is_given_up(method, replies):
                replies += 1

    async def _is_given_up(self, method: str, replies: int) -> bool:
        """Give a call up after so many replies and go on; False where it ended before, since it waits for no more."""
        name, where = f"{method}-{replies}", f"{method}, given up when it waited for reply {replies + 1},"
        with self._relays.to(self._service) as relay:
            session = self._phones.new(f"d-{name}", at=relay.front_door)
            call = await self._call(session, method, self._phones.record(name, f"w-try-{name}"))
            relay.hold(after=replies)
            if not await _is_cancelled(call, relay, self._phones.seconds_max):
                if replies == 0 and relay.holds:
                    raise WrongError(
                        f"{method} returned before any answer came",
                        "await the answer of the address that the session was given, each time",
                    )
                return False
            later = await self._put_at_last(session, f"{name}-later", where)
            acknowledged = f"after {where} a put was acknowledged;"
            await self._look(session, later, f"{acknowledged} everything() of this session")
            await self._look(self._other, later, f"{acknowledged} everything() of another session")
            await self._phones.bounded(session.close)
        await self._look(self._other, later, f"{acknowledged} everything(), once this session was closed,")
        return True

    async def _call(self, session: Session, method: str, record: Record) -> Call:
        if method == "put":
            return lambda: session.put(record, None, f"k-{record.write}")
        if method == "delete":
            await self._phones.put(session, record, None)
            base = self._phones.base(record)
            return lambda: session.delete(record.name, base, f"k-{record.write}-delete")
        return (lambda: session.changes(None)) if method == "changes" else session.everything

    async def _put_at_last(self, session: Session, name: str, where: str) -> Record:
        """Put records until one is acknowledged, as a phone would go on."""
        raised: Exception | None = None
        for number in range(TRIES_MAX):
            record = self._phones.record(f"{name}-{number}", f"w-try-{name}-{number}")
            try:
                await self._phones.put(session, record, None)
            except Exception as error:
                if defect_of(error):
                    raise
                raised = error
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                return record
        raise WrongError(f"after {where} {TRIES_MAX} puts failed, the last with {one_line(raised)}", _REMEDY)

    async def _look(self, session: Session, record: Record, what: str) -> None:
        try:
            found = await self._phones.everything(session)
        except Exception as error:
            if defect_of(error):
                raise
            raise WrongError(f"{what} failed with {one_line(error)}", _REMEDY) from error
        if digest(record) not in {digest(each) for each in found}:
            raise WrongError(f"{what} lacks its record", _REMEDY)


async def _is_cancelled(call: Call, relay: Relay, seconds_max: float) -> bool:
    """Cancel a call when the relay keeps a reply of it, then let the reply go; False where it returned before."""
    task = asyncio.create_task(answer_of(call, _UNBOUNDED_SECONDS))
    deadline = time.monotonic() + seconds_max
    while not task.done() and not relay.keeps_one and time.monotonic() < deadline:
        await asyncio.wait([task], timeout=_GLANCE_SECONDS)
    if task.done():
        return task.exception() is not None
    task.cancel()
    await asyncio.wait([task])
    relay.let_go()
    return True

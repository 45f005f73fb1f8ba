"""Drivers that each break one promise of `docs/drivers.md`; `BREAKS` says which check has to find it, and its words."""

from __future__ import annotations

import asyncio
import contextlib
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace

import aiohttp

from chaos.errors import NotNow, Refused
from chaos.workload.drivers.http import HttpSession
from chaos.workload.session import Ack, Changes, FrontDoor, Record, WriteId


class NoAck(HttpSession):
    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        await super().put(record, base, key)
        return None  # type: ignore[return-value]


class WrongFromTheStart(HttpSession):
    def __init__(self, front_door: FrontDoor, *, user: str, device: str) -> None:
        super().__init__(front_door, user={"name": user}["user"], device=device)


class WrongKey(HttpSession):
    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        ack = await super().put(record, base, key)
        return Ack(by={"served": ack.by}["by"])


class WrongArgument(HttpSession):
    async def everything(self) -> Sequence[Record]:
        found, _ = await self._read("/records")
        return [Record(**row) for row in found["records"]]


class Tidies(HttpSession):
    async def everything(self) -> Sequence[Record]:
        return [_tidied(record) for record in await super().everything()]


class NoPhotos(HttpSession):
    async def everything(self) -> Sequence[Record]:
        return [replace(record, blob=None) for record in await super().everything()]


class OwnKeys(HttpSession):
    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        return await super().put(record, base, str(uuid.uuid4()))


class NewestBase(HttpSession):
    _newest: WriteId = ""

    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        ack = await super().put(record, self._newest or base if base else None, key)
        if base or record.write.endswith("1"):
            self._newest = record.write
        return ack


class UpdatesUnknown(HttpSession):
    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        try:
            return await super().put(record, base, key)
        except NotNow:
            raise
        except Refused as error:
            raise RuntimeError("409") from error


class RefusesUpdates(HttpSession):
    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        if base:
            raise Refused("no updates")
        return await super().put(record, base, key)


class OnePage(HttpSession):
    async def changes(self, cursor: str | None) -> Changes:
        found = await super().changes(cursor)
        return replace(found, records=found.records[:0])


class NothingNew(HttpSession):
    async def changes(self, cursor: str | None) -> Changes:
        found = await super().changes(cursor)
        return replace(found, records=[]) if cursor else found


class KeepsDeleted(HttpSession):
    async def delete(self, name: str, base: WriteId | None, key: str) -> Ack:
        return Ack()


class DeltaCalledFull(HttpSession):
    async def changes(self, cursor: str | None) -> Changes:
        return replace(await super().changes(cursor), full=True)


class NoTombstones(HttpSession):
    async def changes(self, cursor: str | None) -> Changes:
        return replace(await super().changes(cursor), deleted=())


class OneUserForAll(HttpSession):
    def __init__(self, front_door: FrontDoor, *, user: str, device: str) -> None:
        super().__init__(front_door, user="u-tryout", device=device)


class ClosedForGood(HttpSession):
    _closed = False

    async def close(self) -> None:
        self._closed = True
        await super().close()

    async def everything(self) -> Sequence[Record]:
        if self._closed:
            raise RuntimeError("Session is closed")
        return await super().everything()


class Remembers(HttpSession):
    _seen: dict[str, dict[str, Record]] = {}  # noqa: RUF012  (shared on purpose)

    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        ack = await super().put(record, base, key)
        self._seen.setdefault(self._user, {})[record.name] = record
        return ack

    async def delete(self, name: str, base: WriteId | None, key: str) -> Ack:
        ack = await super().delete(name, base, key)
        self._seen[self._user].pop(name, None)
        return ack

    async def everything(self) -> Sequence[Record]:
        return list(self._seen.get(self._user, {}).values())


class EmptyWhenDown(HttpSession):
    async def everything(self) -> Sequence[Record]:
        try:
            return await super().everything()
        except NotNow:
            return []


class SyncsNowhere(HttpSession):
    async def changes(self, cursor: str | None) -> Changes:
        with contextlib.suppress(NotNow):
            return await super().changes(cursor)
        return Changes([], [], cursor or "")


class RefusedWhenDown(HttpSession):
    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        try:
            return await super().put(record, base, key)
        except NotNow as error:
            raise Refused("down") from error


class Assumes(HttpSession):
    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        try:
            return await super().put(record, base, key)
        except aiohttp.ClientError:
            return Ack()


class RefusedWhenCut(HttpSession):
    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        try:
            return await super().put(record, base, key)
        except aiohttp.ClientError as error:
            raise NotNow("connection lost") from error


class Retries(HttpSession):
    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        try:
            return await super().put(record, base, key)
        except aiohttp.ClientError:
            return await super().put(record, base, key)


class GoesOn(HttpSession):
    """As a database link does that was cancelled at its BEGIN: it acknowledges, and nobody commits."""

    _in_a_transaction = False

    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        if self._in_a_transaction:
            return Ack()
        try:
            return await super().put(record, base, key)
        except asyncio.CancelledError:
            self._in_a_transaction = True
            raise


class SnapshotLeftOpen(HttpSession):
    """A read that was given up leaves its transaction open, and later writes belong to that."""

    _in_a_transaction: dict[str, Record] | None = None

    async def everything(self) -> Sequence[Record]:
        try:
            found = list(await super().everything())
        except asyncio.CancelledError:
            self._in_a_transaction = {}
            raise
        return [*found, *(self._in_a_transaction or {}).values()]

    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        if self._in_a_transaction is None:
            return await super().put(record, base, key)
        self._in_a_transaction[record.name] = record
        return Ack()


class LateAnswers(HttpSession):
    """Takes the answer to a read that was given up for the answer to the next one."""

    _late: asyncio.Task[Sequence[Record]] | None = None

    async def everything(self) -> Sequence[Record]:
        asked = self._late or asyncio.create_task(super().everything())
        try:
            found = await asyncio.shield(asked)
        except asyncio.CancelledError:
            self._late = asked
            raise
        self._late = None
        return found

    async def close(self) -> None:
        if self._late is not None:
            self._late.cancel()
            await asyncio.wait([self._late])
            self._late.cancelled() or self._late.exception()
        await super().close()


class GivenUpForGood(HttpSession):
    """Cannot go on with a connection on which a delete was given up."""

    _stuck = False

    async def delete(self, name: str, base: WriteId | None, key: str) -> Ack:
        try:
            return await super().delete(name, base, key)
        except asyncio.CancelledError:
            self._stuck = True
            raise

    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        if self._stuck:
            raise RuntimeError("another operation is in progress")
        return await super().put(record, base, key)


class DeletesUnheard(HttpSession):
    """Sends a delete and does not wait for the answer; the first one it waits for."""

    _sent: asyncio.StreamWriter | None = None

    async def delete(self, name: str, base: WriteId | None, key: str) -> Ack:
        if name == "first":
            return await super().delete(name, base, key)
        _, writer = await asyncio.open_connection(*self._wire.url.removeprefix("http://").split(":"))
        headers = {"Host": "notes", **self._wire.headers, **self._condition(base), "Idempotency-Key": key}
        lines = [f"DELETE /records/{name} HTTP/1.1", *(f"{each}: {value}" for each, value in headers.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        await writer.drain()
        self._sent = writer
        return Ack()

    async def close(self) -> None:
        if self._sent:
            self._sent.close()
        await super().close()


class AcksErrors(HttpSession):
    """Does not look at the status."""

    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        try:
            return await super().put(record, base, key)
        except RuntimeError:
            return Ack()


class RefusesErrors(HttpSession):
    async def delete(self, name: str, base: WriteId | None, key: str) -> Ack:
        try:
            return await super().delete(name, base, key)
        except RuntimeError as error:
            raise Refused(str(error)) from error


class Blocks(HttpSession):
    async def everything(self) -> Sequence[Record]:
        if self._wire.headers["X-Device"] == "d-held":
            urllib.request.urlopen(f"{self._wire.url}/records").read()  # noqa: ASYNC210  (that is what is bad)
        return await super().everything()


def _tidied(record: Record) -> Record:
    return replace(record, fields={name: value.strip().lower() for name, value in record.fields.items()})


GIVEN_UP = "a call that is given up leaves nothing open"

BREAKS: Mapping[type[HttpSession], tuple[str, str]] = {
    NoAck: ("put creates", "put returned None, not an Ack"),
    WrongFromTheStart: ("put creates", "KeyError: 'user', bad_drivers.py:"),
    WrongKey: ("put creates", "KeyError: 'by', bad_drivers.py:"),
    WrongArgument: ("everything shows what was put", "TypeError: Record.__init__"),
    Tidies: ("everything shows what was put", "first came back changed: field"),
    NoPhotos: ("a photo comes back whole", "its blob has None bytes"),
    OwnKeys: ("the same put again changes nothing", "it was refused"),
    RefusesUpdates: ("put updates on its base", "Refused: no updates"),
    NewestBase: ("a put on an old base is refused", "the base is not honoured"),
    UpdatesUnknown: ("a put on an old base is refused", "which means unknown"),
    OnePage: ("changes tells everything from the beginning", "lacks first"),
    NothingNew: ("changes tells what is new", "is not there"),
    DeltaCalledFull: ("changes tells what is new", "full=True lacks first"),
    KeepsDeleted: ("delete deletes", "the record is there afterwards"),
    NoTombstones: ("changes tells what was deleted", "without it"),
    OneUserForAll: ("another user sees nothing of it", "of u-tryout"),
    ClosedForGood: ("a closed session can be used again", "Session is closed"),
    Remembers: ("a fresh process reads the service", "from an address where nobody listens"),
    EmptyWhenDown: ("a fresh process reads the service", "from an address where nobody listens"),
    SyncsNowhere: ("where nobody listens every method raises", "a sync of u-tryout returned"),
    RefusedWhenDown: ("where nobody listens every method raises", "put raised Refused"),
    Assumes: ("a reply that is cut off is unknown", "no answer came through"),
    RefusedWhenCut: ("a reply that is cut off is unknown", "definitely not applied, and the record is there"),
    Retries: ("a reply that is cut off is unknown", "the request was sent 2 times"),
    AcksErrors: ("an error of the service is no yes", "put returned although the service answered with status 500"),
    RefusesErrors: ("an error of the service is no yes", "delete raised Refused (DELETE /records/failing: 500 {})"),
    GoesOn: (GIVEN_UP, "everything() of this session lacks its record"),
    SnapshotLeftOpen: (GIVEN_UP, "everything() of another session lacks its record"),
    LateAnswers: (
        GIVEN_UP,
        "after everything, given up when it waited for reply 1, a put was acknowledged; everything()",
    ),
    GivenUpForGood: (GIVEN_UP, "5 puts failed, the last with RuntimeError: another operation is in progress"),
    DeletesUnheard: (GIVEN_UP, "delete returned before any answer came"),
    Blocks: ("waiting does not block", "held up the event loop"),
}

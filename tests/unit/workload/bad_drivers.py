"""Drivers that each break one promise of `docs/drivers.md`; `BREAKS` says which check has to find it, and its words."""

from __future__ import annotations

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


class Blocks(HttpSession):
    async def everything(self) -> Sequence[Record]:
        if self._headers["X-Device"] == "d-held":
            urllib.request.urlopen(f"{self._url}/records").read()  # noqa: ASYNC210  (that is what is bad)
        return await super().everything()


def _tidied(record: Record) -> Record:
    return replace(record, fields={name: value.strip().lower() for name, value in record.fields.items()})


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
    Blocks: ("waiting does not block", "held up the event loop"),
}

"""The driver of CardDAV and CalDAV servers: a record is an item of an address book or a calendar of its user.

A write is one PUT or DELETE, conditional by If-Match or If-None-Match. A full read is a PROPFIND of each collection,
and REPORTs of what it lists. A collection that is not there is made when something is to be put into it; on a read the
server's 404 for it means that nothing is there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, ClassVar, Final
from urllib.parse import quote

from pydantic import AfterValidator

from chaos.errors import Refused
from chaos.experiment.explain import fail
from chaos.workload.drivers.options import DriverOptions
from chaos.workload.drivers.plain import PlainSession
from chaos.workload.drivers.webdav.cards import is_of_calendars, item_of, record_of
from chaos.workload.drivers.webdav.multistatus import ADDRESS_BOOK, CALENDAR, LIST, Kind, Resource, resources
from chaos.workload.drivers.wire import Answer, Wire, login
from chaos.workload.session import Ack, FrontDoor, Record, WriteId

ITEMS_AT_ONCE: Final = 100
_USER: Final = "{user}"
_XML: Final = {"Content-Type": "application/xml; charset=utf-8"}
_REFUSED: Final = frozenset({400, 404, 409, 410, 412, 413, 415})
_NOT_NOW: Final = frozenset({429, 503})
_NO_COLLECTION: Final = frozenset({404, 409})
_THERE_ALREADY: Final = 405
_MULTISTATUS: Final = 207


def _collection(path: str) -> str:
    if not (path.startswith("/") and path.endswith("/")) or set(path.replace(_USER, "")) & set("{}?# "):
        fail(f"{path!r} is no path of a collection", f"write one as in /dav/{_USER}/contacts/")
    return path


Collection = Annotated[str, AfterValidator(_collection)]


class WebdavOptions(DriverOptions):
    """What `driver: {webdav: {...}}` may say.

    Attributes:
        contacts: Path of the user's address book: contacts, photos and types of the workload's own.
        calendar: Path of the user's calendar: calendar entries and to-dos.
        user: For basic authentication; "": none.
        password: Of each of them.

    In the first three `{user}` is the name of the user whose phone it is.
    """

    contacts: Collection = "/{user}/contacts/"
    calendar: Collection = "/{user}/calendar/"
    user: str = _USER
    password: str = ""


class WebdavSession(PlainSession):
    """One phone with connections of its own to the server."""

    Options = WebdavOptions
    options: ClassVar[WebdavOptions]

    def __init__(self, front_door: FrontDoor, *, user: str, device: str) -> None:
        """Remember where and who."""
        super().__init__(front_door, user=user, device=device)
        name = self.options.user.replace(_USER, user)
        self._wire = Wire(front_door, login(name, self.options.password))
        self._collections: Mapping[Kind, str] = {
            ADDRESS_BOOK: self.options.contacts.replace(_USER, user),
            CALENDAR: self.options.calendar.replace(_USER, user),
        }
        self._items: dict[str, str] = {}
        self._etags: dict[WriteId, str] = {}

    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        """Create an item where there is none, or replace that of the base; without a base, whatever is there."""
        kind = CALENDAR if is_of_calendars(record.type) else ADDRESS_BOOK
        path = self._items.get(record.name) or f"{self._collections[kind]}{record.name}{kind.suffix}"
        headers = {"Content-Type": f"{kind.media_type}; charset=utf-8", **await self._condition(path, base)}
        if base is None and self.creates(record):
            headers["If-None-Match"] = "*"
        item = item_of(record)
        answer = await self._wire.ask("PUT", quote(path), headers, item)
        if base is None and answer.status in _NO_COLLECTION:
            # This one was refused for want of the collection. Other phones may be making it, too.
            await self._make(self._collections[kind], kind.mkcol())
            answer = await self._wire.ask("PUT", quote(path), headers, item)
        _acknowledged(answer)
        self._items[record.name] = path
        if etag := answer.headers.get("ETag", ""):
            self._etags[record.write] = etag
        return Ack()

    async def delete(self, name: str, base: WriteId | None, key: str) -> Ack:
        """Delete an item; that of the base, where it is given."""
        if name not in self._items:
            await self.everything()
        if name not in self._items:
            raise Refused(f"{name} is not there")
        path = self._items[name]
        answer = await self._wire.ask("DELETE", quote(path), await self._condition(path, base))
        _acknowledged(answer)
        return Ack()

    async def everything(self) -> Sequence[Record]:
        """Every item of both collections."""
        return self.met([record for kind in self._collections async for record in self._read(kind)])

    async def close(self) -> None:
        """Close every connection."""
        await self._wire.close()

    async def _condition(self, path: str, base: WriteId | None) -> Mapping[str, str]:
        """If-Match with the etag of the base. One that was not told, or was forgotten by a reset, is asked for."""
        if base is None:
            return {}
        if base not in self._etags:
            answer = await self._wire.ask("GET", quote(path))
            answer.raise_for(refused=_REFUSED, not_now=_NOT_NOW)
            self._learn(path, answer.headers.get("ETag", ""), answer.content.decode("utf-8", "replace"))
        if base not in self._etags:
            raise Refused(f"{path} is no longer at {base}")
        return {"If-Match": self._etags[base]}

    async def _make(self, path: str, body: bytes = b"") -> None:
        """Make a collection, and those that it lies in, unless somebody else has."""
        answer = await self._wire.ask("MKCOL", quote(path), _XML if body else {}, body)
        parent = f"{path.rstrip('/').rpartition('/')[0]}/"
        if answer.status in _NO_COLLECTION and parent != "/":
            await self._make(parent)
            answer = await self._wire.ask("MKCOL", quote(path), _XML if body else {}, body)
        if answer.status != _THERE_ALREADY:
            answer.raise_for(not_now=_NOT_NOW)

    async def _read(self, kind: Kind) -> AsyncIterator[Record]:
        path = self._collections[kind]
        answer = await self._wire.ask("PROPFIND", quote(path), {**_XML, "Depth": "1"}, LIST)
        if answer.status == 404:
            return
        listed = [each.path for each in _told(answer, kind) if not each.is_collection and not each.is_gone]
        for start in range(0, len(listed), ITEMS_AT_ONCE):
            wanted = listed[start : start + ITEMS_AT_ONCE]
            body = kind.multiget(quote(each) for each in wanted)
            answer = await self._wire.ask("REPORT", quote(path), {**_XML, "Depth": "1"}, body)
            found = _told(answer, kind)
            told = {each.path for each in found if each.is_gone or each.text is not None}
            if silent := [each for each in wanted if each not in told]:
                raise RuntimeError(f"{answer.request}: the server says nothing of {', '.join(silent[:3])}")
            for each in found:
                if each.text is not None:
                    yield self._learn(each.path, each.etag, each.text)

    def _learn(self, path: str, etag: str, item: str) -> Record:
        record = record_of(self.user, path, path.rpartition("/")[2].rpartition(".")[0], item)
        if isinstance(record.name, str) and isinstance(record.write, str):
            self._items[record.name] = path
            if etag:
                self._etags[record.write] = etag
        return record


def _acknowledged(answer: Answer) -> None:
    answer.raise_for(refused=_REFUSED, not_now=_NOT_NOW)
    if answer.status == _MULTISTATUS:
        raise RuntimeError(f"{answer}; that may tell of a failure")


def _told(answer: Answer, kind: Kind) -> list[Resource]:
    answer.raise_for()
    if answer.status != _MULTISTATUS:
        raise RuntimeError(f"{answer}; a list of resources comes with 207")
    return list(resources(answer.content, kind))

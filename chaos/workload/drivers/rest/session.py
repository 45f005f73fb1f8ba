"""The driver of JSON services that a YAML file describes: one request per write, and pages of a full read."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from chaos.errors import NotNow, Refused
from chaos.workload.drivers.plain import PlainSession
from chaos.workload.drivers.rest.description import Request, RestOptions
from chaos.workload.drivers.rest.templates import ABSENT, as_text, at, filled, path, told
from chaos.workload.drivers.wire import Answer, Wire, login
from chaos.workload.session import Ack, FrontDoor, Record, WriteId
from chaos.workload.values import damaged, packed_text, unpacked_text

PAGES_MAX: Final = 10_000
_NOT_PACKED: Final = re.compile(r"[\s\"']")
_JSON: Final = {"Content-Type": "application/json"}


class RestSession(PlainSession):
    """One phone with connections of its own to the service."""

    Options = RestOptions
    options: ClassVar[RestOptions]

    def __init__(self, front_door: FrontDoor, *, user: str, device: str) -> None:
        """Remember where and who."""
        super().__init__(front_door, user=user, device=device)
        name = self.options.user.replace("{user}", user)
        self._wire = Wire(front_door, login(name, self.options.password))
        self._revisions: dict[WriteId, str] = {}

    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        """Create, or update: without a base, what the session has met before is updated.

        Raises:
            NotImplementedError: A photo, and the description has no place for its content.
        """
        if record.blob is not None and not self.options.keeps_blobs:
            raise NotImplementedError(
                "driver.rest keeps no photos: put {blob} into its body and name read.blob, or say `photos: 0`"
            )
        new = base is None and self.creates(record)
        request = self.options.create if new else self.options.updating
        values: dict[str, object] = {
            "type": record.type,
            "write": record.write,
            "fields": dict(record.fields),
            "fields_text": json.dumps(dict(record.fields), ensure_ascii=False),
            **{f"fields.{name}": value for name, value in record.fields.items()},
            **({"blob": base64.b64encode(record.blob).decode()} if record.blob is not None else {}),
            **({"packed": packed_text(record)} if self.options.read.packed else {}),
        }
        body = self.options.body_of(request)
        try:
            ack, revision = await self._write(request, body, record.name, base, key, values)
        except NotNow:
            raise
        except Refused:
            if not (new and self.options.prepare):
                raise
            await self._prepare()
            ack, revision = await self._write(request, body, record.name, base, key, values)
        self._know(record.write, revision)
        return ack

    async def delete(self, name: str, base: WriteId | None, key: str) -> Ack:
        """Delete by name."""
        request = self.options.delete
        ack, _ = await self._write(request, request.body, name, base, key, {})
        return ack

    async def everything(self) -> Sequence[Record]:
        """Every record, page by page."""
        read, values = self.options.read, {"user": self.user, "device": self.device}
        page, found = path(read.path, values), list[Record]()
        for number in range(PAGES_MAX):
            answer = await self._wire.ask(read.method, page, self._headers(read.headers, values))
            if answer.status in read.nothing and number == 0:
                break
            answer.raise_for(not_now=self.options.not_now)
            rows = at(read.records, json.loads(answer.content))
            if not isinstance(rows, list):
                raise RuntimeError(f"driver.rest.read.records: there is no list at {read.records!r} of {answer}")
            found += [self._record(row) for row in rows if all(at(p, row) == text for p, text in read.only.items())]
            if not (address := told(read.next, answer)):
                break
            page = _page(address, page)
        else:
            raise RuntimeError(f"{read.path}: more than {PAGES_MAX:,} pages, as if the last one led to the first")
        return self.met(found)

    async def close(self) -> None:
        """Close every connection."""
        await self._wire.close()

    async def _write(
        self, request: Request, body: Any, name: str, base: WriteId | None, key: str, more: Mapping[str, object]
    ) -> tuple[Ack, str]:
        values = {
            "user": self.user,
            "device": self.device,
            "name": name,
            "key": key,
            **({} if base is None else {"base": base}),
            **more,
        }
        if base is not None and self.options.names(request, "revision"):
            values["revision"] = await self._revision(base)
        answer = await self._ask(request, body, values)
        answer.raise_for(refused=self.options.refused, not_now=self.options.not_now)
        return (
            Ack(told(self.options.warning, answer), told(self.options.by, answer)),
            told(self.options.revision, answer),
        )

    async def _prepare(self) -> None:
        """Make what a user's first record needs; what is refused is there already, perhaps made by another phone."""
        for request in self.options.prepare:
            answer = await self._ask(request, request.body, {"user": self.user, "device": self.device})
            if answer.status not in self.options.refused:
                answer.raise_for(not_now=self.options.not_now)

    async def _ask(self, request: Request, body: Any, values: Mapping[str, object]) -> Answer:
        content = b"" if body is None else json.dumps(filled(body, values), ensure_ascii=False).encode()
        headers = {**(_JSON if body is not None else {}), **self._headers(request.headers, values)}
        return await self._wire.ask(request.method, path(request.path, values), headers, io.BytesIO(content))

    def _headers(self, headers: Mapping[str, str], values: Mapping[str, object]) -> dict[str, str]:
        made = {name: filled(value, values) for name, value in {**self.options.headers, **headers}.items()}
        return {name: value for name, value in made.items() if value is not ABSENT}

    async def _revision(self, base: WriteId) -> str:
        """What the service calls the version that this write made. One that was not told is looked for."""
        if base not in self._revisions:
            await self.everything()
        if base not in self._revisions:
            raise Refused(f"nothing there is at {base}")
        return self._revisions[base]

    def _know(self, write: object, revision: str) -> None:
        if isinstance(write, str) and revision:
            self._revisions[write] = revision

    def _record(self, row: Any) -> Record:
        """What the service says of a record, whatever it is: damage is for the check to judge."""
        read = self.options.read
        identity = as_text(at(read.row, row)) if read.row else ""
        if read.packed:
            record = _unpacked(self.user, as_text(at(read.name, row)), at(read.packed, row), identity)
        else:
            fields, blob = _fields(read.fields, row), _content(at(read.blob, row)) if read.blob else None
            name, kind, write = (at(place, row) for place in (read.name, read.type, read.write))
            record = Record(self.user, name, kind, write, fields, blob, identity)
        self._know(record.write, as_text(at(read.revision, row)) if read.revision else "")
        return record


def _unpacked(owner: str, name: str, found: Any, row: str) -> Record:
    """A packed record; quotes, blanks and ends of lines that the service puts around or into it are passed over."""
    if not isinstance(found, str):
        return damaged(owner, name, row, found)
    return unpacked_text(owner, name, row, _NOT_PACKED.sub("", found))


def _fields(places: str | Mapping[str, str], row: Any) -> Any:
    if not isinstance(places, str):
        found = {name: at(place, row) for name, place in places.items()}
        return {name: value for name, value in found.items() if value is not None}
    found = at(places, row)
    try:
        return json.loads(found) if isinstance(found, str) else found
    except ValueError:
        return found


def _content(found: Any) -> Any:
    try:
        return base64.b64decode(found, validate=True) if isinstance(found, str) else found
    except ValueError:
        return found


def _page(address: str, here: str) -> str:
    """The path of the next page, which the service names by a path or a whole URL."""
    parts = urlsplit(address)
    if not parts.path.startswith("/"):
        raise RuntimeError(f"{here}: driver.rest.read.next: {address!r} is no address of a page")
    return f"{parts.path}?{parts.query}" if parts.query else parts.path

"""The driver of the reference gateway: `fixtures/minimal/gateway/app.py` says what travels.

One request per call for a write. A read that returns photos fetches each content by a request of its own.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import aiohttp
import orjson

from chaos.errors import NotNow, Refused
from chaos.workload.session import Ack, Changes, FrontDoor, Record, WriteId

PHOTOS_AT_ONCE = 4
_NOTHING = dict.fromkeys(("row", "name", "type", "write", "revision", "fields", "blob"))


async def send_once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """A middleware for clients of aiohttp that has each request sent once: `ClientSession(middlewares=(send_once,))`.

    By itself aiohttp sends a GET, PUT or DELETE again when a kept connection turns out to be dead, and an attempt that
    the history does not see may not be made.

    Raises:
        aiohttp.ClientOSError: The connection broke; it is unknown whether the service has got the request.
    """
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:  # nothing was sent
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise ConnectionError(*error.args) from error  # of which aiohttp makes a `ClientOSError`


class HttpSession:
    """One phone that talks to the gateway over its own connections.

    Attributes:
        doors: The rows of one database server, which needs asyncpg, and the photos of one blob service.
    """

    doors: ClassVar[Mapping[str, str]] = {
        "replica": "chaos.workload.drivers.copies:ReplicaDoor",
        "blobs": "chaos.workload.drivers.copies:BlobDoor",
    }

    def __init__(self, front_door: FrontDoor, *, user: str, device: str) -> None:
        """Remember where and who; connect when first used, and again after `close`."""
        self._url = f"http://{front_door.host}:{front_door.port}"
        self._photos = f"{self._url}/photos"
        self._headers = {"X-User": user, "X-Device": device}
        self._user = user
        self._client: aiohttp.ClientSession | None = None
        self._revisions: dict[WriteId, str] = {}
        self._names: set[str] = set()

    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        """Create or update: a name that the service has confirmed before is an update."""
        headers = {"Idempotency-Key": key, **self._condition(base)}
        shown = {
            "name": record.name,
            "type": record.type,
            "write": record.write,
            "fields": dict(record.fields),
        }
        body: bytes | io.BytesIO = orjson.dumps(shown)
        if record.blob is not None:
            # Header lines are ASCII, so the metadata must be too. A large body is sent piece by piece, or it would
            # hold up every other phone of the loop.
            headers["X-Record"] = json.dumps(shown, ensure_ascii=True)
            body = io.BytesIO(record.blob)
        if base is None and record.name not in self._names:
            found, by = await self._write("POST", "/records", headers, body)
        else:
            found, by = await self._write("PUT", f"/records/{record.name}", headers, body)
        self._know(record.name, record.write, found["revision"])
        return Ack(found.get("warning", ""), by)

    async def delete(self, name: str, base: WriteId | None, key: str) -> Ack:
        """Delete by name."""
        headers = {"Idempotency-Key": key, **self._condition(base)}
        found, by = await self._write("DELETE", f"/records/{name}", headers, b"")
        return Ack(found.get("warning", ""), by)

    async def changes(self, cursor: str | None) -> Changes:
        """The delta since the cursor."""
        found, by = await self._read(f"/records?since={cursor or ''}")
        records = await self._records(found["records"])
        return Changes(records, found["deleted"], found["cursor"], by)

    async def everything(self) -> Sequence[Record]:
        """Every live record, by a full read."""
        found, _ = await self._read("/records")
        return await self._records(found["records"])

    async def close(self) -> None:
        """Close every connection."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _connected(self) -> aiohttp.ClientSession:
        if self._client is None:
            self._client = aiohttp.ClientSession(
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                middlewares=(send_once,),
            )
        return self._client

    def _condition(self, base: WriteId | None) -> dict[str, str]:
        if base is None:
            return {}
        if base not in self._revisions:
            raise Refused(f"this phone has never seen write {base}, so it cannot name its revision")
        return {"If-Match": self._revisions[base]}

    def _know(self, name: str, write: WriteId, revision: str) -> None:
        self._names.add(name)
        self._revisions[write] = revision

    async def _write(
        self, method: str, path: str, headers: dict[str, str], body: bytes | io.BytesIO
    ) -> tuple[Any, str]:
        try:
            async with self._connected().request(method, self._url + path, headers=headers, data=body) as answer:
                found = await answer.read()
                if answer.status in (400, 404, 409, 412):
                    raise Refused(f"{method} {path}: {answer.status} {_shown(found)}")
                _raise_for(method, path, answer.status, found)
                return orjson.loads(found), answer.headers.get("X-Served-By", "")
        except aiohttp.ClientConnectorError as error:
            raise NotNow(f"no connection: {error}") from error

    async def _read(self, path: str) -> tuple[Any, str]:
        try:
            async with self._connected().get(self._url + path) as answer:
                found = await answer.read()
                _raise_for("GET", path, answer.status, found)
                return orjson.loads(found), answer.headers.get("X-Served-By", "")
        except aiohttp.ClientConnectorError as error:
            raise NotNow(f"no connection: {error}") from error

    async def _photo(self, name: str) -> bytes | None:
        async with self._connected().get(f"{self._photos}/{name}") as answer:
            found = await answer.read()
            if answer.status == 404:
                return None
            _raise_for("GET", f"/{name}", answer.status, found)
            return found

    async def _records(self, rows: Sequence[Any]) -> list[Record]:
        gate = asyncio.Semaphore(PHOTOS_AT_ONCE)

        async def content(name: str) -> bytes | None:
            async with gate:
                return await self._photo(name)

        # What the gateway says of a record goes to the check as it is, whatever it is: damage is for that to judge.
        shown: list[dict[str, Any]] = [{**_NOTHING, **(row if isinstance(row, dict) else {})} for row in rows]
        names = [row["blob"] for row in shown if row["blob"] and isinstance(row["blob"], str)]
        blobs = dict(zip(names, await asyncio.gather(*map(content, names)), strict=True))
        for row in shown:
            name, write, revision = row["name"], row["write"], row["revision"]
            if isinstance(name, str) and isinstance(write, str) and isinstance(revision, str):
                self._know(name, write, revision)
        return [
            Record(
                self._user,
                row["name"],
                row["type"],
                row["write"],
                row["fields"],
                blob=blobs.get(row["blob"]) if isinstance(row["blob"], str) else None,
                row=row["row"],
            )
            for row in shown
        ]


def _raise_for(method: str, path: str, status: int, found: bytes) -> None:
    if status == 503:
        raise NotNow(f"{method} {path}: 503 {_shown(found)}")
    if status >= 400:
        raise RuntimeError(f"{method} {path}: {status} {_shown(found)}")


def _shown(found: bytes) -> str:
    return found[:160].decode("utf-8", "replace")

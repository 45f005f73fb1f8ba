"""The driver of the reference gateway: `fixtures/minimal/gateway/app.py` says what travels.

One request per call for a write. A read that returns photos fetches each content by a request of its own.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import orjson

from chaos.errors import Refused
from chaos.workload.drivers.wire import Answer, Wire
from chaos.workload.session import Ack, Changes, FrontDoor, Record, WriteId

PHOTOS_AT_ONCE = 4
_REFUSED = frozenset({400, 404, 409, 412})
_NOTHING = dict.fromkeys(("row", "name", "type", "write", "revision", "fields", "blob"))


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
        self._wire = Wire(front_door, {"X-User": user, "X-Device": device})
        self._photos = (self._wire, "/photos")
        self._user = user
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
        await self._wire.close()

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
        answer = await self._wire.ask(method, path, headers, body)
        answer.raise_for(refused=_REFUSED)
        return _told(answer)

    async def _read(self, path: str) -> tuple[Any, str]:
        answer = await self._wire.ask("GET", path)
        answer.raise_for()
        return _told(answer)

    async def _photo(self, name: str) -> bytes | None:
        wire, path = self._photos
        answer = await wire.ask("GET", f"{path}/{name}")
        if answer.status == 404:
            return None
        answer.raise_for()
        return answer.content

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


def _told(answer: Answer) -> tuple[Any, str]:
    """What an answer says, and who gave it."""
    return orjson.loads(answer.content), answer.headers.get("X-Served-By", "")

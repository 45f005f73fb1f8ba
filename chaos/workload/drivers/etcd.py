"""The driver `etcd`: each record is a key, spoken of through the JSON gateway that every etcd 3.4 and later has.

Each write is one transaction. A conditional one compares the revision at which the key was last written, so a phone
keeps the revision of every write that it made or read. Reads are linearizable, and in pages by the last key of the page
before.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any, ClassVar, Final

import orjson

from chaos.errors import NotNow, Refused
from chaos.workload.drivers.options import DriverOptions
from chaos.workload.drivers.plain import ConnectedSession
from chaos.workload.drivers.wire import Wire
from chaos.workload.session import Ack, FrontDoor, Record, WriteId
from chaos.workload.values import packed, unpacked

PAGE: Final = 16
"""Records of one answer: with photos of 2 MB it has 43 MB, since the gateway's JSON has bytes as base64."""
INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNAUTHENTICATED = 3, 8, 16
"""Codes of gRPC."""


class EtcdOptions(DriverOptions):
    """What `driver: {etcd: {...}}` may say.

    Attributes:
        user: Who asks, where the cluster has authentication on; empty: nobody.
        password: Of that user.
        prefix: How the keys begin; the user's name, a slash and the record's name follow.
    """

    user: str = ""
    password: str = ""
    prefix: str = "holdfast/"


class EtcdSession(ConnectedSession[Wire]):
    """One phone with its own connections to one member.

    Attributes:
        options: Those of the stack or the experiment.
    """

    Options = EtcdOptions
    options: ClassVar[EtcdOptions] = EtcdOptions()

    def __init__(self, front_door: FrontDoor, *, user: str, device: str) -> None:
        """Remember the arguments; connect when first used, and again after `close`."""
        super().__init__(front_door, user=user, device=device)
        self._revisions: dict[WriteId, str] = {}

    async def connect(self) -> Wire:
        """What is needed to ask, with a token where a user is stated."""
        wire = Wire(self.front_door)
        if not self.options.user:
            return wire
        who = {"name": self.options.user, "password": self.options.password}
        try:
            token = (await _answer(wire, "/v3/auth/authenticate", who))["token"]
        finally:
            await wire.close()
        return Wire(self.front_door, {"Authorization": token})

    async def disconnect(self, link: Wire) -> None:
        """Close every connection."""
        await link.close()

    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        """Create or update; without a base a name that the session knows is overwritten."""
        compare = self._at(record.name, base)
        if base is None and self.creates(record):
            compare = [{"target": "CREATE", "result": "EQUAL", "key": self._key(record.name), "create_revision": "0"}]
        put = {"request_put": {"key": self._key(record.name), "value": _text(packed(record))}}
        done = await self._do(compare, put, f"{record.name} {'exists' if base is None else 'is no longer at ' + base}")
        self._revisions[record.write] = done["header"]["revision"]
        return Ack()

    async def delete(self, name: str, base: WriteId | None, key: str) -> Ack:
        """Delete by name."""
        delete = {"request_delete_range": {"key": self._key(name)}}
        done = await self._do(self._at(name, base), delete, f"{name} is no longer at {base}")
        if not int(done["responses"][0]["response_delete_range"].get("deleted", 0)):
            raise Refused(f"{name} is not there")
        return Ack()

    async def everything(self) -> Sequence[Record]:
        """Every key of the user, page by page."""
        prefix = start = self._prefix
        end = prefix[:-1] + b"0"  # which comes after the slash
        records: list[Record] = []
        more = True
        while more:
            wanted = {"key": _text(start), "range_end": _text(end), "limit": PAGE}
            page = await self._ask("/v3/kv/range", wanted)
            for each in page.get("kvs", ()):
                key = base64.b64decode(each["key"])
                record = unpacked(self.user, key.removeprefix(prefix), base64.b64decode(each.get("value", "")))
                self._revisions[record.write] = each["mod_revision"]
                records.append(record)
                start = key + b"\0"
            more = bool(page.get("more"))
        return self.met(records)

    @property
    def _prefix(self) -> bytes:
        return f"{self.options.prefix}{self.user}/".encode()

    def _key(self, name: str) -> str:
        return _text(self._prefix + name.encode())

    def _at(self, name: str, base: WriteId | None) -> list[dict[str, str]]:
        """The condition that the key was last written by the base."""
        if base is None:
            return []
        if base not in self._revisions:
            raise Refused(f"this phone has never seen write {base}, so it cannot name its revision")
        revision = self._revisions[base]
        return [{"target": "MOD", "result": "EQUAL", "key": self._key(name), "mod_revision": revision}]

    async def _do(self, compare: list[dict[str, str]], action: dict[str, Any], otherwise: str) -> Any:
        done = await self._ask("/v3/kv/txn", {"compare": compare, "success": [action]})
        if not done.get("succeeded"):
            raise Refused(otherwise)
        return done

    async def _ask(self, path: str, wanted: dict[str, Any]) -> Any:
        async with self.connected() as wire:
            return await _answer(wire, path, wanted)


async def _answer(wire: Wire, path: str, wanted: dict[str, Any]) -> Any:
    """What the gateway answers to one request.

    Raises:
        NotNow: Nothing was sent, or the server says that it did not take it up.
        Refused: The server will never take such a request.
        Exception: Everything else. "Request timed out", which comes with 503, may be applied, and so may be what is
            answered with "database space exceeded".
    """
    answer = await wire.ask("POST", path, body=io.BytesIO(orjson.dumps(wanted)))
    found = answer.content
    if answer.status != 200:
        code = _code(found)
        if code == UNAUTHENTICATED or (code == RESOURCE_EXHAUSTED and b"too many requests" in found):
            raise NotNow(str(answer))
        if code == INVALID_ARGUMENT or (code == RESOURCE_EXHAUSTED and b"larger than max" in found):
            raise Refused(str(answer))
        raise RuntimeError(str(answer))
    document = orjson.loads(found)
    if not isinstance(document, dict) or "header" not in document:
        raise RuntimeError(f"{answer}: this is no answer of etcd's")
    return document


def _code(found: bytes) -> int:
    try:
        return int(orjson.loads(found)["code"])
    except (ValueError, TypeError, LookupError):
        return -1


def _text(key_or_value: bytes) -> str:
    """Bytes as the gateway's JSON has them."""
    return base64.b64encode(key_or_value).decode()

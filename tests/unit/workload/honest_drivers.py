"""Drivers that are honest in their own ways: what they read must count, whatever their connections look like."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import aiohttp

from chaos.errors import Refused
from chaos.workload.drivers.http import HttpSession
from chaos.workload.drivers.plain import PlainSession
from chaos.workload.drivers.wire import Wire, send_once
from chaos.workload.records import size_of
from chaos.workload.session import Ack, FrontDoor, Record, WriteId

BLOCKED_SECONDS = 25.0
"""Longer than the agent waits for a sign of life."""


class OneConnectionForAll(HttpSession):
    """All users of a process share one connection to each address, which is kept alive."""

    def __init__(self, front_door: FrontDoor, *, user: str, device: str) -> None:
        super().__init__(front_door, user=user, device=device)
        self._wire = _SharedWire(front_door, self._wire.headers)

    async def close(self) -> None:
        """It is everybody's."""


class _SharedWire(Wire):
    """The shared client with one user's headers."""

    _shared: aiohttp.ClientSession | None = None

    def _connected(self) -> Any:
        if _SharedWire._shared is None:
            connector = aiohttp.TCPConnector(limit_per_host=1, keepalive_timeout=60)
            _SharedWire._shared = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), middlewares=(send_once,)
            )
        return _Mine(_SharedWire._shared, self.headers)


class _Mine:
    """A client whose requests all have these headers."""

    def __init__(self, shared: aiohttp.ClientSession, headers: dict[str, str]) -> None:
        self._shared, self._headers = shared, headers

    def request(self, method: str, url: object, *, headers: dict[str, str] | None, **more: Any) -> Any:
        return self._shared.request(method, str(url), headers={**self._headers, **(headers or {})}, **more)


class OneConnectionEach(HttpSession):
    """Closes its connection after every full read."""

    async def everything(self) -> Sequence[Record]:
        try:
            return await super().everything()
        finally:
            await self.close()


class BlocksOnce(HttpSession):
    """Holds up the event loop once, in the middle of the load."""

    _calls = 0

    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        BlocksOnce._calls += 1
        if BlocksOnce._calls == 60:
            time.sleep(BLOCKED_SECONDS)  # noqa: ASYNC251  (that is what it is for)
        return await super().put(record, base, key)


class MisspellsAField(HttpSession):
    """Has a defect in `put`."""

    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        ack = await super().put(record, base, key)
        return Ack(by={"served_by": ack.by}["servd_by"])


class InvoicesAlone(HttpSession):
    """A service that stores nothing but invoices of at most 900 bytes."""

    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        if record.type != "invoice" or size_of(record) > 900:
            raise Refused(f"{record.name} is no invoice")
        return await super().put(record, base, key)


class Plain(PlainSession):
    """Has no delta sync: phones make a full read each time."""

    def __init__(self, front_door: FrontDoor, *, user: str, device: str) -> None:
        super().__init__(front_door, user=user, device=device)
        self._http = HttpSession(front_door, user=user, device=device)

    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        return await self._http.put(record, base, key)

    async def delete(self, name: str, base: WriteId | None, key: str) -> Ack:
        return await self._http.delete(name, base, key)

    async def everything(self) -> Sequence[Record]:
        return await self._http.everything()

    async def close(self) -> None:
        await self._http.close()

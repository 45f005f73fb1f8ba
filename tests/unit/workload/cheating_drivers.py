"""Drivers whose full read answers from what they remember. Not one of them may ever lead to HELD."""

from __future__ import annotations

from collections.abc import Sequence

from chaos.workload.drivers.http import HttpSession
from chaos.workload.session import Ack, FrontDoor, Record, WriteId


class WrittenBySession(HttpSession):
    """Returns what this session itself has written."""

    def __init__(self, front_door: FrontDoor, *, user: str, device: str) -> None:
        super().__init__(front_door, user=user, device=device)
        self._mine: dict[str, Record] = {}

    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        ack = await super().put(record, base, key)
        self._mine[record.name] = record
        return ack

    async def everything(self) -> Sequence[Record]:
        return list(self._mine.values())


class WrittenByProcess(HttpSession):
    """Returns what any session of this process has written for the user."""

    _all: dict[str, dict[str, Record]] = {}  # noqa: RUF012  (shared on purpose)

    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        ack = await super().put(record, base, key)
        self._all.setdefault(record.owner, {})[record.name] = record
        return ack

    async def everything(self) -> Sequence[Record]:
        return list(self._all.get(self._user, {}).values())


class ReadOncePerSession(HttpSession):
    """Asks the service once per session, then never again."""

    _once: Sequence[Record] | None = None

    async def everything(self) -> Sequence[Record]:
        if self._once is None:
            self._once = await super().everything()
        return self._once


class ReadOncePerProcess(HttpSession):
    """Asks the service once per user and process, then never again."""

    _once: dict[str, Sequence[Record]] = {}  # noqa: RUF012  (shared on purpose)

    async def everything(self) -> Sequence[Record]:
        if self._user not in self._once:
            self._once[self._user] = await super().everything()
        return self._once[self._user]


class Chatty(HttpSession):
    """Honest, but prints on every read."""

    async def everything(self) -> Sequence[Record]:
        print("reading", flush=True)  # noqa: T201
        return await super().everything()

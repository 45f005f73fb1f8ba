"""Drivers that return or raise what no driver should: `chaos.workload.reads.reader` imports them by name."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

from chaos.workload.records import make
from chaos.workload.session import FrontDoor, Record
from tests.unit.workload.fakes import MemorySession

WHOLE = make("u-01", "ada-1", "w-1", "contact")


class Odd(MemorySession):
    def __init__(self, front_door: FrontDoor, *, user: str, device: str) -> None:
        super().__init__(front_door, user=user, device=device)
        self._front = front_door

    async def everything(self) -> Any:
        """Ask the service, whatever is answered then: where nobody listens nothing may be returned."""
        _, writer = await asyncio.open_connection(self._front.host, self._front.port)
        writer.close()
        return self.answer()

    def answer(self) -> Any:
        raise NotImplementedError


class Nulls(Odd):
    def answer(self) -> Any:
        nulls: Any = dict.fromkeys(WHOLE.fields)
        nothing: Any = None
        return [
            Record("u-01", "ada-1", "contact", "w-1", nulls),
            Record(nothing, nothing, nothing, nothing, nothing),
            None,
        ]


class Surrogates(Odd):
    def answer(self) -> Any:
        broken = {name: f"{value}\ud800" for name, value in WHOLE.fields.items()}
        return [Record("u-01", "ada-1", "contact", "w-1", broken), Record("u-01", "\udfff", "contact", "w\0", broken)]


class Huge(Odd):
    def answer(self) -> Any:
        name, number = "n" * 5_000_000, 10**6_000
        odd: Any = number
        return [Record("u-01", name, name, name, {name: name}, row=name), Record(odd, odd, odd, odd, odd, odd, odd)]


class Lazy(Odd):
    def answer(self) -> Iterator[Record]:
        yield WHOLE


class NoList(Odd):
    def answer(self) -> Any:
        return {"records": [WHOLE]}


class Nothing(Odd):
    def answer(self) -> Any:
        return None


class Streamed(Odd):
    def answer(self) -> Any:
        async def stream() -> AsyncIterator[Record]:
            yield WHOLE

        return stream()


class Endless(Odd):
    """Each of its rows is as large as one can be, so that the limit is met soon."""

    def answer(self) -> Iterator[Record]:
        stamps = "".join(f"[{'u' * 80}|{'r' * 80}|{number:080}]" for number in range(20))
        while True:
            yield Record("u-01", "ada-1", "contact", "w-1", {"note": stamps})


class Exits(Odd):
    def answer(self) -> Any:
        sys.exit("no service, no driver")


class Cancels(Odd):
    def answer(self) -> Any:
        raise asyncio.CancelledError


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


class Unspeakable(Odd):
    def answer(self) -> Any:
        raise UnspeakableError


class Surrogate(Odd):
    def answer(self) -> Any:
        raise ValueError("the service said \ud800")


class Confiding(Odd):
    def answer(self) -> Any:
        raise ValueError(f"{'x' * 90}\n{'x' * 80} sword-and-fish")


class Tells(Odd):
    async def put(self, record: Record, base: str | None, key: str) -> Any:
        raise ConnectionError("postgres://sync:s3cr3t@db refused")

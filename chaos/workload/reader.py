"""The final reads, in a process of their own: `python -m chaos.workload.reader`.

A driver that answers a full read from what it remembers would hide every loss. It cannot remember here: the
process is new, each round has a session of its own, and nothing is written through it. `chaos.workload.doors`
is its other side.

Jobs come as JSON lines on stdin; answers go to stdout, one line per final read, then `{"done": true}`. The
first job may come long after the start, so that the imports are over by then. End of stdin ends the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from chaos.errors import UsageError
from chaos.history.events import DoorRead, Row
from chaos.workload.drivers import load_driver
from chaos.workload.logbook import one_line
from chaos.workload.records import observe
from chaos.workload.session import FrontDoor, Session

DOORS_AT_ONCE = 6
ROUNDS_MAX = 10
PAUSE_SECONDS = 0.1
LINE_BYTES_MAX = 16 << 20


class _Reading:
    """One job: some doors of one step."""

    def __init__(
        self,
        job: dict[str, Any],
        driver: type[Session],
        kept: dict[str, Session],
        say: Callable[[object], None],
    ) -> None:
        self._step = int(job["step"])
        self._doors: Sequence[Sequence[str]] = job["doors"]
        self._request_seconds_max = float(job["request_seconds_max"])
        self._deadline = time.monotonic() + float(job["seconds_max"])
        self._rounds = int(job["rounds"])
        self._keep = bool(job["keep"])
        self._front_door = FrontDoor(job["host"], job["port"], {k: (v[0], v[1]) for k, v in job["others"].items()})
        self._driver = driver
        self._kept = kept
        self._say = say
        self._gate = asyncio.Semaphore(DOORS_AT_ONCE)

    async def run(self) -> None:
        await asyncio.gather(*(self._door(*door) for door in self._doors))

    async def _door(self, door: str, owner: str, device: str) -> None:
        """Read until two rounds agree, the rounds or the time are used up."""
        before: tuple[Row, ...] | None = None
        number = 0
        while True:
            invoked = time.monotonic_ns()
            why = ""
            rows: tuple[Row, ...] = ()
            try:
                async with self._gate:
                    invoked = time.monotonic_ns()
                    rows = await self._read(owner, device)
            except Exception as error:  # noqa: BLE001  (whatever a driver raises: the door could not be read)
                why = one_line(error)
                if time.monotonic() < self._deadline:
                    await asyncio.sleep(PAUSE_SECONDS)
                    continue
            number += 1
            settled = not why and rows == before
            self._say(
                DoorRead(
                    self._step,
                    door,
                    owner,
                    number,
                    invoked,
                    time.monotonic_ns(),
                    "fail" if why else "ok",
                    settled=settled,
                    rows=rows,
                    why=why,
                )
            )
            if why or settled or number >= self._rounds or time.monotonic() >= self._deadline:
                return
            before = rows

    async def _read(self, owner: str, device: str) -> tuple[Row, ...]:
        session = self._kept.get(device) if self._keep else None
        if session is None:
            session = self._driver(self._front_door, user=owner, device=device)
        if self._keep:
            self._kept[device] = session
        try:
            async with asyncio.timeout(self._request_seconds_max):
                records = await session.everything()
        except TimeoutError:
            raise TimeoutError(f"no answer in {self._request_seconds_max:g} s") from None
        finally:
            if not self._keep:
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(self._request_seconds_max):
                        await session.close()
        return tuple(sorted((observe(record) for record in records), key=lambda row: (row.record, row.row, row.hash)))


async def _serve(driver: type[Session], stdin: int, say: Callable[[object], None]) -> None:
    stream = asyncio.StreamReader(limit=LINE_BYTES_MAX)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(stdin, "rb", buffering=0)
    )
    kept: dict[str, Session] = {}
    say({"ready": True})
    running: set[asyncio.Task[None]] = set()

    async def work(line: bytes) -> None:
        await _Reading(orjson.loads(line), driver, kept, say).run()
        say({"done": True})

    while line := await stream.readline():
        task = asyncio.create_task(work(line))
        running.add(task)
        task.add_done_callback(running.discard)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    for session in kept.values():
        with contextlib.suppress(Exception):
            async with asyncio.timeout(1.0):
                await session.close()


def main() -> None:
    """Read jobs until the end of stdin. Arguments: the driver's name, and its folder or ""."""
    # The terminal sends Ctrl-C to the whole group; the controller decides, and ends this by closing stdin.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A driver may print; that must not get between the answers.
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)

    def say(answer: object) -> None:
        line = memoryview(orjson.dumps(answer, option=orjson.OPT_APPEND_NEWLINE))
        while line:
            line = line[out.write(line) :]

    name, folder = sys.argv[1], sys.argv[2]
    try:
        driver = load_driver(name, Path(folder) if folder else None)
    except UsageError as error:
        say({"error": str(error)})
        return
    with contextlib.suppress(BrokenPipeError):
        asyncio.run(_serve(driver, os.dup(0), say))


if __name__ == "__main__":
    main()

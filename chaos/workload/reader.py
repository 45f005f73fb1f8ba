"""The final reads, in processes of their own: `python -m chaos.workload.reader`.

A driver that answers a full read from what it remembers would hide every loss. It cannot remember here: every
reader is a new process, forked from one that has imported the driver and never made a session; each round has a
session of its own, and nothing is written through it. `chaos.workload.doors` is its other side.

A reader gets its jobs as JSON lines over a socket and answers over it, one line per final read, then
`{"done": true}`. It ends with the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from chaos.errors import UsageError
from chaos.history.events import DoorRead, Row
from chaos.workload.drivers import load_doors, load_driver
from chaos.workload.logbook import said
from chaos.workload.records import observed
from chaos.workload.session import Copy, FrontDoor, Session

DOORS_AT_ONCE = 6
ROUNDS_MAX = 10
PAUSE_SECONDS = 0.1
LINE_BYTES_MAX = 64 << 20


class _Reading:
    """One job: some doors of one step."""

    def __init__(
        self,
        job: dict[str, Any],
        driver: type[Session],
        kept: dict[str, Session | Copy],
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

    async def _door(self, door: str, owner: str, device: str, kind: str, at: str) -> None:
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
                    rows = await self._read(owner, device, kind, at)
            except (Exception, SystemExit, asyncio.CancelledError) as error:
                # Whatever a driver raises: the door could not be read.
                if _is_over(error):
                    raise
                why = said(error)
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

    async def _read(self, owner: str, device: str, kind: str, at: str) -> tuple[Row, ...]:
        session: Session | Copy | None = self._kept.get(device) if self._keep else None
        if session is None and kind:
            session = load_doors(self._driver, [kind])[kind](self._front_door, at, user=owner)
        elif session is None:
            session = self._driver(self._front_door, user=owner, device=device)
        if self._keep:
            self._kept[device] = session
        try:
            async with asyncio.timeout(self._request_seconds_max):
                # Within the time and before the session is closed: it may be a generator.
                rows = [row for row, _ in observed(await session.everything(), owner)]
        except TimeoutError:
            raise TimeoutError(f"no answer in {self._request_seconds_max:g} s") from None
        finally:
            if not self._keep:
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(self._request_seconds_max):
                        await session.close()
        return tuple(sorted(rows, key=lambda row: (row.record, row.row, row.hash)))


def _is_over(error: BaseException) -> bool:
    """Whether this reader has been cancelled; a driver may raise the same by itself."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


async def _serve(driver: type[Session], link: socket.socket) -> None:
    """Do the jobs that come over `link` until it ends."""
    jobs, answers = await asyncio.open_connection(sock=link, limit=LINE_BYTES_MAX)

    def say(answer: object) -> None:
        answers.write(orjson.dumps(answer, option=orjson.OPT_APPEND_NEWLINE))

    kept: dict[str, Session | Copy] = {}
    running: set[asyncio.Task[None]] = set()

    async def work(line: bytes) -> None:
        await _Reading(orjson.loads(line), driver, kept, say).run()
        say({"done": True})
        await answers.drain()

    while line := await jobs.readline():
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
    """Fork a reader for every socket that comes over stdin, until that ends.

    Arguments: the driver's name, and its folder or "". This process only imports the driver, once for all.
    """
    # The terminal sends Ctrl-C to the whole group; the controller decides, and ends this by closing stdin.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for readers
    control = socket.socket(fileno=os.dup(0))
    name, folder = sys.argv[1], sys.argv[2]
    driver: type[Session] | None = None
    trouble = b""
    try:
        driver = load_driver(name, Path(folder) if folder else None)
    except UsageError as error:
        trouble = orjson.dumps({"error": str(error)}, option=orjson.OPT_APPEND_NEWLINE)
    while True:
        message, handles, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return
        link = socket.socket(fileno=handles[0])
        if driver is None:
            link.sendall(trouble)
        elif os.fork() == 0:
            control.close()
            with contextlib.suppress(ConnectionError):
                asyncio.run(_serve(driver, link))
            os._exit(0)
        link.close()


if __name__ == "__main__":
    main()

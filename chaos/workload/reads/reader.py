"""The final reads, in processes of their own: `python -m chaos.workload.reads.reader`.

A driver that answers a full read from what it remembers would hide every loss. It cannot remember here: every
reader is a new process, forked from one that has imported the driver and never made a session; each round has a
session of its own, and nothing is written through it. Nor can it look anything up unseen: a reader has a folder, HOME
and TMPDIR of its own, each round reaches the service by ports that count (`chaos.workload.reads.relay`), and beside the
doors every owner is read once at an address where nobody listens. `chaos.workload.reads.doors` is the controller's end.

A reader gets its jobs as JSON lines over a socket and answers over it, one line per final read, then
`{"done": true}`. It ends with the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import os
import shutil
import signal
import site
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from chaos.errors import UsageError
from chaos.experiment.drivers import DriverChoice
from chaos.history.events import DoorRead, Row
from chaos.workload.drivers import chosen_driver, load_doors
from chaos.workload.drivers.blame import defect_of
from chaos.workload.drivers.calls import answer_of, close
from chaos.workload.logbook import said
from chaos.workload.reads.relay import DEAD_SECONDS_MAX, Carried, Relays, dead
from chaos.workload.records import observed
from chaos.workload.session import Copy, FrontDoor, Session

DOORS_AT_ONCE = 6
ROUNDS_MAX = 10
PAUSE_SECONDS = 0.1
LINE_BYTES_MAX = 64 << 20
OPTIONS_VARIABLE = "HOLDFAST_DRIVER_OPTIONS"
"""Of the environment: the options of the driver, as JSON."""


class _Reading:
    """One job: some doors of one step."""

    def __init__(
        self,
        job: dict[str, Any],
        driver: type[Session],
        kept: dict[str, Session | Copy],
        relays: Relays,
        say: Callable[[object], None],
    ) -> None:
        self._step = int(job["step"])
        self._doors: Sequence[Sequence[str]] = job["doors"]
        self._request_seconds_max = float(job["request_seconds_max"])
        self._deadline = time.monotonic() + float(job["seconds_max"])
        self._rounds = int(job["rounds"])
        self._keep = bool(job["keep"])
        self._impatient = bool(job["impatient"])
        self._front_door = FrontDoor(job["host"], job["port"], {k: (v[0], v[1]) for k, v in job["others"].items()})
        self._driver = driver
        self._kept = kept
        self._relays = relays
        self._say = say
        self._gate = asyncio.Semaphore(DOORS_AT_ONCE)

    async def run(self) -> None:
        owners = {(kind, owner): (owner, device, kind, at) for _, owner, device, kind, at in self._doors}
        await asyncio.gather(
            *(self._door(*door) for door in self._doors), *(self._dead(*each) for each in owners.values())
        )

    async def _dead(self, owner: str, device: str, kind: str, at: str) -> None:
        """Read where nobody listens: whoever returns has not asked the service, and never does."""
        if self._keep:
            return
        with dead(self._front_door) as nobody:
            try:
                rows = await self._read(self._session(nobody, owner, device, kind, at), owner, DEAD_SECONDS_MAX)
            except Exception:  # noqa: BLE001
                return  # as it must be; in what words is the driver's
        self._say({"undead": {"owner": owner, "kind": kind, "rows": len(rows)}})

    async def _door(self, door: str, owner: str, device: str, kind: str, at: str) -> None:
        """Read until two rounds agree, the rounds or the time are used up."""
        before: tuple[Row, ...] | None = None
        number = 0
        while True:
            invoked = time.monotonic_ns()
            why = ""
            rows: tuple[Row, ...] = ()
            carried: Carried | None = None
            try:
                async with self._gate:
                    invoked = time.monotonic_ns()
                    rows, carried = await self._ask(owner, device, kind, at)
            except Exception as error:  # noqa: BLE001  (whatever a driver raises: the door could not be read)
                defect = defect_of(error)
                why = defect or said(error)
                if self._impatient and defect:
                    self._say({"defect": defect})
                    return
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
                    asked_bytes=carried.asked_bytes if carried else None,
                    answered_bytes=carried.answered_bytes if carried else None,
                    rows=rows,
                    why=why,
                )
            )
            if why or settled or number >= self._rounds or time.monotonic() >= self._deadline:
                return
            before = rows

    async def _ask(self, owner: str, device: str, kind: str, at: str) -> tuple[tuple[Row, ...], Carried | None]:
        """One full read: what it showed, and what went to the service for it and came back."""
        carried: Carried | None = None
        if self._keep:
            session = self._kept.get(device) or self._session(self._front_door, owner, device, kind, at)
            self._kept[device] = session
            rows = await self._read(session, owner, self._request_seconds_max)
        else:
            with self._relays.to(self._front_door) as relay:
                try:
                    session = self._session(relay.front_door, owner, device, kind, at)
                    rows = await self._read(session, owner, self._request_seconds_max)
                except Exception as error:
                    if relay.refused:
                        raise ConnectionError(f"{relay.refused}; {said(error)}") from error
                    raise
                spared = getattr(session, "blobs_alone", False) and not any(row.blob for row in rows)
                carried = relay.carried("" if spared else at)
        return tuple(sorted(rows, key=lambda row: (row.record, row.row, row.hash))), carried

    def _session(self, front_door: FrontDoor, owner: str, device: str, kind: str, at: str) -> Session | Copy:
        if kind:
            return load_doors(self._driver, [kind])[kind](front_door, at, user=owner)
        return self._driver(front_door, user=owner, device=device)

    async def _read(self, session: Session | Copy, owner: str, seconds_max: float) -> list[Row]:
        async def rows() -> list[Row]:
            # Within the time and before the session is closed: it may be a generator.
            return [row for row, _ in observed(await session.everything(), owner)]

        try:
            return await answer_of(rows, seconds_max)
        finally:
            if not self._keep:
                await close(session, self._request_seconds_max)


async def _serve(driver: type[Session], link: socket.socket) -> None:
    """Do the jobs that come over `link` until it ends."""
    jobs, answers = await asyncio.open_connection(sock=link, limit=LINE_BYTES_MAX)

    def say(answer: object) -> None:
        answers.write(orjson.dumps(answer, option=orjson.OPT_APPEND_NEWLINE))

    kept: dict[str, Session | Copy] = {}
    relays = Relays()
    running: set[asyncio.Task[None]] = set()

    async def work(line: bytes) -> None:
        try:
            await _Reading(orjson.loads(line), driver, kept, relays, say).run()
            say({"done": True})
        except Exception as error:  # noqa: BLE001  (whoever waits for the reads is told)
            say({"error": f"the reader broke down: {said(error)}"})
        await answers.drain()

    while line := await jobs.readline():
        task = asyncio.create_task(work(line))
        running.add(task)
        task.add_done_callback(running.discard)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    for session in kept.values():
        await close(session, 1.0)


def _live_in(folder: Path) -> None:
    """Take a new folder for the working directory, HOME and TMPDIR; nobody else has written there."""
    temporary = folder / "tmp"
    temporary.mkdir(parents=True)
    # what `pip install --user` has put beneath HOME stays importable
    os.environ.setdefault("PYTHONUSERBASE", site.getuserbase())
    for name in [each for each in os.environ if each.startswith("XDG_")]:
        del os.environ[name]
    os.environ.update(HOME=str(folder), TMPDIR=str(temporary))
    tempfile.tempdir = None
    os.chdir(folder)


def _become_reader(driver: type[Session], link: socket.socket, folder: Path) -> None:
    """In a fork: serve until the link ends, then leave nothing behind."""
    try:
        _live_in(folder)
        with contextlib.suppress(ConnectionError):
            asyncio.run(_serve(driver, link))
    except BaseException:  # noqa: BLE001  (nothing else of this process is left that could tell)
        traceback.print_exc()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            folder.parent.rmdir()  # the last one out: where others are left, it is not empty
        os._exit(0)


def main() -> None:
    """Fork a reader for every socket that comes over stdin, until that ends.

    Arguments: the driver's name, its folder or "", and the folder that those of the readers are made in, or "". Its
    options, among which may be a password, come in the environment, where no other user of the host reads them. This
    process only imports the driver, once for all, in a folder of its own: what a module works out when it is imported
    must not lead back.
    """
    # The terminal sends Ctrl-C to the whole group; the controller decides, and ends this by closing stdin.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for readers
    control = socket.socket(fileno=os.dup(0))
    choice = DriverChoice(sys.argv[1], orjson.loads(os.environ.pop(OPTIONS_VARIABLE)))
    folder = Path(sys.argv[2]).absolute() if sys.argv[2] else None
    home = Path(sys.argv[3] or tempfile.mkdtemp(prefix="readers-"))
    home.mkdir(mode=0o700, exist_ok=True)
    try:
        _live_in(home / "0")
        _fork_readers(control, home, choice, folder)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _fork_readers(control: socket.socket, home: Path, choice: DriverChoice, folder: Path | None) -> None:
    driver: type[Session] | None = None
    trouble = b""
    try:
        driver = chosen_driver(choice, folder)
    except UsageError as error:
        trouble = orjson.dumps({"error": str(error)}, option=orjson.OPT_APPEND_NEWLINE)
    gc.collect()
    gc.freeze()  # a reader that collects garbage would have the kernel copy all that was imported
    for number in itertools.count(1):
        message, handles, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return
        link = socket.socket(fileno=handles[0])
        if driver is None:
            link.sendall(trouble)
        elif os.fork() == 0:
            control.close()
            _become_reader(driver, link, home / str(number))
        link.close()


if __name__ == "__main__":
    main()

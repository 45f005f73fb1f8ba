"""Final reads by fresh devices and by devices after a reset; `chaos.workload.reads.reader` does the reading."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

import chaos
from chaos.errors import DriverError, HarnessError
from chaos.experiment.drivers import DriverChoice
from chaos.history.events import CANARY_DEVICE, CANARY_OWNER, DoorRead, Row
from chaos.workload.logbook import Sink, quoted
from chaos.workload.reads.reader import LINE_BYTES_MAX, OPTIONS_VARIABLE, ROUNDS_MAX
from chaos.workload.session import FrontDoor

START_SECONDS_MAX = 30.0
END_SECONDS_MAX = 5.0
REQUEST_SECONDS_MAX = 10.0
"""A full read with all photos may take longer than a phone would wait for one answer."""


@dataclass(frozen=True, slots=True)
class Door:
    """Whose records are read, by which device, and what the door is called in the history.

    Attributes:
        kind: Of `x-chaos.doors`; empty: the front door.
        at: The copy's "service:port" then.
    """

    door: str
    owner: str
    device: str
    kind: str = ""
    at: str = ""


def fresh_doors(owners: Sequence[str]) -> tuple[Door, ...]:
    """A device that has never been there, for every owner and the canaries'."""
    return tuple(Door("fresh", owner, f"fresh-{owner}") for owner in (*owners, CANARY_OWNER))


def reset_doors(devices: Sequence[tuple[str, str]]) -> tuple[Door, ...]:
    """Door 4: every (device, owner) after a reset, and a device of the canaries' owner."""
    return tuple(Door(f"reset {device}", owner, device) for device, owner in (*devices, (CANARY_DEVICE, CANARY_OWNER)))


def copy_door(kind: str, service: str) -> str:
    """What the door to a copy is called in the history."""
    return f"{kind} {service}"


def copy_doors(places: Iterable[tuple[str, str, int]], owners: Sequence[str]) -> tuple[Door, ...]:
    """With the reset devices: every copy of `x-chaos.doors`, for every owner and the canaries'."""
    return tuple(
        Door(copy_door(kind, service), owner, f"{kind}-{service}-{owner}", kind, f"{service}:{port}")
        for kind, service, port in places
        for owner in (*owners, CANARY_OWNER)
    )


class Readers:
    """Makes reader processes. Importing a driver takes longer than a door, so one process does it once for all.

    Attributes:
        hush: What blanks out secrets in what services and drivers say.
    """

    def __init__(self, process: asyncio.subprocess.Process, control: socket.socket, driver: DriverChoice) -> None:
        """Use `Readers.open`."""
        self.driver = driver
        self._process = process
        self._control = control
        self._complaint = b""
        self.hush: Callable[[bytes], bytes] = bytes
        self._listener = asyncio.create_task(self._listen())

    @classmethod
    @asynccontextmanager
    async def open(
        cls, driver: DriverChoice, folder: Path | None = None, scratch: Path | None = None
    ) -> AsyncIterator[Readers]:
        """Start the process that imports the driver, and end it; does not wait until the import is done.

        Args:
            driver: As a file names it.
            folder: Where its module is looked for first.
            scratch: The folder that the readers' own ones are made in, and that is removed when they end; None: one
                among temporary files.
        """
        home = str(Path(chaos.__file__).parents[1])
        path = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH", "")]))
        ours, theirs = socket.socketpair()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "chaos.workload.reads.reader", driver.name, str(folder or ""),
            str(scratch or ""),
            stdin=theirs.fileno(), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path, OPTIONS_VARIABLE: orjson.dumps(driver.options).decode()},
        )  # fmt: skip
        theirs.close()
        readers = cls(process, ours, driver)
        try:
            yield readers
        finally:
            await readers._close()

    async def new(self) -> Reader:
        """A reader that has never seen the service.

        Raises:
            HarnessError: The process has ended; the message has its last words.
        """
        ours, theirs = socket.socketpair()
        try:
            socket.send_fds(self._control, [b"r"], [theirs.fileno()])
        except OSError:
            ours.close()
            await asyncio.wait([self._listener], timeout=1.0)
            raise HarnessError(f"the readers' process ended early: {self.last_words}") from None
        finally:
            theirs.close()
        return Reader(self, *await asyncio.open_connection(sock=ours, limit=LINE_BYTES_MAX))

    @property
    def last_words(self) -> str:
        """What it said on stderr, the end of it."""
        return self._complaint.decode("utf-8", "replace").strip()[-500:] or "it said nothing"

    async def _close(self) -> None:
        """End the process, which removes its folders; its readers end with their own sockets."""
        self._control.close()
        try:
            async with asyncio.timeout(END_SECONDS_MAX):
                await self._process.wait()
        except TimeoutError:  # it still imports a driver that is in no hurry
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        await asyncio.wait([self._listener], timeout=1.0)  # a reader that hangs may still hold stderr open
        self._listener.cancel()

    async def _listen(self) -> None:
        """Keep the end of what it says on stderr, and never let it block on that."""
        assert self._process.stderr is not None
        while some := await self._process.stderr.read(4096):
            self._complaint = (self._complaint + some)[-4096:]


class Reader:
    """A process that reads through doors and has never seen the service before its first job."""

    def __init__(self, readers: Readers, answers: asyncio.StreamReader, jobs: asyncio.StreamWriter) -> None:
        """Use `Readers.new`."""
        self._readers = readers
        self._answers = answers
        self._jobs = jobs
        self.driver = readers.driver

    async def read(
        self,
        front_door: FrontDoor,
        step: int,
        doors: Sequence[Door],
        *,
        seconds_max: float,
        rounds: int = ROUNDS_MAX,
        keep_sessions: bool = False,
        impatient: bool = False,
    ) -> tuple[DoorRead, ...]:
        """Read each door until two rounds agree, trying again while it fails, for at most `seconds_max`.

        Args:
            front_door: Where the service answers.
            step: 1 or 4, as in the history.
            doors: What to read.
            seconds_max: After this a door that cannot be read is recorded as failed.
            rounds: At most so many reads of one door.
            keep_sessions: Read through the same session as the job before (see `canaries`); this alone is not counted.
            impatient: A defect of the driver ends it at once, before anything of the service has been judged.

        Raises:
            DriverError: It returns records where no service is, or has a defect.
            HarnessError: The process broke down.
        """
        job = {
            "step": step,
            "doors": [[door.door, door.owner, door.device, door.kind, door.at] for door in doors],
            "host": front_door.host,
            "port": front_door.port,
            "others": {name: list(address) for name, address in front_door.others.items()},
            "seconds_max": seconds_max,
            "request_seconds_max": REQUEST_SECONDS_MAX,
            "rounds": rounds,
            "keep": keep_sessions,
            "impatient": impatient,
        }
        limit = seconds_max + REQUEST_SECONDS_MAX + START_SECONDS_MAX
        try:
            async with asyncio.timeout(limit):
                self._jobs.write(orjson.dumps(job) + b"\n")
                return tuple([read async for read in self._reads()])
        except TimeoutError:
            await self.close()
            raise HarnessError(
                f"the final reads did not end within {limit:g} s; the reader was stopped; {self._readers.last_words}"
            ) from None
        except (OSError, ValueError) as error:
            raise HarnessError(f"the reader broke down: {error}; {self._readers.last_words}") from error

    async def close(self) -> None:
        """End the process, by ending its socket."""
        self._jobs.close()
        with contextlib.suppress(OSError):
            await self._jobs.wait_closed()

    async def _reads(self) -> AsyncIterator[DoorRead]:
        while line := await self._answers.readline():
            answer: dict[str, Any] = orjson.loads(line)
            if "error" in answer:
                raise HarnessError(answer["error"])
            if "done" in answer:
                return
            if "undead" in answer:
                raise DriverError(_undead(self._readers.driver, **answer["undead"]))
            if "defect" in answer:
                raise DriverError(f"driver {self._readers.driver}: {answer['defect']}")
            rows = tuple(_row(row) for row in answer.pop("rows"))
            answer["why"] = quoted(answer["why"], self._readers.hush)
            yield DoorRead(**answer, rows=rows)
        raise HarnessError(f"the reader ended early: {self._readers.last_words}")


async def read_doors(
    reader: Reader, front_door: FrontDoor, step: int, doors: Sequence[Door], sink: Sink, *, deadline: float
) -> bool:
    """Read every door and write the reads to the history; whether all of them could be read.

    Args:
        reader: The process; one of its own for each step.
        front_door: Where the service answers.
        step: 1 or 4.
        doors: `fresh_doors` or `reset_doors`.
        sink: The recorder.
        deadline: On `time.monotonic()`.
    """
    reads = await reader.read(front_door, step, doors, seconds_max=max(0.0, deadline - time.monotonic()))
    for read in reads:
        sink.append(read)
    return all(read.outcome == "ok" for read in reads)


def _undead(driver: DriverChoice, *, owner: str, kind: str, rows: int) -> str:
    door = f"the door {kind} of driver {driver}" if kind else f"driver {driver}"
    returned = f"{rows} record{'' if rows == 1 else 's'}"
    return (
        f"{door}: a full read of {owner} returned {returned} from an address where nobody listens, so it answers "
        f"without the service and proves nothing; let `everything` ask the address that the session was given, each "
        f"time, and raise where nobody answers there"
    )


def _row(row: dict[str, Any]) -> Row:
    stamps = tuple((owner, record, write) for owner, record, write in row.pop("stamps"))
    return Row(**row, stamps=stamps)

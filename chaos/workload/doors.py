"""Final reads by fresh devices and by devices after a reset; `chaos.workload.reader` does the reading."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

import chaos
from chaos.errors import HarnessError
from chaos.history.events import CANARY_OWNER, DoorRead, Row
from chaos.workload.logbook import Sink
from chaos.workload.reader import LINE_BYTES_MAX, ROUNDS_MAX
from chaos.workload.session import FrontDoor

START_SECONDS_MAX = 30.0
MARGIN_SECONDS = 5.0
REQUEST_SECONDS_MAX = 10.0
"""A full read with all photos may take longer than a phone would wait for one answer."""


@dataclass(frozen=True, slots=True)
class Door:
    """Whose records are read, by which device, and what the door is called in the history."""

    door: str
    owner: str
    device: str


def fresh_doors(owners: Sequence[str]) -> tuple[Door, ...]:
    """Door 1: a device that has never been there, for every owner and the canaries'."""
    return tuple(Door("fresh", owner, f"fresh-{owner}") for owner in (*owners, CANARY_OWNER))


def reset_doors(devices: Sequence[tuple[str, str]]) -> tuple[Door, ...]:
    """Door 4: every (device, owner) after a reset, and a device of the canaries' owner."""
    return tuple(Door(f"reset {device}", owner, device) for device, owner in (*devices, ("d-canary", CANARY_OWNER)))


class Reader:
    """A process that reads. Start it early: it imports the driver and then waits for its first job."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Use `Reader.start`."""
        self._process = process
        self._complaint = b""
        self._listener = asyncio.create_task(self._listen())
        self._ready = False

    @classmethod
    async def start(cls, driver: str, folder: Path | None = None) -> Reader:
        """Start the process; does not wait until it is ready."""
        home = str(Path(chaos.__file__).parents[1])
        path = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH", "")]))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "chaos.workload.reader", driver, str(folder or ""),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path}, limit=LINE_BYTES_MAX,
        )  # fmt: skip
        return cls(process)

    async def read(
        self,
        front_door: FrontDoor,
        step: int,
        doors: Sequence[Door],
        *,
        seconds_max: float,
        rounds: int = ROUNDS_MAX,
        keep_sessions: bool = False,
    ) -> tuple[DoorRead, ...]:
        """Read each door until two rounds agree, trying again while it fails, for at most `seconds_max`.

        Args:
            front_door: Where the service answers.
            step: 1 or 4, as in the history.
            doors: What to read.
            seconds_max: After this a door that cannot be read is recorded as failed.
            rounds: At most so many reads of one door.
            keep_sessions: Read through the same session as the job before (see `canaries`).

        Raises:
            HarnessError: The process broke down.
        """
        job = {
            "step": step,
            "doors": [[door.door, door.owner, door.device] for door in doors],
            "host": front_door.host,
            "port": front_door.port,
            "others": {name: list(address) for name, address in front_door.others.items()},
            "seconds_max": seconds_max,
            "request_seconds_max": REQUEST_SECONDS_MAX,
            "rounds": rounds,
            "keep": keep_sessions,
        }
        limit = seconds_max + REQUEST_SECONDS_MAX + MARGIN_SECONDS + (0 if self._ready else START_SECONDS_MAX)
        try:
            async with asyncio.timeout(limit):
                assert self._process.stdin is not None
                self._process.stdin.write(orjson.dumps(job) + b"\n")
                return tuple([read async for read in self._answers()])
        except TimeoutError:
            await self.close()
            raise HarnessError(f"the final reads did not end within {limit:g} s; the reader was stopped") from None
        except (OSError, ValueError) as error:
            raise HarnessError(
                f"the reader broke down: {error}; {self._complaint.decode('utf-8', 'replace')}"
            ) from error

    async def close(self) -> None:
        """End the process."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        await asyncio.wait([self._listener])
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def _answers(self) -> AsyncIterator[DoorRead]:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            answer: dict[str, Any] = orjson.loads(line)
            if "error" in answer:
                raise HarnessError(answer["error"])
            if "done" in answer:
                return
            if "ready" in answer:
                self._ready = True
            else:
                rows = tuple(_row(row) for row in answer.pop("rows"))
                yield DoorRead(**answer, rows=rows)
        await asyncio.wait([self._listener], timeout=1.0)
        said = self._complaint.decode("utf-8", "replace").strip()[-500:]
        raise HarnessError(f"the reader ended early: {said or 'it said nothing'}")

    async def _listen(self) -> None:
        """Keep the end of what it says on stderr, and never let it block on that."""
        assert self._process.stderr is not None
        while some := await self._process.stderr.read(4096):
            self._complaint = (self._complaint + some)[-4096:]


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


def _row(row: dict[str, Any]) -> Row:
    stamps = tuple((owner, record, write) for owner, record, write in row.pop("stamps"))
    return Row(**row, stamps=stamps)

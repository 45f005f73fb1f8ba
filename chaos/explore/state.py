"""One crash state: services are started on what the cut leaves, all is read, and the history of it is judged."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from chaos.agent.states import Crash
from chaos.checks.file import judge_file
from chaos.checks.verdict import Judgement
from chaos.errors import AgentError, HarnessError
from chaos.experiment.plan import Limits
from chaos.explore.points import State
from chaos.explore.recorded import CutHistory
from chaos.history.events import DoorRead, Note
from chaos.stack.live.disks import Unrecoverable
from chaos.stack.live.lifecycle import Lab
from chaos.workload.reads.doors import Readers, fresh_doors
from chaos.workload.session import FrontDoor

Outcome = Literal["kept", "violated", "undecided"]
"""Everything that was acknowledged is there; something is wrong; not everything could be read."""
CUT: Final = "cut"
"""Topic of the note that says where the power went."""
LOST_SHOWN_MAX: Final = 10


@dataclass(frozen=True)
class Found:
    """What came of one state.

    Attributes:
        instant, lun, flush: As of its boundary.
        writes: How many were not flushed, of which `survivors` survive, by their instants.
        why: Of a state that is not "kept": the first reason.
        anomalies: Records by class.
        lost: The first records that are not as they must be, as OWNER/RECORD.
        seconds: How long it took.
    """

    number: int
    instant: int
    lun: str
    flush: int
    writes: int
    survivors: tuple[int, ...]
    outcome: Outcome
    why: str = ""
    anomalies: Mapping[str, int] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def taken(self) -> int:
        """How many writes the cut took."""
        return self.writes - len(self.survivors)

    @property
    def key(self) -> tuple[int, tuple[int, ...]]:
        """What tells it from every other state of its recording."""
        return self.instant, self.survivors


def key_of(state: State) -> tuple[int, tuple[int, ...]]:
    """As `Found.key`, of a state that has not been checked."""
    return state.boundary.instant, tuple(sorted(state.survivors))


def place(lun: str, flush: int, writes: int, survivors: int) -> str:
    """Where the power goes, and what it takes, in words."""
    where = f"just before flush {flush} of {lun}" if lun else "at the end of the load"
    if not writes:
        return f"{where}, everything flushed"
    return f"{where}, {writes - survivors} of {writes} writes that are not flushed gone"


class StateCheck:
    """Checks states on one stack copy."""

    def __init__(
        self,
        lab: Lab,
        readers: Readers,
        limits: Limits,
        logs: Mapping[str, str],
        history: CutHistory,
        owners: Sequence[str],
    ) -> None:
        """`logs` are the paths of the LUNs' write logs in the agent, without suffix."""
        self._lab = lab
        self._readers = readers
        self._limits = limits
        self._logs = logs
        self._history = history
        self._owners = owners

    async def check(self, state: State, file: Path) -> tuple[Found, Judgement]:
        """Recover a state, read it, judge it; its history is left in a file. The copy is cleared afterwards.

        Raises:
            HarnessError: Anything but the service failed, or the check is blind.
        """
        begun = time.monotonic()
        boundary = state.boundary
        words = place(boundary.lun, boundary.flush, boundary.writes, len(state.survivors))
        then: list[DoorRead | Note] = [Note(CUT, boundary.t_ns, f"power cut of every LUN {words}")]
        try:
            then += await self._read(state)
        except Unrecoverable as error:
            then.append(Note("unrecoverable", time.monotonic_ns(), str(error)))
        finally:
            with contextlib.suppress(AgentError):  # the agent's loss is the error
                await self._lab.running.clear()
        self._history.write(file, boundary.t_ns, then)
        history, judgement = judge_file(file)
        if judgement.verdict is None:
            raise HarnessError(f"{judgement.reason}; keep {file} and report it, there is no verdict on this state")
        doors = [rounds[-1] for rounds in history.doors.values()]
        unread = next((door for door in doors if not door.ok or not door.settled or door.unasked), None)
        outcome: Outcome = "kept"
        why = ""
        if judgement.verdict == "VIOLATED":
            outcome, why = "violated", judgement.reason
        elif unread is not None:
            outcome, why = "undecided", f"the door {unread.door} of {unread.owner} could not be read: {unread.why}"
        bad = [f"{each.owner}/{each.record}" for each in judgement.records]
        found = Found(
            number=state.number,
            instant=boundary.instant,
            lun=boundary.lun,
            flush=boundary.flush,
            writes=boundary.writes,
            survivors=tuple(sorted(state.survivors)),
            outcome=outcome,
            why=why,
            anomalies=dict(Counter(judgement.anomalies)) if outcome == "violated" else {},
            lost=tuple(bad[:LOST_SHOWN_MAX]),
            seconds=round(time.monotonic() - begun, 3),
        )
        return found, judgement

    async def _read(self, state: State) -> Sequence[DoorRead]:
        """Start everything on what is left, and read all records of everybody as a device that has never been there."""
        running, golden = self._lab.running, self._lab.golden
        running.hostnames.take(golden.hostnames())
        crashes = {lun: Crash(log, state.boundary.instant, state.surviving(lun)) for lun, log in self._logs.items()}
        await running.up_after_crash(golden.bases(), crashes, self._limits.recover_seconds_max)
        reader = await self._readers.new()
        try:
            host, port = running.front_door
            door = FrontDoor(host, port, running.published)
            return await reader.read(door, 1, fresh_doors(self._owners), seconds_max=self._limits.door_seconds_max)
        finally:
            await reader.close()

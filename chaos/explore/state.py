"""One crash state: services are started on what the cut leaves, all is read, and the history of it is judged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from chaos.agent.recording import BLOCK_BYTES
from chaos.agent.states import Crash
from chaos.checks.file import judge_file
from chaos.checks.verdict import Judgement
from chaos.errors import HarnessError
from chaos.experiment.plan import Limits, ScheduledFault, Target, Trigger
from chaos.explore.points import Block, State
from chaos.explore.recorded import BASE_SUFFIX, CutHistory, Recorded
from chaos.history.events import DoorRead, FaultEvent, Note
from chaos.stack.live.disks import Unrecoverable
from chaos.stack.live.lifecycle import Lab
from chaos.stack.spec import Stack
from chaos.workload.reads.doors import Readers, fresh_doors
from chaos.workload.reads.reader import ROUNDS_MAX
from chaos.workload.session import FrontDoor

Outcome = Literal["kept", "violated", "undecided"]
"""Everything that was acknowledged is there; something is wrong; not everything could be read."""
CUT: Final = "disk.power_cut"
LOST_SHOWN_MAX: Final = 10


@dataclass(frozen=True)
class Found:
    """What came of one state.

    Attributes:
        instant, lun, flush: As of its boundary.
        volatile: How many blocks were not flushed, of which `survivors` survive, each as (LUN, place in its log).
        why: Of a state that is not "kept": the first reason.
        anomalies: Records by class.
        lost: The first records that are not as they must be, as OWNER/RECORD.
        seconds: How long it took.
    """

    number: int
    instant: int
    lun: str
    flush: int
    volatile: int
    survivors: tuple[Block, ...]
    outcome: Outcome
    why: str = ""
    anomalies: Mapping[str, int] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def taken(self) -> int:
        """How many blocks the cut took."""
        return self.volatile - len(self.survivors)

    @property
    def order(self) -> tuple[int, int]:
        """Earlier ones come first, and of one instant that which takes least."""
        return self.instant, self.taken

    @property
    def key(self) -> tuple[int, tuple[Block, ...]]:
        """What tells it from every other state of its recording."""
        return self.instant, self.survivors


def key_of(state: State) -> tuple[int, tuple[Block, ...]]:
    """As `Found.key`, of a state that has not been checked."""
    return state.boundary.instant, tuple(sorted(state.survivors))


def place(lun: str, flush: int, volatile: int, taken: int) -> str:
    """Where the power goes, and what it takes, in words."""
    where = f"just before flush {flush} of {lun}" if lun else "at the end of the load"
    if not volatile:
        return f"{where}, with everything flushed that reached a disk"
    return f"{where}, {taken:,} of {volatile:,} blocks that are not flushed gone"


def target(stack: Stack, lun: str) -> Target:
    """What a cut of the whole stack is aimed at: its arrays; where all disks are local, a machine on this LUN."""
    if stack.arrays:
        return Target("arrays", tuple(stack.arrays))
    return Target("service", stack.services_on((lun or next(iter(stack.luns)),))[0])


def cut_of(found: Found, stack: Stack) -> ScheduledFault:
    """The same cut as a fault of a schedule. What survives of a drawn subset is drawn anew, block by block."""
    at = Trigger(flush=found.flush, lun=found.lun, when="before") if found.lun else Trigger(phase="heal")
    keep: Mapping[str, float] = {"keep": len(found.survivors) / found.volatile} if found.survivors else {}
    return ScheduledFault(CUT, target(stack, found.lun), at, parameters=keep)


class StateCheck:
    """Checks states on one stack copy."""

    def __init__(
        self,
        lab: Lab,
        readers: Readers,
        limits: Limits,
        recorded: Recorded,
        logs: Mapping[str, str],
        history: CutHistory,
        owners: Sequence[str],
    ) -> None:
        """`logs` are the paths of the LUNs' write logs, and of their bases, in the agent, without suffix."""
        self._lab = lab
        self._readers = readers
        self._limits = limits
        self._recorded = recorded
        self._logs = logs
        self._history = history
        self._owners = owners

    async def check(self, state: State, file: Path) -> Found:
        """Recover a state, read it, judge it; its history is left in a file. The next check removes what runs then.

        Raises:
            HarnessError: Anything but the service failed, or the check is blind.
        """
        begun = time.monotonic()
        outcome, why, judgement = await self._found(state, file)
        boundary = state.boundary
        violated = outcome == "violated"
        bad = judgement.records if violated else ()
        return Found(
            number=state.number,
            instant=boundary.instant,
            lun=boundary.lun,
            flush=boundary.flush,
            volatile=boundary.volatile,
            survivors=tuple(sorted(state.survivors)),
            outcome=outcome,
            why=why,
            anomalies=dict(judgement.anomalies) if violated else {},
            lost=tuple(f"{each.owner}/{each.record}" for each in bad[:LOST_SHOWN_MAX]),
            seconds=round(time.monotonic() - begun, 3),
        )

    async def _found(self, state: State, file: Path) -> tuple[Outcome, str, Judgement]:
        """Where everything is there, one read is enough; else all is read again, until two reads agree."""
        doors = fresh_doors(self._owners)
        try:
            await self._recover(state)
            reader = await self._readers.new()
            try:
                for rounds in (1, ROUNDS_MAX):
                    reads = await reader.read(
                        self._front_door, 1, doors, seconds_max=self._limits.door_seconds_max, rounds=rounds
                    )
                    outcome, why, judgement = await asyncio.to_thread(self._judge, state, reads, file)
                    if outcome == "kept":
                        break
            finally:
                await reader.close()
        except Unrecoverable as error:
            note = Note("unrecoverable", time.monotonic_ns(), str(error))
            return await asyncio.to_thread(self._judge, state, [note], file)
        return outcome, why, judgement

    async def _recover(self, state: State) -> None:
        """Start everything on what is left."""
        running = self._lab.running
        running.hostnames.take(dict(self._recorded.hostnames))
        instant = state.boundary.instant
        bases = {lun: f"{log}{BASE_SUFFIX}" for lun, log in self._logs.items()}
        crashes = {lun: Crash(log, instant, state.surviving(lun)) for lun, log in self._logs.items()}
        await running.up_after_crash(bases, crashes, self._limits.recover_seconds_max)

    def _judge(self, state: State, then: Sequence[DoorRead | Note], file: Path) -> tuple[Outcome, str, Judgement]:
        self._history.write(file, self._cut(state), then)
        history, judgement = judge_file(file)
        if judgement.verdict is None:
            raise HarnessError(f"{judgement.reason}; keep {file} and report it, there is no verdict on this state")
        if judgement.verdict == "VIOLATED":
            return "violated", judgement.reason, judgement
        doors = [rounds[-1] for rounds in history.doors.values()]
        unread = next((door for door in doors if not door.ok or door.unasked), None)
        if unread is not None:
            return "undecided", f"{unread.door} of {unread.owner} could not be read: {unread.why}", judgement
        return "kept", "", judgement

    def _cut(self, state: State) -> FaultEvent:
        return FaultEvent(
            index=0,
            t=state.boundary.t_ns,
            fault=CUT,
            target=str(target(self._lab.stack, state.boundary.lun)),
            happened="injected",
            evidence={"discarded_bytes": state.taken * BLOCK_BYTES, "kept_bytes": len(state.survivors) * BLOCK_BYTES},
            struck=tuple(self._logs),
        )

    @property
    def _front_door(self) -> FrontDoor:
        running = self._lab.running
        return FrontDoor(*running.front_door, running.published)

"""The schedule of one trial, in force: waits for triggers, has media inject and heal, and records what happened.

What is struck and how is the media's business (`live`); here is when.
"""

from __future__ import annotations

import asyncio
import contextlib
import pkgutil
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from chaos.experiment.plan import ScheduledFault, Trigger
from chaos.faults.aim import NobodyThere
from chaos.faults.base import Evidence, Fault
from chaos.faults.live import LEASE_SECONDS_MAX, LiveMedium, Strike, Surroundings
from chaos.faults.registry import make
from chaos.history.events import FaultEvent
from chaos.history.recorder import Recorder
from chaos.stack.live.mending import Damage

_RENEWAL_SECONDS = LEASE_SECONDS_MAX / 3


@dataclass
class _Entry:
    """One scheduled fault, and what became of it.

    Attributes:
        followed: What comes after it may begin: it is over and what it took down is back, or it stays in force to the
            end of the load, or it was missed.
    """

    index: int
    scheduled: ScheduledFault
    fault: Fault[Any]
    strike: Strike | None = None
    injected_at: int = 0
    waits_for: str = ""
    ended: bool = False
    task: asyncio.Task[None] | None = None
    renewal: asyncio.Task[None] | None = None
    followed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ends_by_itself(self) -> bool:
        """Whether it is over before the load is, though nobody said when it is to be healed."""
        return self.scheduled.for_seconds is None and self.fault.lasts_seconds is not None

    @property
    def lies_in_load(self) -> bool:
        """Whether its trigger does."""
        return self.scheduled.at.phase is None

    @property
    def in_force(self) -> bool:
        return self.strike is not None and self.strike.in_force


class Injector:
    """Brings the faults of a schedule about, and ends them."""

    def __init__(
        self,
        schedule: Sequence[ScheduledFault],
        at: Surroundings,
        recorder: Recorder,
        tell: Callable[[FaultEvent], None],
        on_healed: Callable[[], Awaitable[None]],
        fell_before: Mapping[int, str] = MappingProxyType({}),
    ) -> None:
        """Nothing is injected yet.

        Args:
            schedule: The faults.
            at: What they may reach.
            recorder: Gets the events, and tells of acknowledgements.
            tell: Gets the events, too.
            on_healed: Awaited after a fault ended within the load, or when the operators come after a loss for good,
                to bring back what it took down.
            fell_before: Of a plan that runs again, on which I/O each fault fell then, by its place in the schedule.
        """
        self._at = at
        self._recorder = recorder
        self._tell = tell
        self._on_healed = on_healed
        self._fell_before = fell_before
        self._load_over = asyncio.Event()
        self._faults = [_Entry(index, each, make(each)) for index, each in enumerate(schedule)]
        media = dict.fromkeys(each.fault.medium for each in self._faults)
        self._media: dict[str, LiveMedium[Any]] = {each.name: pkgutil.resolve_name(each.live)(at) for each in media}

    @property
    def damage(self) -> Damage:
        """What is lost for good, which of it may be replaced, and which services faults in force hold down."""
        damage = Damage()
        for medium in self._media.values():
            damage |= medium.damage
        return damage

    @property
    def can_heal(self) -> bool:
        """Whether a fault is in force that will be healed."""
        return any(each.in_force and not each.ended for each in self._faults)

    def begin_load(self) -> None:
        """Start the clock of the triggers."""
        self._at.load_began_ns = time.monotonic_ns()
        for each in self._faults:
            if each.lies_in_load and each.scheduled.at.io is None:
                each.task = asyncio.create_task(self._run(each))

    async def arm(self) -> None:
        """Have the agent wait for the I/Os at which faults strike: the load's begin to count when this is done."""
        for each in self._faults:
            if each.scheduled.at.io is not None and (strike := await self._aimed(each)):
                each.strike, each.waits_for = strike, ""
                await strike.arm(each.scheduled.at)
                each.task = asyncio.create_task(self._run(each))

    async def end_load(self) -> None:
        """The load is over: triggers that lie in it and have not come are missed.

        Raises:
            AgentError: An injection failed.
        """
        self._load_over.set()
        load = [each for each in self._faults if each.lies_in_load]
        for each in load:
            why = each.waits_for
            if each.scheduled.at.io is not None and each.strike is not None and not each.injected_at:
                why = await each.strike.disarm()
            if not each.injected_at and not each.ended and not each.in_force:
                if each.task is not None:
                    each.task.cancel()
                self._miss(each, why or self._why_never(each.scheduled.at))
        tasks = [each.task for each in load if each.task is not None]
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    def awaits(self, unsent: int) -> bool:
        """Whether a trigger of the load can still come, or a fault end by itself, when so many writes are unsent."""
        have = self._recorder.acknowledged
        if any(each.in_force and not each.ended and each.ends_by_itself for each in self._faults):
            return True
        return any(
            unsent > 0 if at.io is not None else at.acknowledged is None or at.acknowledged - have <= unsent
            for each, at in ((each, each.scheduled.at) for each in self._faults if each.lies_in_load)
            if not (each.injected_at or each.ended or each.waits_for)
        )

    def _why_never(self, at: Trigger) -> str:
        """Why a trigger never came, and what to change."""
        if at.acknowledged is not None:
            return (
                f"the load ended after {self._recorder.acknowledged:,} acknowledgements, the trigger asked for "
                f"{at.acknowledged:,}: ask for fewer, or give more operations, or a smaller rate_per_second where the "
                "machine is slow"
            )
        lasted = (time.monotonic_ns() - self._at.load_began_ns) / 1e9
        if at.seconds_after_previous is not None:
            return (
                f"the load ended after {lasted:.1f} s, before the fault before it had been over for "
                f"{at.seconds_after_previous:g} s: give more operations, or let the faults before it be shorter"
            )
        return (
            f"the load ended after {lasted:.1f} s, the trigger asked for {at.seconds:g} s: ask for fewer, or give more "
            "operations"
        )

    def close(self) -> None:
        """The trial broke off: nothing more is injected or healed; whoever removes the stack ends the faults."""
        for task in (task for each in self._faults for task in (each.task, each.renewal) if task is not None):
            task.cancel()

    async def enter_phase(self, phase: str) -> None:
        """Inject the faults that are due at the begin of this phase."""
        for each in self._faults:
            if each.scheduled.at.phase == phase and (strike := await self._aimed(each)):
                await self._inject(each, strike)

    async def heal_all(self) -> None:
        """End every fault that can be ended, and take the evidence of those that are for good."""
        for each in self._faults:
            await self._heal(each)

    async def count_lasting(self) -> None:
        """Take the evidence of faults that are for good, while what they struck is still there."""
        for each in self._faults:
            if each.fault.for_good:
                await self._heal(each)

    def replacing(self, luns: Set[str]) -> None:
        """Blank LUNs take the place of these now: they count as usable from here on."""
        for medium in self._media.values():
            medium.replacing(luns)

    def conclude(self) -> None:
        """The phases in which faults may strike are over: name those that never came."""
        for each in self._faults:
            if not each.ended:
                self._miss(each, f"the trial did not reach the phase {each.scheduled.at.phase}")

    async def _run(self, each: _Entry) -> None:
        at = each.scheduled.at
        if at.acknowledged is not None:
            await self._recorder.when_acknowledged(at.acknowledged)
        elif at.seconds is not None:
            await asyncio.sleep(max(0.0, at.seconds - (time.monotonic_ns() - self._at.load_began_ns) / 1e9))
        elif at.seconds_after_previous is not None:
            before = self._faults[each.index - 1]
            await before.followed.wait()
            if not before.injected_at:
                self._miss(each, f"the fault before it, {before.fault.name}, did not strike")
                return
            await asyncio.sleep(at.seconds_after_previous)
        elif each.strike is not None:
            await each.strike.has_struck()
        strike = each.strike or await self._aimed(each)
        if strike is None:
            return
        each.injected_at = time.monotonic_ns()  # from here on the end of the load does not call it missed
        await asyncio.shield(self._inject(each, strike))
        if await self._has_ended(each):
            await self._heal(each)
            await self._on_healed()
        each.followed.set()

    async def _has_ended(self, each: _Entry) -> bool:
        """Wait until its time in force is over; False where it stays until the load is."""
        if each.scheduled.for_seconds is not None:
            await asyncio.sleep(each.scheduled.for_seconds)
        elif each.ends_by_itself:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._load_over.wait(), each.fault.lasts_seconds)
                return False
        return each.scheduled.for_seconds is not None or each.ends_by_itself

    async def _aimed(self, each: _Entry) -> Strike | None:
        """Find out what is struck; where that is nothing, the fault is missed."""
        each.waits_for = f"nobody had the role that it was aimed at, {each.scheduled.target}, before the load was over"
        try:
            strike: Strike = await self._media[each.fault.medium.name].aim(
                each.index, each.fault, each.scheduled.target
            )
        except NobodyThere as why:
            self._miss(each, str(why))
            return None
        return strike

    async def _inject(self, each: _Entry, strike: Strike) -> None:
        each.strike = strike
        each.injected_at = await strike.inject()
        self._record(each, "injected", t=each.injected_at)
        await strike.proceed()
        if strike.is_leased:
            each.renewal = asyncio.create_task(_renew(strike))
            each.renewal.add_done_callback(lambda done: done.cancelled() or done.exception())  # `_heal` raises it

    async def _heal(self, each: _Entry) -> None:
        strike = each.strike
        if strike is None or not strike.in_force or each.ended:
            return
        each.ended = True
        if each.renewal is not None:
            each.renewal.cancel()
            await asyncio.wait([each.renewal])
            if not each.renewal.cancelled():
                each.renewal.result()  # it ends by an error alone
        evidence = await strike.end()
        why = each.fault.why_not_bitten(evidence)
        happened: Literal["lasting", "healed"] = "lasting" if each.fault.for_good else "healed"
        self._record(each, happened, evidence=evidence, why=why, t=strike.felt_until_ns)

    def _miss(self, each: _Entry, why: str) -> None:
        self._record(each, "missed", why=why)
        each.ended = True
        each.followed.set()

    def _record(
        self,
        each: _Entry,
        happened: Literal["injected", "lasting", "healed", "missed"],
        *,
        evidence: Evidence | None = None,
        why: str = "",
        t: int = 0,
    ) -> None:
        event = FaultEvent(
            index=each.index,
            t=t or time.monotonic_ns(),
            fault=each.fault.name,
            target=each.strike.who if each.strike is not None else str(each.scheduled.target),
            happened=happened,
            phase=each.scheduled.at.phase or "load",
            bit=evidence is not None and not why,
            evidence=self._fell_on(each) if evidence is None else evidence.counted(),
            why=why,
            struck=each.strike.struck if each.strike is not None and happened == "injected" else (),
        )
        self._recorder.append(event)
        self._tell(event)

    def _fell_on(self, each: _Entry) -> dict[str, int | float | str]:
        """Of a fault that struck at an I/O: which one that was, and whether it is the one that it was before."""
        if each.strike is None or not each.strike.fell_on:
            return {}
        found: dict[str, int | float | str] = {"fell_on": each.strike.fell_on}
        if before := self._fell_before.get(each.index):
            found["same_io_as_before"] = "yes" if before == each.strike.fell_on else f"no, it was {before}"
        return found


async def _renew(strike: Strike) -> None:
    """Keep the fault in force for as long as it is wanted: in the agent it would end by itself."""
    while True:
        await asyncio.sleep(_RENEWAL_SECONDS)
        await strike.renew()

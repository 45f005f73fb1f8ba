"""Brings the wanted states about: waits for triggers, applies, collects evidence, heals. The one way to undo.

Every target's desired state is its baseline with all active faults laid over it. To inject is to add a fault and
apply the state; to heal is to remove it and apply again. There is no undo of a single fault that could be lost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence, Set
from dataclasses import dataclass
from typing import Any, TypeVar

from chaos.errors import AgentError, CarrierError
from chaos.experiment.plan import ScheduledFault, Trigger
from chaos.faults.aim import Aim, Link, NobodyThere, beside, take_aim, victims, writers
from chaos.faults.base import Evidence, Fault
from chaos.faults.registry import make
from chaos.faults.state import CarrierState, LinkState, LunState, ServiceState
from chaos.history.events import FaultEvent
from chaos.history.recorder import Recorder
from chaos.stack.agent import Agent
from chaos.stack.carrier import Carrier
from chaos.stack.mending import Damage
from chaos.stack.roles import Roles
from chaos.stack.spec import Stack

S = TypeVar("S", LunState, ServiceState, LinkState, CarrierState)
_LEASE_SECONDS_MAX = 900.0
"""A fault never outlives its last renewal by more, whatever happens to the controller (its heartbeat ends it first)."""
_RENEWAL_SECONDS = _LEASE_SECONDS_MAX / 3
_NO_REPLY: dict[str, Any] = {
    "dirty": {},
    "killed": {},
    "paused": {},
    "before": {},
    "closed": {},
    "after": {},
    "links": [],
    "lapsed": [],
}
"""What the agent would say of an aim that none of its targets is in."""


@dataclass
class Active:
    """One scheduled fault, and what became of it."""

    index: int
    scheduled: ScheduledFault
    fault: Fault
    aim: Aim
    injected_at: int = 0
    reply: Any = None
    waits_for: str = ""
    in_force: bool = False
    ended: bool = False
    lost: Set[str] = frozenset()
    """LUNs that it took for good and that have not been replaced."""
    renewal: asyncio.Task[None] | None = None
    recreated: Sequence[str] = ()
    """Services whose containers were made anew for it."""


class Injector:
    """The schedule of one trial, in force."""

    def __init__(
        self,
        schedule: Sequence[ScheduledFault],
        stack: Stack,
        agent: Agent,
        recorder: Recorder,
        tell: Callable[[FaultEvent], None],
        on_healed: Callable[[], Awaitable[None]],
        carrier: Carrier | None = None,
        witness: Callable[[], Awaitable[None]] | None = None,
        recreate: Callable[[Sequence[str]], Awaitable[Sequence[str]]] | None = None,
        finished: Callable[[Iterable[str]], Awaitable[Set[str]]] | None = None,
    ) -> None:
        """Nothing is injected yet.

        Args:
            schedule: The faults.
            stack: Their targets.
            agent: Brings states about on them.
            recorder: Gets the events, and tells of acknowledgements.
            tell: Gets the events, too.
            on_healed: Awaited after a fault ended within the load, or when the operators come after a loss for good,
                to bring back what it took down.
            carrier: Where the stack has one.
            witness: Awaited before a fault is healed that asks for it; must end in time by itself.
            recreate: Stops services in order and makes their containers anew; tells of which it could.
            finished: Tells which of some services that do not run have ended as they should: nobody can kill those.
        """
        self._recreate = recreate
        self._carrier = carrier
        self._witness = witness
        self._finished = finished
        self._stack = stack
        self._agent = agent
        self._recorder = recorder
        self._tell = tell
        self._on_healed = on_healed
        self._roles = Roles(stack, agent)
        self._faults = [
            Active(index, scheduled, make(scheduled), Aim(str(scheduled.target)))
            for index, scheduled in enumerate(schedule)
        ]
        self._phase = "load"
        self._load_began = 0
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def damage(self) -> Damage:
        """What is lost for good, what of it the operators may replace, and whom faults in force keep from working.

        A LUN may be replaced once the evidence of every loss of it has been taken.
        """
        lasting = [each for each in self._faults if each.in_force and each.fault.for_good]
        lost = {lun for each in lasting for lun in each.lost}
        held = {name for each in self._faults if each.in_force for name in each.aim.services}
        return Damage(
            lost=lost,
            replaceable=lost - {lun for each in lasting if not each.ended for lun in each.lost},
            held=held | set(self._stack.services_on(tuple(self._dark_luns()))),
        )

    @property
    def can_heal(self) -> bool:
        """Whether a fault is in force that will be healed."""
        return any(each.in_force and not each.ended for each in self._faults)

    def begin_load(self) -> None:
        """Start the clock of the triggers."""
        self._load_began = time.monotonic_ns()
        self._tasks = [asyncio.create_task(self._run(each)) for each in self._faults if each.scheduled.at.phase is None]

    async def end_load(self) -> None:
        """The load is over: triggers that lie in it and have not come are missed.

        Raises:
            AgentError: An injection failed.
        """
        for each, task in zip([e for e in self._faults if e.scheduled.at.phase is None], self._tasks, strict=True):
            if not each.injected_at and not each.ended:
                task.cancel()
                self._miss(each, each.waits_for or self._why_never(each.scheduled.at))
        done = await asyncio.gather(*self._tasks, return_exceptions=True)
        for result in done:
            if isinstance(result, Exception):
                raise result

    def awaits(self, unsent: int) -> bool:
        """Whether a trigger of the load can still come when phones have so many writes left to send."""
        have = self._recorder.acknowledged
        return any(
            each.scheduled.at.acknowledged is None or each.scheduled.at.acknowledged - have <= unsent
            for each in self._faults
            if each.scheduled.at.phase is None and not (each.injected_at or each.ended or each.waits_for)
        )

    def _why_never(self, at: Trigger) -> str:
        """What a trigger asked for, what the load came to, and what would do."""
        if at.acknowledged is not None:
            return (
                f"the load ended after {self._recorder.acknowledged:,} acknowledgements, the trigger asked for "
                f"{at.acknowledged:,}: ask for fewer, or give more operations, or a smaller rate_per_second where the "
                "machine is slow"
            )
        lasted = (time.monotonic_ns() - self._load_began) / 1e9
        return (
            f"the load ended after {lasted:.1f} s, the trigger asked for {at.seconds:g} s: ask for fewer, or give more "
            "operations"
        )

    def close(self) -> None:
        """The trial broke off: nothing more is injected or healed; whoever removes the stack ends the faults."""
        for task in (*self._tasks, *(each.renewal for each in self._faults if each.renewal is not None)):
            task.cancel()

    async def enter_phase(self, phase: str) -> None:
        """Inject the faults that are due at the begin of this phase."""
        self._phase = phase
        for each in self._faults:
            if each.scheduled.at.phase == phase and await self._takes_aim(each):
                await self._inject(each)

    async def heal_all(self) -> None:
        """End every fault that can be ended, and take the evidence of those that are for good."""
        for each in self._faults:
            if each.in_force and not each.ended:
                await self._heal(each)

    async def count_lasting(self) -> None:
        """Take the evidence of faults that are for good, while what they struck is still there."""
        for each in self._faults:
            if each.in_force and each.fault.for_good and not each.ended:
                await self._heal(each)

    def replacing(self, luns: Set[str]) -> None:
        """Blank LUNs take the place of these now: from here on they are as good as any."""
        for each in self._faults:
            each.lost -= luns
            if each.fault.for_good and each.in_force:
                each.in_force = bool(each.lost)

    def conclude(self) -> None:
        """The phases in which faults may strike are over: name those that never came."""
        for each in self._faults:
            if not each.ended:
                self._miss(each, f"the trial did not reach the phase {each.scheduled.at.phase}")

    async def _run(self, each: Active) -> None:
        at = each.scheduled.at
        if at.acknowledged is not None:
            await self._recorder.when_acknowledged(at.acknowledged)
        elif at.seconds is not None:
            await asyncio.sleep(max(0.0, at.seconds - (time.monotonic_ns() - self._load_began) / 1e9))
        if not await self._takes_aim(each):
            return
        await asyncio.shield(self._inject(each))
        if each.scheduled.for_seconds is not None:
            await asyncio.sleep(each.scheduled.for_seconds)
            await self._heal(each)
            await self._on_healed()

    async def _takes_aim(self, each: Active) -> bool:
        """Find out what is struck; where that is nothing, the fault is missed."""
        each.waits_for = f"nobody had the role that it was aimed at, {each.scheduled.target}, before the load was over"
        try:
            each.aim = await take_aim(each.fault, each.scheduled.target, self._stack, self._roles)
        except NobodyThere as why:
            self._miss(each, str(why))
            return False
        return True

    async def _inject(self, each: Active) -> None:
        each.in_force = True
        each.lost = frozenset(each.aim.luns) if each.fault.for_good else frozenset()
        each.injected_at = time.monotonic_ns()  # set at once, so that the end of the load does not call it missed
        each.reply = await self._apply(
            each,
            victims(each.fault, each.aim, self._stack),
            beside(each.fault, each.aim, self._stack),
            writers(each.fault, each.aim, self._stack),
        )
        each.injected_at = each.reply["at"]
        self._record(each, "injected")
        anew = [name for name in each.aim.services if each.fault.wanted_service(ServiceState()).anew]
        if anew and self._recreate is not None:
            each.recreated = await self._recreate(anew)
        if not each.fault.for_good and not each.aim.carrier:  # what ends with the agent or the carrier has no lease
            each.renewal = asyncio.create_task(self._renew(each))
            each.renewal.add_done_callback(lambda done: done.cancelled() or done.exception())  # `_heal` raises it

    async def _renew(self, each: Active) -> None:
        """Keep the fault in force for as long as it is wanted: in the agent it would end by itself."""
        while True:
            await asyncio.sleep(_RENEWAL_SECONDS)
            await self._apply(each)

    async def _heal(self, each: Active) -> None:
        if each.ended:
            return
        each.ended = True
        if each.renewal is not None:
            each.renewal.cancel()
            await asyncio.wait([each.renewal])
            if not each.renewal.cancelled():
                each.renewal.result()  # it ends by an error alone
        if each.fault.needs_witness and self._witness is not None:
            await self._witness()
        luns = list(each.aim.luns)
        counters = await self._agent.call("counters", luns=luns, cause=each.index) if luns else {}
        dropped = await self._agent.call("dropped", links=list(each.aim.links)) if each.aim.links else []
        each.in_force = each.fault.for_good
        began = time.monotonic_ns()
        if not each.fault.for_good:
            await self._apply(each)
        evidence = self._evidence(each, counters, dropped, await self._done(each))
        why = each.fault.why_not_bitten(evidence)
        happened = "lasting" if each.fault.for_good else "healed"
        # what phones felt of the carrier is judged by their own times, so its fault ends when healing begins
        self._record(each, happened, evidence=evidence, why=why, t=began if each.aim.carrier else 0)

    async def _apply(
        self, each: Active, kill: Sequence[str] = (), with_them: Sequence[str] = (), dirty: Sequence[str] = ()
    ) -> Any:
        """Bring the fault's targets into the state that all active faults together want, and see that they are in it.

        In the same step services are killed, and LUNs that the fault is not aimed at go `with_them`, as of their
        machine; just before it is read what services have `dirty`.

        Raises:
            AgentError: The agent refuses, what it reads back is something else, or what was wanted had ended by itself.
            CarrierError: The same of the carrier.
        """
        if each.aim.carrier:
            return await self._apply_to_carrier(each)
        luns = {lun: self._wanted_lun(lun) for lun in each.aim.luns}
        services = {name: self._wanted_service(name) for name in each.aim.services}
        links = {link: self._wanted_link(link) for link in each.aim.links}
        reply = await self._agent.call(
            "apply",
            luns={name: state.to_agent() for name, state in luns.items()},
            kill=list(kill),
            unplug=[name for name in with_them if not self._stack.luns[name].is_local],
            within=[name for name in with_them if self._stack.luns[name].is_local],
            dirty=list(dirty),
            lease_seconds=_LEASE_SECONDS_MAX,
            cause=each.index,
            pause={name: state.paused for name, state in services.items()},
            links=[(*link, state.open) for link, state in links.items()],
        )
        wrong = [name for name, state in luns.items() if reply["after"][name]["rules"] != len(state.rules)]
        wrong += [name for name, read in reply["paused"].items() if read["paused"] > services[name].paused]
        wrong += [
            f"{sender} to {receiver}"
            for ((sender, receiver), state), read in zip(links.items(), reply["links"], strict=True)
            if read["open"] is not state.open
        ]
        if wrong:
            raise AgentError(f"{each.fault.name}: {', '.join(wrong)} is not in the state that was asked for")
        if reply["lapsed"]:
            raise AgentError(
                f"{each.fault.name}: what was wanted of {', '.join(reply['lapsed'])} had ended by itself, so the trial "
                "says nothing; was this host suspended or overloaded?"
            )
        return reply

    async def _apply_to_carrier(self, each: Active) -> Any:
        """Bring the carrier's wanted state about, which it reads back; answer as the agent does."""
        if self._carrier is None:
            raise CarrierError("this stack has no carrier; say `carrier: toxiproxy` under x-chaos")
        state = self._laid_over(
            CarrierState(), lambda each: each.aim.carrier, lambda each, state: each.fault.wanted_carrier(state)
        )
        at = await self._carrier.apply(state.listening, state.toxics)
        own = each.fault.wanted_carrier(CarrierState())  # all of it is among what was just read back
        return {**_NO_REPLY, "at": at, "carrier_changes": len(own.toxics) + (not own.listening)}

    def _wanted_lun(self, name: str) -> LunState:
        return self._laid_over(
            LunState(),
            lambda each: name in (each.lost if each.fault.for_good else each.aim.luns),
            lambda each, state: each.fault.wanted_lun(state.laid_over_by(each.index)),
        )

    def _wanted_service(self, name: str) -> ServiceState:
        return self._laid_over(
            ServiceState(), lambda each: name in each.aim.services, lambda each, state: each.fault.wanted_service(state)
        )

    def _wanted_link(self, link: Link) -> LinkState:
        return self._laid_over(
            LinkState(), lambda each: link in each.aim.links, lambda each, state: each.fault.wanted_link(state)
        )

    def _laid_over(self, state: S, struck: Callable[[Active], bool], wanted: Callable[[Active, S], S]) -> S:
        """A baseline with every active fault that strikes there laid over it."""
        for each in self._faults:
            if each.in_force and struck(each):
                state = wanted(each, state)
        return state

    def _dark_luns(self) -> set[str]:
        with_them = {lun for each in self._faults if each.in_force for lun in beside(each.fault, each.aim, self._stack)}
        return with_them | {
            lun
            for each in self._faults
            for lun in each.aim.luns
            if each.in_force and not each.fault.for_good and not self._wanted_lun(lun).serves
        }

    def _miss(self, each: Active, why: str) -> None:
        self._record(each, "missed", why=why)
        each.ended = True

    async def _done(self, each: Active) -> Set[str]:
        """Services that this fault would have killed, had they not ended as they should before."""
        idle = [name for name, found in each.reply["killed"].items() if not found["alive"]]
        return await self._finished(idle) if idle and self._finished is not None else frozenset()

    def _evidence(
        self, each: Active, now: dict[str, dict[str, int]], dropped: list[int], done: Set[str] = frozenset()
    ) -> Evidence:
        """What this fault itself did, and nothing that others did to the same targets."""
        before = each.reply["before"]
        closed = [each.reply["closed"][lun] for lun in each.aim.luns if lun in each.reply["closed"]]
        struck = {
            name: found for name, found in (each.reply["killed"] or each.reply["paused"]).items() if name not in done
        }
        used = [
            max(0, count - link["dropped"])
            for count, link in zip(dropped, each.reply["links"], strict=True)
            if link["was_open"] and link["carried"] > 0
        ]
        writes = [
            (each.injected_at - before[lun]["last_write_ns"]) / 1e9
            for lun in each.aim.luns
            if before[lun]["last_write_ns"] > self._load_began
        ]

        def counted(counter: str) -> int:
            return sum(now[lun][counter] for lun in each.aim.luns)

        return Evidence(
            luns=len(each.aim.luns),
            seconds_since_write=max(0.0, min(writes)) if writes else None,
            dirty_bytes=sum(each.reply["dirty"].values()),
            closed=len(closed),
            failed_reads=counted("failed_reads"),
            failed_writes=counted("failed_writes"),
            failed_flushes=counted("failed_flushes"),
            held_ios=counted("held"),
            discarded_bytes=sum(closed),
            services=len(struck),
            killed=sum(each["alive"] for each in each.reply["killed"].values()),
            paused=sum(read["paused"] and not read["was_paused"] for read in each.reply["paused"].values()),
            recreated=sum(struck[name]["alive"] for name in each.recreated),
            received_bytes=sum(each["received_bytes"] for each in struck.values()),
            links=len(each.aim.links),
            links_in_use=len(used),
            dropped_packets=sum(used),
            carrier_changes=each.reply.get("carrier_changes", 0),
            delay_ms=each.fault.wanted_carrier(CarrierState()).delay_ms,
        )

    def _record(
        self, each: Active, happened: Any, *, evidence: Evidence | None = None, why: str = "", t: int = 0
    ) -> None:
        event = FaultEvent(
            index=each.index,
            t=each.injected_at if happened == "injected" else t or time.monotonic_ns(),
            fault=each.fault.name,
            target=each.aim.who,
            happened=happened,
            phase=each.scheduled.at.phase or "load",
            bit=evidence is not None and not why,
            evidence={} if evidence is None else evidence.counted(),
            why=why,
        )
        self._recorder.append(event)
        self._tell(event)

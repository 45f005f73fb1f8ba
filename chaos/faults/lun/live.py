"""Applies faults of LUNs to a stack copy, through the agent, which holds the LUNs."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import Mapping, Set
from typing import Any

from chaos.agent.states import LunState
from chaos.agent.wire import Event
from chaos.agent.wire_states import ApplyLuns, Arm, CountIos, Disarm, FellOn, Killed, LunsApplied
from chaos.errors import AgentError
from chaos.experiment.plan import Target, Trigger
from chaos.faults.aim import NobodyThere, moved, services_named, with_notes
from chaos.faults.base import Fault
from chaos.faults.live import LEASE_SECONDS_MAX, LiveMedium, Strike, require_applied
from chaos.faults.lun.medium import LARGEST, LunEvidence, LunFault, luns_named
from chaos.stack.live.mending import Damage


class LunStrike(Strike):
    """A fault on some LUNs.

    Attributes:
        luns: What it is aimed at.
        lost: Of a fault for good, the LUNs that have not been replaced yet.
        counted: Whether its evidence has been taken.
    """

    def __init__(self, medium: LiveLuns, who: str, index: int, fault: LunFault, luns: tuple[str, ...]) -> None:
        """Nothing is injected yet."""
        super().__init__(who, index, fault)
        self.luns = luns
        self.lost: Set[str] = frozenset()
        self.counted = False
        self.wants = fault
        self._medium = medium
        self._applied: LunsApplied | None = None
        self._at: Trigger | None = None
        self._event: Event | None = None
        self._told = asyncio.Event()
        self._injected_ns = 0
        self._load_began_ns = medium.at.load_began_ns
        self.is_leased = not fault.for_good  # what ends with the agent has no lease

    @property
    def struck(self) -> tuple[str, ...]:
        """The LUNs, and the arrays of a SAN of which it struck all."""
        stack = self._medium.at.stack
        arrays = dict.fromkeys(stack.array_of(lun) for lun in self.luns)
        whole = [name for name in arrays if name and set(stack.arrays[name]) <= set(self.luns)]
        return (*self.luns, *whole)

    @property
    def laid_over(self) -> Set[str]:
        """The LUNs over which its state is laid."""
        return self.lost if self.fault.for_good else frozenset(self.luns)

    @property
    def with_them(self) -> tuple[str, ...]:
        """Further LUNs of the machines that die with it: their page cache dies too, and so do local disks.

        A SAN's arrays go on.
        """
        luns = self._medium.at.stack.joined(self.luns)[1] if self.wants.kills else ()
        return tuple(lun for lun in luns if lun not in self.luns)

    async def inject(self) -> int:
        """In the same step services are killed, and further LUNs go with their machine."""
        if self._at is None:
            async with self._medium.at.changing:
                self._comes_into_force()
                self._applied = await self._medium.apply(self, self._whole())
        else:
            self._applied = self._medium.verified(self, self._whole(), self._told_of())
        self._injected_ns = self._applied.at
        return self._injected_ns

    async def arm(self, at: Trigger) -> None:
        """What `inject` would ask for is asked for ahead."""
        assert at.io is not None
        assert at.lun is not None
        self._at, lun = at, self._medium.at.stack.lun_named(at.lun)
        self._medium.at.agent.on_struck[self.index] = self._strikes
        await self._medium.at.agent.call(Arm(self._whole(), lun, *at.io, before=at.when == "before"))

    async def has_struck(self) -> None:
        """The agent tells."""
        await self._told.wait()

    async def disarm(self) -> str:
        """The agent is asked; where it has just struck, it has told so first."""
        counted = await self._medium.at.agent.call(Disarm(self.index))
        self._medium.at.agent.on_struck.pop(self.index, None)
        if self._event is not None:
            return ""
        assert self._at is not None
        assert self._at.io is not None
        operation, number = self._at.io
        came = {
            "flush": f"{counted.flushes:,} of {number:,} flushes",
            "write": f"{counted.writes:,} of {number:,} writes",
        }
        ended = "operators took its disks or those of the fault away" if counted.taken_apart else "the load ended"
        remedy = "another trigger, or no other fault on them before" if counted.taken_apart else "more operations"
        return f"{ended} after {came[operation]} of {self._at.lun}: ask for fewer, or give {remedy}"

    async def renew(self) -> None:
        """Apply again."""
        async with self._medium.at.changing:
            await self._medium.apply(self, self._request(self.wants.wanted(LunState(), self.index)))

    async def end(self) -> LunEvidence:
        """What it did is counted before anything else changes."""
        async with self._medium.at.changing:
            counts = await self._medium.at.agent.call(CountIos(self.luns, self.index))
            self.counted = True
            self.in_force = self.fault.for_good
            if not self.fault.for_good:
                await self._medium.apply(self, self._request(LunState()))
        assert self._applied is not None
        struck = await self._medium.at.struck(self._applied.killed)
        return self._evidence({name: each.ios for name, each in counts.luns.items()}, struck)

    def _comes_into_force(self) -> None:
        self.in_force = True
        self.lost = frozenset(self.luns) if self.fault.for_good else frozenset()

    def _strikes(self, event: Event) -> None:
        """It was armed, and has struck: nobody may go by what was in force before."""
        self._comes_into_force()
        self._event = event
        self.fell_on = _in_words(event.fell_on) if event.fell_on is not None else ""
        self._told.set()

    def _told_of(self) -> LunsApplied:
        """What became of it when it struck.

        Raises:
            AgentError: The agent could not bring it into force.
        """
        assert self._event is not None
        if self._event.applied is None:
            raise AgentError(f"{self.fault.name}, {self.fell_on}: the agent could not do it: {self._event.error}")
        return self._event.applied

    def _request(self, wanted: LunState) -> ApplyLuns:
        return ApplyLuns(dict.fromkeys(self.luns, wanted), LEASE_SECONDS_MAX, cause=self.index)

    def _whole(self) -> ApplyLuns:
        """The request that injects it: with the services that are killed, and the LUNs that go with their machine."""
        stack = self._medium.at.stack
        victims = stack.joined(self.luns)[0] if self.wants.kills else ()
        # what is dirty never reaches a LUN that this takes away; what of it is meant for another one nobody can tell
        writers = stack.services_on(self.luns) if self.wants.kills or self.fault.for_good else ()
        if not self.wants.kills:
            writers = tuple(name for name in writers if set(stack.luns_of((name,))) <= set(self.luns))
        local = {lun: stack.luns[lun].is_local for lun in self.with_them}
        return dataclasses.replace(
            self._request(self.wants.wanted(LunState(), self.index)),
            kill=tuple(victims),
            unplug=tuple(lun for lun, is_local in local.items() if not is_local),
            within=tuple(lun for lun, is_local in local.items() if is_local),
            dirty=tuple(writers),
        )

    def replaced(self, luns: Set[str]) -> None:
        """Blank LUNs take the place of these."""
        self.lost -= luns
        if self.fault.for_good and self.in_force:
            self.in_force = bool(self.lost)

    def _evidence(self, counts: dict[str, dict[str, int]], struck: Mapping[str, Killed]) -> LunEvidence:
        assert self._applied is not None
        applied = self._applied
        writes = [
            (self._injected_ns - applied.before[lun].last_write_ns) / 1e9
            for lun in self.luns
            if applied.before[lun].last_write_ns > self._load_began_ns
        ]
        names = ("failed_reads", "failed_writes", "failed_flushes")
        ios = {name: sum(counts[lun].get(name, 0) for lun in self.luns) for name in names}
        more = sorted(set().union(*(counts[lun] for lun in self.luns)) - set(names))
        of_all = {name: max if name in LARGEST else sum for name in more}
        ios |= {name: whole(counts[lun].get(name, 0) for lun in self.luns) for name, whole in of_all.items()}
        return LunEvidence(
            luns=len(self.luns),
            dirty_bytes=sum(applied.dirty.values()),
            closed=sum(lun in applied.closed for lun in self.luns),
            ios=ios,
            discarded_bytes=sum(applied.closed.get(lun, 0) for lun in self.luns),
            kept_bytes=sum(applied.kept.values()),
            services=len(struck),
            killed=sum(each.alive for each in struck.values()),
            received_bytes=sum(each.received_bytes for each in struck.values()),
            seconds_since_write=max(0.0, min(writes)) if writes else None,
        )


class LiveLuns(LiveMedium[LunStrike]):
    """The LUNs of one running stack."""

    async def _aimed(self, index: int, fault: Fault[Any], target: Target) -> LunStrike:
        """The LUNs named, those of the arrays named, or those that the services named mount."""
        assert isinstance(fault, LunFault)
        stack = self.at.stack
        if target.key not in ("service", "role"):
            return LunStrike(self, str(target), index, fault, luns_named(target, stack))
        found = await services_named(target, self.at)
        notes = moved(found)
        services = tuple(dict.fromkeys(itertools.chain.from_iterable(found.values())))
        luns = stack.luns_of(services)
        if not luns:
            raise NobodyThere(f"{', '.join(services)} mounts no LUN")
        if fault.whole_arrays:
            luns = stack.beside(luns)
            if not luns:
                raise NobodyThere(f"{', '.join(services)} is on local disks alone, which are no array of a SAN")
            notes += [f"array {name}" for name in dict.fromkeys(stack.luns[n].array for n in luns)]
        return LunStrike(self, with_notes(target, notes), index, fault, luns)

    @property
    def damage(self) -> Damage:
        """A LUN may be replaced once the evidence of every loss of it has been taken."""
        lasting = [each for each in self.in_force if each.fault.for_good]
        lost = {lun for each in lasting for lun in each.lost}
        return Damage(
            lost=lost,
            replaceable=lost - {lun for each in lasting if not each.counted for lun in each.lost},
            held=set(self.at.stack.services_on(tuple(self._dark()))),
        )

    def replacing(self, luns: Set[str]) -> None:
        """They are no longer lost."""
        for each in self._strikes:
            each.replaced(luns)

    async def apply(self, strike: LunStrike, request: ApplyLuns) -> LunsApplied:
        """Bring the LUNs of a strike into the state that it wants, over what other strikes want, and see that they are.

        Raises:
            AgentError: They are not, or what was wanted had ended by itself.
        """
        return self.verified(strike, request, await self.at.agent.call(request))

    def verified(self, strike: LunStrike, request: ApplyLuns, applied: LunsApplied) -> LunsApplied:
        """See that LUNs were read back as they were wanted.

        Power that is wanted again comes with the operators, who check the file system and attach the LUN through a new
        port (`chaos.stack.live.mending`): until then it is read back as off.

        Raises:
            AgentError: They were not, or what was wanted had ended by itself.
        """
        wrong = []
        for lun, wanted in request.luns.items():
            read = applied.after[lun]
            effects = tuple(each for each in read.effects if each.cause == strike.index)
            is_on = wanted.power and not wanted.lost
            if effects != wanted.effects or (wanted.lost and not read.lost) or (read.power and not is_on):
                wrong.append(lun)
        require_applied(strike.fault, wrong, applied.lapsed)
        return applied

    def _wanted(self, lun: str) -> LunState:
        """What all strikes in force together want of a LUN."""
        state = LunState()
        for each in self.in_force:
            if lun in each.laid_over:
                state = each.wants.wanted(state, each.index)
        return state

    def _dark(self) -> set[str]:
        """LUNs on which nobody gets an answer, for as long as a fault is in force that is not for good."""
        ending = [each for each in self.in_force if not each.fault.for_good]
        dark = {lun for each in ending for lun in each.luns if not self._wanted(lun).serves}
        return dark.union(*(each.with_them for each in self.in_force))


def _in_words(fell_on: FellOn) -> str:
    """As "after flush 12 of pgdata (31 writes before it, the last one 4096 bytes at 8192)"."""
    text = f"{'before' if fell_on.before else 'after'} {fell_on.operation} {fell_on.number} of {fell_on.lun}"
    place = f"{fell_on.size} bytes at {fell_on.offset}"
    if fell_on.operation == "write":
        return f"{text} ({place})"
    last = f", the last one {place}" if fell_on.writes else ""
    return f"{text} ({fell_on.writes} writes before it{last})"

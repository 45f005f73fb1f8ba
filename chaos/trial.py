"""One trial, readable top to bottom.

    reset -> canaries -> load with faults -> heal -> recover -> converge -> fresh devices
    -> caches -> cold restart -> reset devices -> check

Only the check speaks of the service; everything that goes wrong with the harness raises, and there is no verdict.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from chaos.checks.file import judge_file
from chaos.errors import AgentError, DriverError, HarnessError, HoldfastError
from chaos.experiment.mix import mix_without
from chaos.experiment.plan import Plan
from chaos.faults.injector import Injector
from chaos.faults.live import Surroundings
from chaos.history.events import BLOBS, CANARY_DEVICE, CANARY_OWNER, COPIES, PLANTED, ROLE, Header, Note, PhaseEvent
from chaos.history.recorder import Recorder
from chaos.history.told import NOBODY
from chaos.reporting.listener import Teller
from chaos.reporting.recall import fell_before, result_of
from chaos.reporting.result import LOGS_FOLDER, TrialResult, write_result
from chaos.stack.agent.heartbeat import Stall
from chaos.stack.cache import in_agent, scratch_of
from chaos.stack.live.disks import Unrecoverable
from chaos.stack.live.lifecycle import Lab
from chaos.stack.live.mending import mend
from chaos.stack.live.roles import Roles
from chaos.stack.live.running import RunningStack
from chaos.stack.provenance import commit_of
from chaos.workload import canaries
from chaos.workload.actions import actions_of
from chaos.workload.drivers import chosen_driver
from chaos.workload.drivers.blame import drivers_place
from chaos.workload.fleet import Fleet, ask_nobody
from chaos.workload.logbook import Logbook
from chaos.workload.planting import acknowledged_records, plant_loss
from chaos.workload.reads.doors import (
    Door,
    Reader,
    Readers,
    copy_door,
    copy_doors,
    fresh_doors,
    read_doors,
    reset_doors,
)
from chaos.workload.session import FrontDoor

T = TypeVar("T")

RECORDING_FOLDER = "recording"
"""Of the folder of an exploration: the write logs of its LUNs."""
_PROGRESS_SECONDS = 0.25


class Trial:
    """One execution of a plan on a stack that is ready for it."""

    def __init__(self, plan: Plan, lab_: Lab, readers: Readers, folder: Path, fan: Teller) -> None:
        """Prepare; nothing is touched yet."""
        self._plan = plan
        self._stack = stack = lab_.running.stack
        self._lab = lab_
        self._running = running = lab_.running
        self._folder = folder
        self._fan = fan
        self._recorder = Recorder(folder / "history.jsonl")
        self._logbook = Logbook(self._recorder, hush=lab_.running.hush)
        kinds = (kind for kind, _, _ in stack.doors)
        self._driver = chosen_driver(plan.driver or stack.driver, plan.driver_folder, kinds, stack.policy)
        self._all_readers = readers
        readers.hush = lab_.running.hush
        self._mending = asyncio.Lock()
        self._roles = Roles(stack, running.agent)
        at = Surroundings(
            stack,
            running.agent,
            self._roles,
            running.carrier,
            self._look_beside,
            running.execute,
            self._recreate,
            running.finished,
            changing=running.changing,
        )
        self._injector = Injector(plan.schedule, at, self._recorder, fan.fault, self._mend_in_load, fell_before(plan))
        self._watching: asyncio.Task[None] | None = None
        self._readers: list[Reader] = []
        self._unrecoverable = ""
        self._stalls: dict[str, float] = {}
        self._fleet: Fleet | None = None

    async def run(self, *, keep: bool, leave: Callable[[TrialResult], bool] | None = None) -> TrialResult:
        """Run it and judge it; where `leave` says so, its stack runs on."""
        async with self._on_the_stack(keep=keep):
            not_covered = await unless_the_agent_dies(self._running, self._execute(), self._folder)
            judging = asyncio.ensure_future(asyncio.to_thread(self._judge, not_covered))
            if leave is not None:
                self._lab.is_left = leave(await judging)
        return await judging

    async def record(self) -> None:
        """Run it to the end of its load, and keep the write logs of all LUNs; nothing is read back or judged."""
        async with self._on_the_stack(keep=False):
            await unless_the_agent_dies(self._running, self._record(), self._folder)

    @asynccontextmanager
    async def _on_the_stack(self, *, keep: bool) -> AsyncIterator[None]:
        """Clear the stack at the end, whatever happens."""
        self._running.logs = self._folder / LOGS_FOLDER
        self._running.logs.mkdir(exist_ok=True)
        self._running.restarts.held = lambda: self._injector.damage.held
        try:
            yield
        finally:
            self._running.restarts.held = frozenset
            await self._stop_watching()
            self._recorder.abandon()
            for reader in self._readers:
                await reader.close()
            try:
                if keep and not self._lab.is_left:
                    await self._keep_luns()
            finally:
                await self._lab.clear()

    async def _execute(self) -> tuple[str, ...]:
        """Every phase in its order; return what the trial could not cover."""
        begun = time.time()
        not_covered: tuple[str, ...] = ()
        await self._begin()
        fleet = await self._load()
        try:
            await self._bring_back()
            if self._plan.plants_loss and not self._unrecoverable:
                among = acknowledged_records(self._recorder.path, fleet.waiting_records())
                how = self._stack.planting, self._running.execute
                self._note(PLANTED, await plant_loss(among, self._plan.seed, *how))
            if not self._unrecoverable:
                not_covered = await self._read_doors(fleet)
        finally:
            await fleet.close()
        await self._stop_watching()
        await self._running.keep_events(self._folder, begun)
        self._recorder.close()
        return not_covered

    async def _record(self) -> None:
        await self._begin()
        await self._running.disks.keep_logs()
        fleet = await self._load()
        await fleet.close()
        await self._running.settle()  # the logs are to have what the kernel has not written yet
        await self._save(RECORDING_FOLDER, self._running.disks.save_logs)
        self._recorder.close()

    async def _begin(self) -> None:
        """Everything before the load."""
        self._recorder.append(self._header(await asyncio.to_thread(commit_of, self._plan.file)))
        self._running.agent.on_stall = self._note_stall
        self._running.ends.say = lambda text: self._note("ended", text)
        self._readers = [await self._all_readers.new() for _ in range(2)]
        async with self._phase("reset"):
            self._running.hostnames.take(self._lab.golden.hostnames())
            await self._running.up(self._lab.golden.bases(), self._plan.limits.ready_seconds_max)
        self._note_copies()
        async with self._phase("canaries"):
            await self._plant_canaries()

    async def _stop_watching(self) -> None:
        self._running.agent.on_stall = lambda stall: None
        self._running.ends.say = lambda text: None
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)  # who asks next is told of a dead agent

    # --- the phases

    async def _plant_canaries(self) -> None:
        """Plant both, and write all dirty pages back, so that what a LUN takes from here on is the workload's."""
        await ask_nobody(self._driver, self._front_door, CANARY_OWNER, CANARY_DEVICE, None)
        await canaries.plant(
            self._driver,
            self._front_door,
            self._logbook,
            self._readers[0],
            policy=self._stack.policy,
            request_seconds_max=self._plan.workload.request_seconds_max,
            kind=self._plan.workload.record_types[0],
            deadline=time.monotonic() + self._plan.limits.ready_seconds_max,
        )
        await self._running.settle()

    async def _load(self) -> Fleet:
        """Phones work, faults strike."""
        plan, policy = self._plan, self._stack.policy
        fleet = Fleet(plan.workload, actions_of(plan), self._driver, self._front_door, self._logbook, policy)
        self._fleet = fleet
        try:
            self._watching = asyncio.create_task(self._roles.watch(self._note_role))
            async with self._phase("load"):
                self._injector.begin_load()
                await self._injector.arm()
                showing = asyncio.create_task(self._show_progress(fleet))
                try:
                    await fleet.work(self._injector.awaits)
                finally:
                    showing.cancel()
                await self._injector.end_load()
        except BaseException:
            self._injector.close()
            await fleet.close()
            raise
        return fleet

    async def _bring_back(self) -> None:
        """Heal what can be healed, do what the operators would do, wait until the service serves."""
        limits = self._plan.limits
        async with self._phase("heal"):
            await self._injector.enter_phase("heal")
            await self._injector.heal_all()
        try:
            async with self._phase("recover"):
                await self._injector.enter_phase("recover")
                begun = time.monotonic()
                try:
                    await self._recover(limits.recover_seconds_max)
                    if not self._injector.can_heal:
                        await self._running.all_healthy(limits.recover_seconds_max - (time.monotonic() - begun))
                except Unrecoverable as error:
                    if not self._injector.can_heal:
                        raise
                    self._fan.log(f"not back while a fault is in force: {error}")
            async with self._phase("converge"):
                await self._injector.enter_phase("converge")
                await self._injector.heal_all()
                self._injector.conclude()
                await self._recover(limits.recover_seconds_max)
                await self._running.answers(limits.converge_seconds_max)
        except Unrecoverable as error:
            self._give_up(error)
            await self._injector.heal_all()
            self._injector.conclude()

    async def _read_doors(self, fleet: Fleet) -> tuple[str, ...]:
        """The final reads in their order; what the services wrote outside LUNs is seen before the cold restart."""
        async with self._phase("fresh devices"):
            await self._read(1, fresh_doors(fleet.owners))
        async with self._phase("caches"):
            deadline = time.monotonic() + self._plan.limits.door_seconds_max
            await fleet.flush_and_sync(deadline, self._running.heard)
            await fleet.ask_nobody()
        not_covered = await self._running.not_covered()
        try:
            async with self._phase("cold restart"):
                await self._running.cold_restart(self._plan.limits.recover_seconds_max)
        except Unrecoverable as error:
            self._give_up(error)
            return not_covered
        async with self._phase("reset devices"):
            devices = [(device.name, device.owner) for device in fleet.devices]
            await self._read(4, (*reset_doors(devices), *copy_doors(self._stack.doors, fleet.owners)))
        return not_covered

    async def _read(self, step: int, doors: Sequence[Door]) -> None:
        """Read doors in a process that has never seen the service, or (1) only the canaries."""
        reader = self._readers[0 if step == 1 else 1]
        deadline = time.monotonic() + self._plan.limits.door_seconds_max
        await read_doors(reader, self._front_door, step, doors, self._recorder, deadline=deadline)

    def _judge(self, not_covered: tuple[str, ...]) -> TrialResult:
        history, judgement = judge_file(self._recorder.path)
        result = result_of(self._plan, self._folder, history, judgement, not_covered, self._lab.images)
        write_result(result)
        return result

    async def _look_beside(self) -> None:
        """The witness: reads what the service has committed, past the carrier."""
        if self._fleet is not None:
            host, port = self._running.service_door
            await self._fleet.witness(FrontDoor(host, port, self._running.published))

    # --- mending

    async def _mend_in_load(self) -> None:
        """A fault ended while the load goes on, or the operators come: bring back what it took down."""
        try:
            await self._bring_up(self._plan.limits.recover_seconds_max, wait=False)
        except Unrecoverable as error:
            self._fan.log(f"not back within the load: {error}")

    async def _recreate(self, services: Sequence[str]) -> Sequence[str]:
        """Make the containers of these services anew, while nobody else mends the stack."""
        async with self._mending:
            return await self._running.recreate(services)

    async def _recover(self, seconds_max: float) -> None:
        """Bring back everything."""
        await self._injector.count_lasting()
        await self._bring_up(seconds_max, wait=True)

    async def _bring_up(self, seconds_max: float, *, wait: bool) -> None:
        """Bring back what is down; where LUNs are gone for good, follow the runbook."""
        async with self._mending:
            replaces = bool(self._injector.damage.replaceable)
            blanks = await self._lab.golden.blanks(self._running.agent) if replaces else {}
            async for said in mend(
                self._running,
                lambda: self._injector.damage,
                blanks,
                seconds_max,
                wait=wait,
                replacing=self._injector.replacing,
                hindered=lambda: self._injector.can_heal,
            ):
                self._note(*said)

    def _give_up(self, error: Unrecoverable) -> None:
        self._unrecoverable = str(error)
        self._note("unrecoverable", self._unrecoverable)

    # --- small things

    @property
    def _front_door(self) -> FrontDoor:
        return FrontDoor(*self._running.front_door, self._running.published)

    def _header(self, commit: dict[str, str]) -> Header:
        plan, stack = self._plan, self._stack
        return Header(
            experiment=plan.experiment,
            seed=plan.seed,
            policy=stack.policy,
            idempotency=stack.idempotency,
            sessions=plan.checks.sessions,
            rpo_seconds=plan.checks.rpo_seconds,
            minimum_acknowledged=plan.checks.minimum_acknowledged,
            require_mix=plan.checks.require_mix,
            mix_without=mix_without(plan.workload),
            canaries=canaries.CANARIES,
            faults=tuple(each.fault for each in plan.schedule),
            copies=tuple(copy_door(kind, service) for kind, service, _ in stack.doors),
            t=time.monotonic_ns(),
            epoch_ns=time.time_ns(),
            versions={**self._lab.versions, **commit},
            images={name: service.image for name, service in stack.services.items()},
        )

    @asynccontextmanager
    async def _phase(self, name: str) -> AsyncIterator[None]:
        begun = time.monotonic()
        self._recorder.append(PhaseEvent(name, time.monotonic_ns(), "begun"))
        self._fan.phase(name, None)
        yield
        self._recorder.append(PhaseEvent(name, time.monotonic_ns(), "ended"))
        self._fan.phase(name, time.monotonic() - begun)

    async def _show_progress(self, fleet: Fleet) -> None:
        while True:
            await asyncio.sleep(_PROGRESS_SECONDS)
            self._fan.advanced(fleet.performed, self._recorder.acknowledged)

    def _note(self, topic: str, text: str) -> None:
        self._recorder.append(Note(topic, time.monotonic_ns(), text))
        self._fan.log(f"{topic}: {text}")

    def _note_stall(self, stall: Stall) -> None:
        """All phones stood still together: what was measured meanwhile is late, and nothing else than that.

        Late answers only make the time longer in which a write may have taken effect, so no verdict gets stricter.
        """
        place = drivers_place(stall.stack)
        if not place or stall.seconds < 2 * self._stalls.get(place, 0.0):
            return
        self._stalls[place] = stall.seconds
        self._note(
            "stalled",
            f"all phones stood still for {stall.seconds:.1f} s at {place}; what was measured then is late; a driver "
            f"has to await, or to block in a thread (asyncio.to_thread)",
        )

    def _note_role(self, role: str, services: tuple[str, ...]) -> None:
        text = f"{role}: {', '.join(services) or NOBODY}"
        self._recorder.append(Note(ROLE, time.monotonic_ns(), text, role, services))
        self._fan.log(f"role: {text}")

    def _note_copies(self) -> None:
        stack = self._stack
        for store, volumes in stack.copies.items():
            copies = tuple((name, stack.array_of(name), stack.place_of(name) or "no LUN") for name in volumes)
            text = f"{store}: {', '.join(f'{name} on {place}' for name, _, place in copies)}"
            self._recorder.append(Note(COPIES, time.monotonic_ns(), text, store=store, copies=copies))
        if self._plan.checks.topology == "strict":
            for store, place in stack.copies_in_one_place().items():
                if store != BLOBS or self._plan.workload.photos:
                    self._note("unprotected", f"every copy of {store} is on {place}")

    async def _keep_luns(self) -> None:
        """Move the LUNs' content, as it is once nobody writes any more, into the run folder."""
        with contextlib.suppress(HoldfastError):  # what could be saved is kept
            await self._running.take_down()
            with contextlib.suppress(HarnessError):  # what has not arrived is not kept
                await self._running.unmounted()
            await self._save("luns", self._running.disks.save)

    async def _save(self, name: str, save: Callable[[str], Awaitable[None]]) -> None:
        """Have the agent write files into a folder, and move it into the run folder, as much as was written."""
        folder = scratch_of(self._lab.run.id) / name
        folder.mkdir(parents=True)
        try:
            await save(in_agent(folder))
        finally:
            await asyncio.to_thread(shutil.move, folder, self._folder)


async def unless_the_agent_dies(running: RunningStack, work: Coroutine[None, None, T], folder: Path) -> T:
    """A dead agent takes the disks away, and whatever the phones see then is the harness's doing.

    Raises:
        AgentError, DriverError: It died, or nobody fed it; the file of its last words is in the folder.
    """
    doing = asyncio.ensure_future(work)
    dying = asyncio.ensure_future(running.agent.lost.wait())
    try:
        await asyncio.wait([doing, dying], return_when=asyncio.FIRST_COMPLETED)
        if dying.done():
            if (stall := running.agent.given_up) is not None:
                place = drivers_place(stall.stack) or "a line that is not the driver's"
                raise DriverError(
                    f"nothing moved for {stall.seconds:.0f} s, so the agent let go of every fault; all waited for "
                    f"{place}; a driver has to await, or to block in a thread (asyncio.to_thread)"
                )
            raise AgentError(f"the agent is gone, so the trial says nothing; {folder} has its last words")
        return await doing
    finally:
        dying.cancel()
        doing.cancel()
        await asyncio.wait([doing])

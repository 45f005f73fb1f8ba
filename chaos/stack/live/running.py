"""A running copy of a stack: its LUNs attached, its containers started in order, restarted, mended and removed.

Everything here is what an operator could do (start, stop, restart, replace a disk, check a file system); faults are
elsewhere. All methods belong to one event loop; the engine's blocking calls run in threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import time
from collections.abc import Coroutine, Iterable, Mapping, Set
from pathlib import Path
from typing import Any

import orjson

from chaos.agent.states import Crash
from chaos.agent.wire import Confine, Forget, Heard, Release, Sync, Watch
from chaos.errors import CarrierError, EngineError, HarnessError
from chaos.stack.agent.link import Agent
from chaos.stack.cache import scratch_of
from chaos.stack.carrier.carrier import NAME as CARRIER
from chaos.stack.carrier.carrier import Carrier, CarrierPlace
from chaos.stack.engine import containers
from chaos.stack.engine.client import Engine, Refusal
from chaos.stack.engine.containers import Container, ServicePlace
from chaos.stack.engine.identity import Run
from chaos.stack.engine.network import Network, addresses
from chaos.stack.engine.ports import host_ports
from chaos.stack.hush import Hush
from chaos.stack.live import layers
from chaos.stack.live.disks import Disks, Unrecoverable
from chaos.stack.live.files import BoundFiles
from chaos.stack.live.frames import Frames
from chaos.stack.live.hostnames import Hostnames
from chaos.stack.live.readiness import Behind, Readiness, all_over, raised_as
from chaos.stack.live.restarts import Ends, Restarts
from chaos.stack.spec import Service, Stack
from chaos.stack.waiting import Waits

_RECREATE_SECONDS_MAX = 30.0
_KILLED = 128 + signal.SIGKILL


class RunningStack:
    """One stack copy on the engine."""

    def __init__(
        self,
        client: Engine,
        stack: Stack,
        images: Mapping[str, str],
        run: Run,
        agent: Agent,
        net: Network,
        carrier_image: str = "",
        copy_image: str = "",
        *,
        repeats: bool = False,
    ) -> None:
        """Nothing runs yet.

        Args:
            client: The engine.
            stack: With all that is written to on LUNs: `chaos.stack.local`.
            images: Image ids by service.
            run: Whose copy this is.
            agent: Has the LUNs.
            net: Where the containers are.
            carrier_image: Of the carrier, where the stack has one.
            copy_image: One that has `cp`, where the stack binds folders that may be written to.
            repeats: Services are started very often: their network namespaces are kept, and their ports not published.
        """
        self.stack = stack
        self.agent = agent
        self.running: dict[str, Container] = {}
        self.logs: Path | None = None
        self.blank: Set[str] = frozenset()
        """LUNs that are blank in the place of lost ones, and for which the runbook has not come to its end."""
        self.changing = asyncio.Lock()
        """Held while LUNs are taken away and put in place, from the look at what there is to do: no fault strikes one
        meanwhile."""
        self._client = client
        self._run = run
        self._network = net
        self._attempts, self._copy_image = itertools.count(1), copy_image
        self.disks = Disks(client, stack, run, agent)
        self.files = BoundFiles(stack, scratch_of(run.id) / "files")
        self.hostnames = Hostnames(stack)
        self.hush = Hush(stack)
        self.restarts = Restarts(stack, self._start_again)
        self.ends = Ends(client, stack, agent, self.running, self.restarts)
        self.not_running, self.finished = self.ends.not_running, self.ends.finished
        self.waits = Waits()
        self._ready = Readiness(client, stack, self.running, self.restarts.restarts, self.hush, self.waits)
        self.behind = Behind(stack, self._ready)
        hosts = addresses(stack, net)
        self._places = {
            each.name: ServicePlace(run, net, index, images[each.name], host_ports(each), hosts, not repeats)
            for index, each in enumerate(stack.services.values())
        }
        self._frames = Frames(client, agent, copy_image, self._places) if repeats else None
        name, port = stack.front_door
        upstream = f"{net.address(self._places[name].index)}:{port}"
        place = CarrierPlace(run, net, carrier_image, len(self._places), upstream)
        self.carrier = Carrier(client, agent, place) if stack.carrier else None

    @property
    def front_door(self) -> tuple[str, int]:
        """Address at which phones reach the front door: the carrier's where there is one."""
        return self.carrier.address if self.carrier else self.service_door

    @property
    def service_door(self) -> tuple[str, int]:
        """The front door itself, past the carrier: for what the harness must see even when phones cannot."""
        service, port = self.stack.front_door
        return self._places[service].door(port)

    @property
    def published(self) -> dict[str, tuple[str, int]]:
        """Every published port, by "service:port"."""
        places = self._places.items()
        return {f"{name}:{port}": place.door(port) for name, place in places for port in place.host_ports}

    async def up(self, bases: Mapping[str, str], seconds_max: float) -> None:
        """Attach LUNs cloned from `bases` (paths in the agent), start every service and wait until all is steady.

        Raises:
            HarnessError: A service does not get ready in time; the message carries its last words.
        """
        deadline = time.monotonic() + seconds_max
        await asyncio.gather(self.disks.make(bases), asyncio.to_thread(self.files.lay_out))
        await self._make(self.stack.services, HarnessError)
        await self._up(deadline, HarnessError)

    async def up_after_crash(self, bases: Mapping[str, str], crashes: Mapping[str, Crash], seconds_max: float) -> None:
        """As `up`, on what a power cut would have left of LUNs over these files; file systems are checked first.

        What there is of the copy is removed meanwhile: its LUNs are dropped first, so nothing that it writes arrives.

        Raises:
            Unrecoverable: A file system needs more than a boot-time check, or a service does not get ready.
        """
        self.behind.clear()
        self.ends.clear()
        await self.agent.call(Release())
        removal = self._remove(self.running, self.disks.set_aside(self.disks.names))
        await all_over([removal, self.disks.make_crashed(bases, crashes)])
        await asyncio.to_thread(self.files.lay_out)
        await self._make(self.stack.services, Unrecoverable)
        if self.carrier:
            await self.carrier.remove(self.logs, self.hush)
        await self._up(time.monotonic() + seconds_max, Unrecoverable)

    async def _up(self, deadline: float, error: type[HarnessError]) -> None:
        seconds_max = deadline - time.monotonic()
        carrier = [self.carrier.start(seconds_max)] if self.carrier else []
        start = self._ready.start_in_order(self.stack.services, self._start, seconds_max, error)
        await asyncio.gather(start, *carrier)
        await self._open(deadline)
        await self._steady(deadline, error)

    async def take_down(self) -> None:
        """Remove every container of this copy, whatever fault is in force."""
        self.behind.clear()
        self.ends.clear()
        await self.agent.call(Release())
        await self._remove(list(self.running))
        if self.carrier:
            await self.carrier.remove(self.logs, self.hush)

    async def clear(self) -> None:
        """Remove every container, volume and LUN of this copy, whatever fault is in force."""
        await self.take_down()
        await self.disks.clear()
        self.blank = frozenset()
        await asyncio.to_thread(self.files.clear)

    async def shut_down(self) -> None:
        """Stop every service in order, dependents first, so that all data is on the LUNs."""
        stopped: dict[str, asyncio.Task[None]] = {}

        async def stop(service: Service) -> None:
            await asyncio.gather(*(stopped[other] for other in self.stack.dependents(service.name)))
            await self._stop(service)

        self.restarts.cancel(self.stack.services)
        for name in reversed(self.stack.in_start_order(self.stack.services)):
            stopped[name] = asyncio.create_task(stop(self.stack.services[name]))
        await asyncio.gather(*stopped.values())

    async def _stop(self, service: Service) -> None:
        await self.agent.call(Forget(service.name))
        container, begun = self.running[service.name], time.monotonic()
        with self.waits.of(f"{service.name} to stop", begun + service.stop_grace_seconds):
            await asyncio.to_thread(containers.stop, self._client, container, service.stop_grace_seconds)
            code = (await asyncio.to_thread(containers.state, self._client, container))[1]
        if code == _KILLED and time.monotonic() - begun > service.stop_grace_seconds:
            self.waits.say(
                f"{service.name} did not end within its stop_grace_period of {service.stop_grace_seconds:g} s and was "
                "killed; its disks are as it left them then"
            )

    async def recreate(self, names: Iterable[str]) -> list[str]:
        """Stop these services in order and make their containers anew, on the volumes that they have; none is started.

        What an upgrade does. A service that states no `hostname` has another one afterwards.

        Returns:
            Those of which this is done; of the others a disk is in the way, and whoever mends that makes them anew.
        """
        names = [name for name in names if name in self.running]
        self.restarts.cancel(names)
        self.hostnames.draw(names)
        done = await asyncio.gather(*(self._recreate(self.stack.services[name]) for name in names))
        return [name for name, is_done in zip(names, done, strict=True) if is_done]

    async def _recreate(self, service: Service) -> bool:
        try:
            async with asyncio.timeout(service.stop_grace_seconds + _RECREATE_SECONDS_MAX):
                await self._stop(service)
                await self._remove((service.name,))
                await self._create(service.name, next(self._attempts))
        except (EngineError, OSError):  # a lost disk cannot be mounted; what waits for one does not end in time
            return False
        return True

    async def put_in_place(
        self, *, anew: Iterable[str] = (), checked: Iterable[str] = (), blanks: Mapping[str, str] | None = None
    ) -> list[str]:
        """Put the disks of machines in place, and make the containers on them; nothing is started.

        Args:
            anew: Services whose containers are made anew: all that they had outside LUNs is gone.
            checked: LUNs that get a boot-time check and come back through a new port.
            blanks: Files (paths in the agent) of which LUNs are made in the place of those that there are. Their
                services have new host names, unless they state them.

        Returns:
            What the boot-time checks said, one line a LUN.

        Raises:
            Unrecoverable: A file system needs more than a boot-time check, or a container cannot be made.
        """
        anew, checked, blanks = list(anew), list(checked), blanks or {}
        # meanwhile the disks of machines without power are checked, and the next containers made
        removal = asyncio.create_task(self._remove(anew, self.disks.set_aside([*blanks, *checked])))
        try:
            with self.waits.of("the file systems to be checked"):
                said = await self.disks.put_in_place(checked, blanks, removal)
            self.hostnames.draw(self.stack.services_on(tuple(blanks)))
            await self._make(anew, Unrecoverable)
        finally:
            await removal
        return said

    async def start(self, names: Iterable[str], seconds_max: float, *, wait: bool = True) -> None:
        """Start services that do not run, in order.

        Args:
            names: Of the services.
            seconds_max: For all of it.
            wait: Until all of them are healthy; else only until they are started.

        Raises:
            Unrecoverable: One does not come back.
        """
        names = list(names)
        self.restarts.cancel(names)
        await self._ready.start_in_order(names, self._start, seconds_max, Unrecoverable, wait=wait)

    async def execute(self, service: str, command: Iterable[str], seconds_max: float) -> tuple[int, str]:
        """Run a command inside a service; return its exit code and its last words.

        Raises:
            Unrecoverable: It takes too long.
        """
        call = asyncio.to_thread(containers.execute, self._client, self.running[service], list(command), self.hush)
        try:
            async with asyncio.timeout(max(0.0, seconds_max)):
                return await call
        except TimeoutError:
            raise Unrecoverable(f"the runbook's command in {service} did not end in time") from None

    async def fill(self, lun: str, path: str) -> None:
        """Make a file, a path in the agent, of which a LUN is cloned that has what its bound folder has."""
        await self.disks.fill(lun, self._copy_image, path)

    async def unmounted(self) -> None:
        """Wait until everything that services wrote has arrived on the LUNs; none of them runs any more.

        Raises:
            HarnessError: Somebody else has one mounted; the message says who.
        """
        with self.waits.of("the disks to be unmounted"):
            await self.disks.unmounted()

    async def cold_restart(self, seconds_max: float) -> None:
        """SIGKILL every container, the carrier's too, unmount (which writes back), mount and start again.

        Services start in order, or as by an engine that boots and knows nothing of `depends_on`, as the stack has it.

        No write is dropped. Returns when the stack is steady, or at least serves when the time is over: a door that
        is read before a copy has caught up would tell of losses that are none.

        Raises:
            Unrecoverable: A service does not come back.
            CarrierError: The carrier does not come back.
            HarnessError: Somebody else has a LUN mounted, so it cannot be read anew.
        """
        names = self.stack.in_start_order(self.stack.services)
        self.restarts.cancel(names)
        deadline = time.monotonic() + seconds_max
        await asyncio.gather(*(self.agent.call(Forget(name)) for name in names))
        running = [self.running[name] for name in names]
        await asyncio.gather(*(asyncio.to_thread(containers.kill_and_wait, self._client, each) for each in running))
        await self.unmounted()
        carrier = [self.carrier.restart(seconds_max)] if self.carrier else []
        at_once = self.stack.started_by_a_boot if self.stack.boots_at_once else ()
        start = self._ready.start_in_order(names, self._start, seconds_max, Unrecoverable, at_once=at_once)
        await asyncio.gather(start, *carrier)
        await self._open(deadline)
        with contextlib.suppress(Unrecoverable):  # it serves; what it serves, the reads will tell
            await self._steady(deadline, Unrecoverable)

    async def answers(self, seconds_max: float) -> None:
        """Wait until every service is healthy, the front door accepts a connection and the stack is steady.

        Raises:
            Unrecoverable: Not within `seconds_max`.
            AgentError: A service was started that the agent could not confine.
            CarrierError: The carrier is gone, which is not the service's failure.
        """
        deadline = time.monotonic() + seconds_max
        self.restarts.verify()
        if self.carrier:
            await self.carrier.verify()
        await self.all_healthy(seconds_max)
        await self._open(deadline)
        await self._steady(deadline, Unrecoverable)

    async def _open(self, deadline: float) -> None:
        """Wait until the front door accepts a connection.

        The carrier accepts connections whether the service does or not, so it is asked beside the service.
        """
        await self._ready.open(self.service_door, "front door", deadline, Unrecoverable, self.stack.front_door[0])
        if self.carrier:
            await self._ready.open(self.front_door, "carrier", deadline, CarrierError)

    async def _steady(self, deadline: float, error: type[HarnessError]) -> None:
        """Wait until each command of `x-chaos.steady` succeeds."""
        await asyncio.gather(*(self._ready.steady(*each, deadline, error) for each in self.stack.steady.items()))

    async def heard(self) -> tuple[int, int]:
        """Packets that came so far by the phones' ways: to published ports, and from the carrier to the front door.

        Returns:
            Their number, and a mark: between two counts with different marks counting began anew.
        """
        ends = [(service.name, "") for service in self.stack.services.values() if service.ports]
        if self.carrier:
            ends.append((self.stack.front_door[0], CARRIER))
        heard = await self.agent.call(Heard(tuple(ends)))
        return heard.packets, heard.rewrites

    async def settle(self) -> None:
        """Write back what is dirty on every LUN, so that what a LUN takes from now on is the workload's."""
        await asyncio.gather(*(self.agent.call(Sync(self.stack.places_of(lun))) for lun in self.stack.luns))

    async def not_covered(self) -> tuple[str, ...]:
        """Paths that services wrote and that are on no LUN, as "service:/path"."""
        return await layers.not_covered(self._client, self.stack, self.agent, self.running, self.files)

    async def keep_events(self, folder: Path, since: float) -> None:
        """Save what the engine did with this run's objects since a moment (seconds of the epoch)."""
        found = await asyncio.to_thread(containers.events, self._client, self._run, since, time.time())
        (folder / "engine.jsonl").write_bytes(b"".join(orjson.dumps(event) + b"\n" for event in found))

    async def _make(self, names: Iterable[str], error: type[HarnessError]) -> None:
        """Make containers; none is started. Those that could be made are known, also where another could not."""
        attempt = next(self._attempts)
        with raised_as(error):
            await all_over(self._create(name, attempt) for name in names)

    async def _create(self, name: str, attempt: int) -> None:
        service, hostname = self.stack.services[name], self.hostnames[name]
        place = await self._frames.place(service, hostname) if self._frames else self._places[name]
        sources = {**self.disks.names, **self.files.paths}
        create = asyncio.to_thread(containers.create, self._client, service, place, attempt, sources, hostname)
        self.running[name] = await create

    async def _start(self, name: str) -> None:
        """Start a service's container, for the first time or again, and have the agent know it."""
        container = await asyncio.to_thread(containers.start, self._client, self.running[name])
        self.running[name] = container

        async def watch() -> None:
            try:
                await self.agent.call(Watch(name, container.pid))
            except HarnessError:  # it has ended already; of every later end the agent tells
                self.ends.exited(name, killed=False)

        await asyncio.gather(watch(), self.agent.call(Confine(name, container.pid, self._network.subnet)))

    async def _start_again(self, name: str) -> None:
        """As its restart policy says; what ended as it should stays ended."""
        with contextlib.suppress(Refusal):  # it was removed meanwhile
            running, code = await asyncio.to_thread(containers.state, self._client, self.running[name])
            if not running and not self.stack.is_done(name, code):
                if self._frames:
                    await self._frames.tidy(name)
                await self._start(name)

    async def healthy(self, services: Iterable[str], seconds_max: float) -> None:
        """Wait until these services are healthy.

        Raises:
            Unrecoverable: Not within `seconds_max`.
        """
        deadline = time.monotonic() + seconds_max
        wait_until = self._ready.healthy
        await asyncio.gather(*(wait_until(self.stack.services[name], deadline, Unrecoverable) for name in services))

    async def all_healthy(self, seconds_max: float) -> None:
        """As `healthy`, of every service that runs on."""
        await self.healthy((name for name in self.running if not self.stack.is_job(name)), seconds_max)

    def _remove(self, names: Iterable[str], volumes: Iterable[str] = ()) -> Coroutine[Any, Any, None]:
        """Remove containers, and then these volumes of theirs; from the call on, their services have none."""
        found = [self.running.pop(name) for name in list(names) if name in self.running]

        async def remove(container: Container) -> None:
            self.restarts.cancel((container.service,))
            await self.agent.call(Forget(container.service))
            if self.logs is not None:
                await asyncio.to_thread(containers.save_log, self._client, container, self.logs, self.hush)
            await asyncio.to_thread(containers.remove, self._client, container)

        async def remove_all() -> None:
            await asyncio.gather(*map(remove, found))
            await self.disks.remove_volumes(volumes)

        return remove_all()

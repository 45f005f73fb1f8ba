"""A stack of one service on one LUN, and what the contract tests do with it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from chaos.agent.wire import Event
from chaos.experiment.drivers import DriverChoice
from chaos.experiment.plan import Limits, Parameter, ScheduledFault, Target, Trigger
from chaos.faults.injector import Injector
from chaos.faults.live import Surroundings
from chaos.history.events import FaultEvent
from chaos.history.recorder import Recorder
from chaos.stack.engine.identity import Run
from chaos.stack.live.lifecycle import Lab, lab
from chaos.stack.live.mending import Damage, mend
from chaos.stack.live.roles import Roles
from chaos.stack.live.running import RunningStack
from chaos.stack.spec import Lun, Mount, Port, Service, Stack

SCENE_SECONDS_MAX = 90.0
UNHURT = Damage()
MEND_SECONDS_MAX = 30.0
DATA = "/data"
READ = f"dd if={DATA}/kept of=/dev/null iflag=direct status=none"
WRITE = f"dd if=/dev/zero of={DATA}/kept bs=4096 count=1 conv=notrunc,fsync oflag=direct status=none"
KEEP = f"echo kept > {DATA}/kept && sync {DATA}/kept {DATA}"
LISTENER = """
use IO::Socket::INET; $SIG{TERM} = sub { exit 0 };
my $door = IO::Socket::INET->new(LocalPort => 8080, Listen => 16, ReuseAddr => 1) or die "no port: $!";
while (1) { my $phone = $door->accept or next; print $phone "hello\\n"; close $phone }
"""
"""Greets whoever connects; the base image has a Perl, which has sockets."""


def service(name: str = "box", lun: str = "disk", **changes: object) -> Service:
    """A service that listens on port 8080 and has a LUN on /data."""
    made = Service(
        name=name,
        image="debian:bookworm-slim",
        command=("perl", "-e", LISTENER),
        mounts=(Mount("lun", lun, DATA),),
        ports=(Port(8080),),
        stop_grace_seconds=2.0,
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]  # the fields' own types hold


def stack_of(*services: Service, front_port: int = 8080, mebibytes: int = 32) -> Stack:
    """A stack of these services; every LUN that they mount is on the array "core"."""
    services = services or (service(),)
    luns = {mount.source: None for each in services for mount in each.mounts if mount.kind == "lun"}
    return Stack(
        name="contract",
        source=Path("compose.yaml"),
        services={each.name: each for each in services},
        luns={name: Lun(name, "core", mebibytes << 20) for name in luns},
        volumes=(),
        front_door=(services[0].name, front_port),
        driver=DriverChoice("http"),
    )


@dataclass
class Scene:
    """A running copy of a stack, and the events that its agent pushed."""

    lab: Lab
    recorder: Recorder
    stack: Stack
    events: list[Event] = field(default_factory=list)
    faults: list[FaultEvent] = field(default_factory=list)

    @property
    def running(self) -> RunningStack:
        return self.lab.running

    @property
    def surroundings(self) -> Surroundings:
        """What faults may reach."""
        running = self.running
        roles = Roles(self.stack, running.agent)
        return Surroundings(
            self.stack,
            running.agent,
            roles,
            running.carrier,
            execute=running.execute,
            recreate=running.recreate,
            finished=running.finished,
            changing=running.changing,
        )

    async def tries(self, command: str, service: str = "box") -> tuple[int, str]:
        """Run a shell command inside a service, within 20 s; return its exit code and its last words."""
        return await self.running.execute(service, ["timeout", "20", "bash", "-c", command], 30.0)

    async def does(self, command: str, service: str = "box") -> str:
        """Run a shell command inside a service that must succeed; return its output."""
        code, output = await self.tries(command, service)
        assert code == 0, f"{command} ended with {code}: {output}"
        return output

    def injector(
        self,
        fault: str,
        *,
        for_seconds: float | None = None,
        service: str = "",
        target: Target | None = None,
        **parameters: Parameter,
    ) -> Injector:
        """An injector whose load has begun and whose one fault strikes when the phase "now" is entered."""
        aim = target or (Target("service", service) if service else Target("array", "core"))
        scheduled = ScheduledFault(fault, aim, Trigger(phase="now"), for_seconds, parameters)
        injector = Injector([scheduled], self.surroundings, self.recorder, self.faults.append, self.mended)
        injector.begin_load()
        return injector

    async def mended(self) -> None:
        """Bring back what is down, as the operators would."""
        await self.mend()

    async def mend(self, damage: Damage = UNHURT) -> list[tuple[str, str]]:
        """As `mended`, and tell what was done; afterwards every service answers."""
        blanks = await self.lab.golden.blanks(self.running.agent)
        done = [said async for said in mend(self.running, lambda: damage, blanks, MEND_SECONDS_MAX)]
        await self.running.answers(MEND_SECONDS_MAX)
        return done

    async def mend_held(self, injector: Injector) -> list[tuple[str, str]]:
        """As `mend`, while a fault holds services down."""
        mending = mend(self.running, lambda: injector.damage, {}, MEND_SECONDS_MAX, wait=False)
        return [said async for said in mending]

    async def heard(self, name: str) -> Event:
        """The next event of this name that the agent pushes, or one that it pushed before."""
        async with asyncio.timeout(20):
            while True:
                for event in self.events:
                    if event.event == name:
                        return event
                await asyncio.sleep(0.01)


Act = Callable[[Scene], Awaitable[None]]


class Play(Protocol):
    """Plays a scene on a stack; by default on one service with one LUN."""

    def __call__(self, act: Act, stack: Stack | None = None) -> None: ...


async def until(condition: Callable[[], Awaitable[bool]], what: str, seconds_max: float = 10.0) -> None:
    """Ask until the condition holds.

    Raises:
        AssertionError: Not in time.
    """
    try:
        async with asyncio.timeout(seconds_max):
            while True:
                if await condition():
                    return
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"{what}: not within {seconds_max:g} s") from None


@asynccontextmanager
async def scene(
    stack: Stack, folder: Path, log: Callable[[str], None] = lambda line: None, *, repeats: bool = False
) -> AsyncIterator[Scene]:
    """A lab with a copy of the stack running in it; bounded in time. `log` gets what it says."""
    events: list[Event] = []
    async with asyncio.timeout(SCENE_SECONDS_MAX):
        run = Run.begin(1)
        async with lab(stack, run, Limits(ready_seconds_max=30.0), events.append, log, repeats=repeats) as made:
            recorder = Recorder(folder / f"{run.id}.jsonl")
            try:
                made.running.hostnames.take(made.golden.hostnames())
                await made.running.up(made.golden.bases(), 30.0)
                await made.running.answers(30.0)
                yield Scene(made, recorder, made.running.stack, events)
            finally:
                recorder.close()


async def greets(host: str, port: int) -> None:
    """Wait until the service answers: the engine's proxy accepts connections before the service does.

    Raises:
        TimeoutError: Not within 10 s.
    """
    async with asyncio.timeout(10):
        while True:
            if await greeted(host, port):
                return
            await asyncio.sleep(0.02)


async def greeted(host: str, port: int) -> bool:
    """Whether the service behind a published port answers."""
    writer = None
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(host, port)
            return await reader.readline() == b"hello\n"
    except (OSError, TimeoutError):
        return False
    finally:
        if writer is not None:
            writer.close()


async def talk_until_counted(scene: Scene) -> None:
    """Talk to the service for longer than the agent's sampling interval."""
    await greets(*scene.running.front_door)
    until = asyncio.get_running_loop().time() + 0.6
    while asyncio.get_running_loop().time() < until:
        await greeted(*scene.running.front_door)

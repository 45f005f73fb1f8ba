"""Makes a stack copy that trials can run on, and removes it, whatever happens in between."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from chaos.agent.wire import Event, Release
from chaos.errors import AgentError, EngineError, HarnessError
from chaos.experiment.plan import Limits
from chaos.stack.agent.link import Agent
from chaos.stack.cache import cache_folder
from chaos.stack.carrier import carrier
from chaos.stack.carrier.image import ensure_server
from chaos.stack.cleanup.guard import Guard, hand_over
from chaos.stack.cleanup.sweep import sweep_run, sweep_until_clean
from chaos.stack.engine import images as engine_images
from chaos.stack.engine import network
from chaos.stack.engine.client import Engine, connect
from chaos.stack.engine.identity import RUN_LABEL, Run
from chaos.stack.images.health import with_image_checks
from chaos.stack.images.images import ImageRef, ensure_agent_image, ensure_image, require_builders
from chaos.stack.images.leftover import remove_earlier
from chaos.stack.live.golden import Golden
from chaos.stack.live.running import RunningStack
from chaos.stack.local import on_local_disks
from chaos.stack.patience import asked_for, patience_warnings, with_patience
from chaos.stack.programs import in_own_thread
from chaos.stack.provenance import versions
from chaos.stack.pulse import Say, quiet
from chaos.stack.spec import Stack

_SAID_CHARACTERS_MAX = 120
"""Of a line of a build."""


@dataclass
class Lab:
    """Everything that trials of one stack need, up and ready.

    Attributes:
        stack: As its Compose files say.
        running: Its stack has what the images add: volumes, health checks.
        versions: Of what trials run on, by name: Holdfast, the engine, the kernel, the host.
        is_left: The stack runs on as the last trial left it; the guard keeps it, and removes it later.
    """

    stack: Stack
    run: Run
    running: RunningStack
    golden: Golden
    images: dict[str, str]
    versions: dict[str, str]
    is_left: bool = False

    async def clear(self) -> None:
        """Remove what a trial had, unless it is left; the agent's loss is the error, and the sweep removes the rest."""
        if not self.is_left:
            with contextlib.suppress(AgentError):
                await self.running.clear()

    def patient(self, limits: Limits) -> Limits:
        """A plan's limits; those that were not stated may grow with the health checks of images."""
        return with_patience(limits, self.running.stack, self.stack)


@asynccontextmanager
async def lab(
    stack: Stack,
    run: Run,
    limits: Limits,
    on_event: Callable[[Event], None],
    log: Callable[[str], None],
    logs: Path | None = None,
    doing: Say = quiet,
    *,
    repeats: bool = False,
    leave_seconds: float = 0.0,
) -> AsyncIterator[Lab]:
    """Start guard, images, network and agent, make the golden LUNs where there are none, and yield.

    What services say while the golden LUNs are made is kept in the folder `logs`. `doing` takes what is just under way,
    from any thread, since an image may take minutes. On leaving, by any exception too, every object of the run is
    removed. The guard does the same when this process is killed. `repeats` is that of `RunningStack`. A stack that is
    left (`Lab.is_left`) is handed over to a guard, which removes it after `leave_seconds`.

    Raises:
        HarnessError: Something cannot be had; nothing is left.
    """
    client = await asyncio.to_thread(connect)
    guard = Guard(run.id)
    agent: Agent | None = None
    running: RunningStack | None = None
    made: Lab | None = None
    orderly = leaving = False
    using = ExitStack()

    def heard(event: Event) -> None:
        on_event(event)
        if running is not None and not leaving and event.event == "exited":
            running.ends.exited(event.service, killed=event.killed)

    try:
        images, carrier_image, agent_image = await _Images(client, stack, log, doing, using).all()
        given = stack
        stack = await asyncio.to_thread(with_image_checks, client, given, images)
        limits = _patient(given, stack, limits, log)
        net = await asyncio.to_thread(network.create, client, run)
        folder = cache_folder()
        (folder / "scratch").mkdir(parents=True, exist_ok=True)
        agent = await Agent.start(client, agent_image, run, str(folder), heard)
        stack = on_local_disks(stack, await asyncio.to_thread(_image_volumes, client, images))
        running = RunningStack(client, stack, images, run, agent, net, carrier_image, agent_image, repeats=repeats)
        running.waits.say = running.ends.say = log
        golden = await asyncio.to_thread(Golden, stack, images, folder)
        if golden.exists and (problem := await golden.problem(agent)):
            log(f"the disks that {stack.name} was initialised on are not used: {problem}")
            await asyncio.to_thread(golden.discard)
        if not golden.exists:
            log(f"initialising {stack.name} once; its disks are kept for later runs")
            running.logs = logs
            doing(f"initialising {stack.name}")
            await golden.make(running, limits.ready_seconds_max)
        running.files.begin_with(golden.files)
        all_images = {**images, carrier.NAME: carrier_image} if carrier_image else images
        made = Lab(given, run, running, golden, all_images, await asyncio.to_thread(versions, client))
        yield made
        orderly = True
    except HarnessError as error:
        if agent is None or not agent.lost.is_set() or agent.given_up:
            raise
        # whatever else failed meanwhile, this is why
        said = f": {agent.last_words}" if agent.last_words else ""
        full = f"; free space for {cache_folder()}" if "No space left" in said else ""
        raise AgentError(f"the agent is gone, so there is no verdict{said}{full}; see agent.jsonl") from error
    finally:
        leaving = True  # who ends from now on is to end
        try:
            end = _end(client, run, made, agent, guard, orderly=orderly, leave_seconds=leave_seconds, log=log)
            await asyncio.shield(asyncio.create_task(end))
        finally:
            using.close()
            if running is not None and running.carrier is not None:
                running.carrier.close()


class _Images:
    """Has every image, one after the other: builds share layers, and their logs are readable then."""

    def __init__(self, client: Engine, stack: Stack, log: Callable[[str], None], doing: Say, using: ExitStack) -> None:
        self._client = client
        self._stack = stack
        self._log = log
        self._doing = doing
        self._using = using

    async def all(self) -> tuple[dict[str, str], str, str]:
        """Those of the services by name, the carrier's, and the agent's, as ids."""
        services = self._stack.services.values()
        await asyncio.to_thread(require_builders, self._client, services, self._stack.name)
        found: dict[str, ImageRef] = {}
        for service in services:
            self._log(f"image of {service.name}")
            say = self._saying(f"image of {service.name}")
            found[service.name] = await in_own_thread(
                ensure_image, self._client, service, self._stack.name, say, self._using
            )
        carrier_image = await self._carrier_image()
        say = self._saying("image of the agent")
        agent = await in_own_thread(ensure_agent_image, self._client, say, self._using)
        await self._remove_earlier([*found.values(), agent])
        return {name: image.id for name, image in found.items()}, carrier_image, agent.id

    async def _carrier_image(self) -> str:
        if not self._stack.carrier:
            return ""
        self._log("image of the carrier; where it can only be built, once, this takes a minute")
        return (await in_own_thread(ensure_server, self._client, self._saying("image of the carrier"))).id

    def _saying(self, what: str) -> Say:
        self._doing(what)

        def say(line: str) -> None:
            if line.strip():
                self._doing(f"{what}: {line.strip()[:_SAID_CHARACTERS_MAX]}")

        return say

    async def _remove_earlier(self, images: list[ImageRef]) -> None:
        recipes, kept = [image.recipe for image in images if image.recipe], [image.id for image in images]
        try:
            removed = await asyncio.to_thread(remove_earlier, self._client, recipes, kept)
        except EngineError as error:  # they are in nobody's way but the disk's
            self._log(f"warning: images of earlier edits are left: {error}")
        else:
            for name in removed:
                self._log(f"removed the image of an earlier edit: {name}")


def _patient(given: Stack, stack: Stack, limits: Limits, log: Callable[[str], None]) -> Limits:
    """The limits that the health checks of images ask for; what is new is told."""
    seconds, chain = asked_for(stack)
    if seconds == asked_for(given)[0]:
        return limits
    grown = with_patience(limits, stack, given)
    if grown != limits:
        log(f"limits grow to {seconds:g} s, as the health checks ask for: {', then '.join(chain)}")
    for line in patience_warnings(limits, stack):
        log(f"warning: {line}")
    return grown


def _image_volumes(client: Engine, images: dict[str, str]) -> dict[str, list[str]]:
    """By service, the paths that its image declares as volumes."""
    found = {name: engine_images.find(client, image) for name, image in images.items()}
    return {name: list(image.volumes) for name, image in found.items() if image is not None}


def _hand_over(made: Lab, agent: Agent, guard: Guard, seconds: float) -> list[str]:
    """Have a guard of its own keep a stack copy for a while; how to look at it, in lines."""
    running, run = made.running, made.run
    (host, port), until = running.front_door, time.strftime("%H:%M:%S", time.localtime(time.time() + seconds))
    pid = hand_over(run, agent.hand_over(), seconds)
    guard.dismiss(clean=True)
    command = "podman" if any("podman" in each.lower() for each in made.versions) else "docker"
    return [
        f"left: the stack of this trial runs on until {until}, then it is removed",
        f"left:   look     {command} ps --filter label={RUN_LABEL}={run.id}",
        *(
            f"left:   {name:<8} {command} exec -it {container.id[:12]} sh"
            for name, container in running.running.items()
        ),
        f"left:   door     {host}:{port}",
        f"left:   remove   kill {pid}",
    ]


async def _end(
    client: Engine,
    run: Run,
    made: Lab | None,
    agent: Agent | None,
    guard: Guard,
    *,
    orderly: bool,
    leave_seconds: float,
    log: Callable[[str], None],
) -> None:
    """Leave the stack copy to a guard where it is to be left and can be; else remove it."""
    if orderly and made is not None and made.is_left and agent is not None and not agent.lost.is_set():
        try:
            lines = _hand_over(made, agent, guard, leave_seconds)
        except (HarnessError, OSError) as error:
            log(f"warning: the stack cannot be left, and is removed: {error}")
            orderly = False
        else:
            client.close()
            for line in lines:
                log(line)
            return
    await _wind_up(client, run, agent, guard, orderly)


async def _wind_up(client: Engine, run: Run, agent: Agent | None, guard: Guard, orderly: bool) -> None:
    """Remove everything; containers of services first, while the agent still serves their file systems."""
    clean = False
    try:
        if agent is not None:
            with contextlib.suppress(AgentError):  # where it is gone, what it held back has failed
                await agent.call(Release())  # no container can be removed whose I/O hangs
        report = await asyncio.to_thread(sweep_run, client, run.id)
        # after an exception a request may still be under way in a thread, and create something later
        if report.failed or not orderly:
            report = await asyncio.to_thread(sweep_until_clean, client, run.id)
        if agent is not None:
            await agent.stop()
        if report.failed:
            raise EngineError(f"not everything could be removed: {report}; run `holdfast clean`")
        clean = True
    finally:
        await asyncio.to_thread(guard.dismiss, clean=clean)
        client.close()

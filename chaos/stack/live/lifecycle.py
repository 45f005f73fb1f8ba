"""Makes a stack copy that trials can run on, and removes it, whatever happens in between."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from chaos.agent.wire import Event, Release
from chaos.errors import AgentError, EngineError, HarnessError
from chaos.experiment.plan import Limits
from chaos.stack.agent.link import Agent
from chaos.stack.cache import cache_folder
from chaos.stack.carrier import carrier
from chaos.stack.carrier.image import ensure_server
from chaos.stack.cleanup.guard import Guard
from chaos.stack.cleanup.sweep import sweep_run, sweep_until_clean
from chaos.stack.engine import network
from chaos.stack.engine.client import Engine, connect, engine_errors
from chaos.stack.engine.identity import Run
from chaos.stack.images.health import with_image_checks
from chaos.stack.images.images import ensure_agent_image, ensure_image
from chaos.stack.live.golden import Golden
from chaos.stack.live.running import RunningStack
from chaos.stack.local import on_local_disks
from chaos.stack.patience import asked_for, patience_warnings, with_patience
from chaos.stack.programs import in_own_thread
from chaos.stack.spec import Stack


@dataclass(frozen=True)
class Lab:
    """Everything that trials of one stack need, up and ready.

    Attributes:
        stack: As its Compose files say.
        running: Its stack has what the images add: volumes, health checks.
    """

    stack: Stack

    run: Run
    running: RunningStack
    golden: Golden
    images: dict[str, str]

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
) -> AsyncIterator[Lab]:
    """Start guard, images, network and agent, make the golden LUNs where there are none, and yield.

    What services say while the golden LUNs are made is kept in the folder `logs`. On leaving, by any exception too,
    every object of the run is removed. The guard does the same when this process is killed.

    Raises:
        HarnessError: Something cannot be had; nothing is left.
    """
    client = await asyncio.to_thread(connect)
    guard = Guard(run.id)
    agent: Agent | None = None
    running: RunningStack | None = None
    orderly = leaving = False

    def heard(event: Event) -> None:
        on_event(event)
        if running is not None and not leaving and event.event == "exited":
            running.ends.exited(event.service, killed=event.killed)

    try:
        images = await _images(client, stack, log)
        given = stack
        stack = await asyncio.to_thread(with_image_checks, client, given, images)
        limits = _patient(given, stack, limits, log)
        carrier_image = await _carrier_image(client, stack, log)
        agent_image = (await in_own_thread(ensure_agent_image, client)).id
        net = await asyncio.to_thread(network.create, client, run)
        folder = cache_folder()
        (folder / "scratch").mkdir(parents=True, exist_ok=True)
        agent = await Agent.start(client, agent_image, run, str(folder), heard)
        stack = on_local_disks(stack, await asyncio.to_thread(_image_volumes, client, images))
        running = RunningStack(client, stack, images, run, agent, net, carrier_image, agent_image)
        running.waits.say = running.ends.say = log
        golden = await asyncio.to_thread(Golden, stack, images, folder)
        if golden.exists and (problem := await golden.problem(agent)):
            log(f"the disks that {stack.name} was initialised on are not used: {problem}")
            await asyncio.to_thread(golden.discard)
        if not golden.exists:
            log(f"initialising {stack.name} once; its disks are kept for later runs")
            running.logs = logs
            await golden.make(running, limits.ready_seconds_max)
        running.files.begin_with(golden.files)
        all_images = {**images, carrier.NAME: carrier_image} if carrier_image else images
        yield Lab(given, run, running, golden, all_images)
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
            await asyncio.shield(asyncio.create_task(_wind_up(client, run, agent, guard, orderly)))
        finally:
            if running is not None and running.carrier is not None:
                running.carrier.close()


async def _images(client: Engine, stack: Stack, log: Callable[[str], None]) -> dict[str, str]:
    """Have every image, one after the other: builds share layers, and their logs are readable then."""
    found: dict[str, str] = {}
    for service in stack.services.values():
        log(f"image of {service.name}")
        found[service.name] = (await in_own_thread(ensure_image, client, service, stack.name)).id
    return found


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
    with engine_errors("looking at the images"):
        configs = {name: client.images.get(image).attrs.get("Config") or {} for name, image in images.items()}
    return {name: list(config.get("Volumes") or ()) for name, config in configs.items()}


async def _carrier_image(client: Engine, stack: Stack, log: Callable[[str], None]) -> str:
    if not stack.carrier:
        return ""
    log("image of the carrier; where it can only be built, once, this takes a minute")
    return (await in_own_thread(ensure_server, client)).id


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

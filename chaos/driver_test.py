"""`holdfast driver-test`: a copy of the stack without any fault, and every promise of its driver tried there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from chaos.experiment.plan import Plan
from chaos.stack.cache import cache_folder, unfinished
from chaos.stack.engine.identity import Run
from chaos.stack.live.lifecycle import lab
from chaos.stack.spec import Stack
from chaos.trials import with_sigterm
from chaos.workload.drivers import chosen_driver
from chaos.workload.drivers.blame import defect_of
from chaos.workload.drivers.calls import answer_of, close
from chaos.workload.reads.doors import Readers
from chaos.workload.session import FrontDoor, Session
from chaos.workload.tryout.checks import Tryout
from chaos.workload.tryout.findings import Finding, Promises
from chaos.workload.tryout.phones import OWNER

Tell = Callable[[Finding], None]
_ANSWERS_SECONDS_MAX: Final = 20.0
_PAUSE_SECONDS: Final = 0.1


def try_driver(plan: Plan, stack: Stack, tell: Tell, log: Callable[[str], None]) -> list[Finding]:
    """Start the plan's stack, test its driver, and remove everything.

    Args:
        plan: Of its schedule nothing is done.
        stack: The plan's.
        tell: Hears each finding when it is made.
        log: Hears what takes its time meanwhile.

    Raises:
        UsageError: The driver cannot be imported, or lacks a method.
        HarnessError: The stack does not come up; everything is cleaned up.
    """
    with asyncio.Runner() as runner:
        return runner.run(with_sigterm(_tried(plan, stack, tell, log)))


async def _tried(plan: Plan, stack: Stack, tell: Tell, log: Callable[[str], None]) -> list[Finding]:
    choice = plan.driver or stack.driver
    driver = chosen_driver(choice, plan.driver_folder, (kind for kind, _, _ in stack.doors), stack.policy)
    promises = Promises(
        policy=stack.policy,
        keyed=stack.idempotency == "keyed",
        photos=plan.workload.photos > 0,
        doors=stack.doors,
        request_seconds_max=plan.workload.request_seconds_max,
        types=plan.workload.record_types,
    )
    scratch = unfinished(cache_folder() / "scratch" / "readers")
    scratch.parent.mkdir(exist_ok=True)
    findings: list[Finding] = []
    async with (
        Readers.open(choice, plan.driver_folder, scratch) as readers,
        lab(stack, Run.begin(plan.seed), plan.limits, lambda event: None, log) as copy,
    ):
        reader = await readers.new()
        try:
            log(f"starting {stack.name}")
            copy.running.hostnames.take(copy.golden.hostnames())
            await copy.running.up(copy.golden.bases(), copy.patient(plan.limits).ready_seconds_max)
            host, port = copy.running.front_door
            service = FrontDoor(host, port, copy.running.published)
            readers.hush = copy.running.hush
            await _answers(driver, service, promises.request_seconds_max, log)
            async for finding in Tryout(driver, service, reader, promises, copy.running.hush).run():
                tell(finding)
                findings.append(finding)
        finally:
            await reader.close()
            await copy.running.clear()
    return findings


async def _answers(
    driver: type[Session], service: FrontDoor, request_seconds_max: float, log: Callable[[str], None]
) -> None:
    """Wait until a full read is answered: a port may be open, by the engine, before the service behind it is there.

    Whoever gives no answer within `_ANSWERS_SECONDS_MAX` is tried all the same, so that the checks tell what is wrong.
    """
    session = driver(service, user=OWNER, device="d-waits")
    until = time.monotonic() + _ANSWERS_SECONDS_MAX
    is_told = False
    try:
        while True:
            try:
                await answer_of(session.everything, request_seconds_max)
                return
            except Exception as error:  # noqa: BLE001  (the checks tell what it is)
                if defect_of(error) or time.monotonic() > until:
                    return
            if not is_told:
                log("waiting for the front door to answer a full read")
                is_told = True
            await asyncio.sleep(_PAUSE_SECONDS)
    finally:
        await close(session, request_seconds_max)

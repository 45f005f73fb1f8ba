"""What operators do when faults are over: bring machines back, check file systems, follow the runbook."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Set

from chaos.stack.running import RunningStack


async def mend(running: RunningStack, lost: Set[str], held: Set[str], seconds_max: float) -> list[tuple[str, str]]:
    """Bring back whatever is down, except what an active fault holds down.

    LUNs that lost power, or whose file system gave up, get a boot-time check and their services' containers are
    made anew; services that merely ended are started again. `lost` LUNs are left to the runbook.

    Returns:
        (topic, what was done), for the history.

    Raises:
        Unrecoverable: Something does not come back within `seconds_max`.
    """
    stack, deadline = running.stack, time.monotonic() + seconds_max
    beyond = set(stack.services_on(tuple(lost)))
    states = {name: await running.agent.call("health", lun=name) for name in stack.luns if name not in lost}
    sick = [name for name, state in states.items() if state["closed"] or state["gave_up"]]
    services, luns = running.joined(name for name in sick if not set(stack.services_on((name,))) & (held | beyond))
    done: list[tuple[str, str]] = []
    if set(services) & (held | beyond):
        beyond |= set(services)  # they share a LUN with one that must stay down
    elif services:
        done += [("fsck", said) for said in await running.reboot(services, luns, deadline - time.monotonic())]
    ended = [name for name in await running.not_running() if name not in held | beyond]
    if ended:
        await running.restart(ended, deadline - time.monotonic())
        done.append(("started", ", ".join(ended)))
    return done


async def run_the_runbook(
    running: RunningStack, lost: Set[str], blanks: Mapping[str, str], seconds_max: float
) -> AsyncIterator[str]:
    """Blank LUNs for lost ones; what no copy is left of is restored, else initialised empty; yield what was done.

    A service of a `rebuild` step bootstraps itself on its blank LUN from a copy that is left.

    Raises:
        Unrecoverable: The services do not come up on the blank LUNs.
    """
    stack, deadline = running.stack, time.monotonic() + seconds_max
    services, luns = running.joined(lost)
    keep = [name for name in luns if name not in lost]
    await running.replace(services, {name: blanks[name] for name in sorted(lost)}, keep, deadline - time.monotonic())
    without = set(lost)
    for step in stack.runbook:
        for service in step.services:
            copies = {lun: stack.copies_left(lun, lost) for lun in stack.luns_of((service,)) if lun in lost}
            for lun, left in copies.items():
                if left:
                    without.discard(lun)
                    yield f"{step.name}: {service} on a blank {lun}, from {', '.join(left)}"
    if not without:
        return
    for step in stack.runbook:
        if step.kind == "restore":
            code, words = await running.execute(step.service, step.run, deadline - time.monotonic())
            if code == 0:
                yield f"{step.name}: restored"
                return
            yield f"{step.name}: failed with {code}: {words}"
    names = ", ".join(sorted(without))
    empty = ", ".join(stack.services_on(tuple(without)))
    yield f"no usable backup; {names} replaced by blank LUNs, {empty} initialised empty"

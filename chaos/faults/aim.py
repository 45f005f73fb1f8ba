"""What a fault strikes, found out when it is injected: roles move, and who has one is asked then."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

from chaos.experiment.plan import Target
from chaos.faults.base import Fault
from chaos.faults.state import ServiceState
from chaos.stack.roles import Roles
from chaos.stack.spec import ANY, Stack
from chaos.stack.targets import luns_struck

ROLE_SECONDS_MAX = 30.0
"""How long a fault waits for somebody to have the role that it is aimed at."""
_LOOK_SECONDS = 0.1

Link = tuple[str, str]
"""Sender, receiver."""


class NobodyThere(Exception):
    """There is no target; the message says why."""


@dataclass(frozen=True)
class Aim:
    """What is struck. `who`: for the history, the target with its roles resolved."""

    who: str
    luns: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    carrier: bool = False


async def take_aim(fault: Fault, target: Target, stack: Stack, roles: Roles) -> Aim:
    """Resolve a target, waiting for its roles within ROLE_SECONDS_MAX.

    Raises:
        NobodyThere: Nobody has the role in time, or who has it mounts no LUN.
        AgentError: The agent is gone.
    """
    if fault.strikes == "carrier":
        return Aim(str(target), carrier=True)
    found = await _found(target, stack, roles)
    moved = [f"{name} is {', '.join(services)}" for name, services in found.items() if (name,) != services]
    who = _with_notes(target, moved)
    if fault.strikes == "links":
        return Aim(who, links=_links(target, stack, found, one_way=getattr(fault, "one_way", False)))
    services = tuple(dict.fromkeys(itertools.chain.from_iterable(found.values())))
    if fault.strikes == "services":
        return Aim(who, services=services)
    luns = stack.luns_of(services) if services else luns_struck(target, stack)
    if not luns:
        raise NobodyThere(f"{', '.join(services)} mounts no LUN")
    if fault.whole_arrays and services:
        luns = stack.beside(luns)
        if not luns:
            raise NobodyThere(f"{', '.join(services)} is on local disks alone, which are no array of a SAN")
        who = _with_notes(
            target, [*moved, *(f"array {name}" for name in dict.fromkeys(stack.luns[n].array for n in luns))]
        )
    return Aim(who, luns=luns)


def victims(fault: Fault, aim: Aim, stack: Stack) -> Sequence[str]:
    """Services whose processes die with a fault: of a machine all."""
    if aim.luns:
        return stack.joined(aim.luns)[0] if fault.kills else ()
    return [name for name in aim.services if not fault.wanted_service(ServiceState()).running]


def writers(fault: Fault, aim: Aim, stack: Stack) -> Sequence[str]:
    """Services whose writes never reach a LUN once a fault has taken it away."""
    taken = bool(aim.luns) and (fault.kills or fault.for_good)
    return stack.services_on(aim.luns) if taken else ()


def beside(fault: Fault, aim: Aim, stack: Stack) -> Sequence[str]:
    """Further LUNs of the machines that die with a fault: the page cache dies, and so do local disks.

    A SAN's arrays go on.
    """
    luns = stack.joined(aim.luns)[1] if fault.kills else ()
    return [lun for lun in luns if lun not in aim.luns]


def _with_notes(target: Target, notes: Sequence[str]) -> str:
    return f"{target} ({'; '.join(notes)})" if notes else str(target)


async def _found(target: Target, stack: Stack, roles: Roles) -> dict[str, tuple[str, ...]]:
    """Every name of the target with its services."""
    deadline = time.monotonic() + ROLE_SECONDS_MAX
    names = list(dict.fromkeys(target.named))
    asked = {name: name.removeprefix(ANY) for name in names if name not in stack.services}
    while True:
        have = await roles.holders(set(asked.values())) if asked else {}
        nobody = sorted({role for role in asked.values() if not have[role]})
        if not nobody:
            break
        if time.monotonic() >= deadline:
            raise NobodyThere(f"nobody had the role {', '.join(nobody)} within {ROLE_SECONDS_MAX:g} s")
        await asyncio.sleep(_LOOK_SECONDS)
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        services = have[asked[name]] if name in asked else (name,)
        found[name] = services[:1] if name in asked and name.startswith(ANY) else services
    return found


def _links(target: Target, stack: Stack, found: dict[str, tuple[str, ...]], *, one_way: bool) -> tuple[Link, ...]:
    """The links between the sets, in the order of the file; a service counts in the first set that has it."""
    sets: list[tuple[str, ...]] = []
    if target.isolate:
        alone = tuple(dict.fromkeys(service for name in target.isolate for service in found[name]))
        sets = [*((service,) for service in alone), tuple(name for name in stack.services if name not in alone)]
    taken: set[str] = set()
    for members in target.between:
        services = dict.fromkeys(service for name in members for service in found[name])
        sets.append(tuple(service for service in services if service not in taken))
        taken.update(services)
    links = []
    for one, other in itertools.combinations(sets, 2):
        for sender, receiver in itertools.product(one, other):
            links += [(sender, receiver)] if one_way else [(sender, receiver), (receiver, sender)]
    if not links:
        raise NobodyThere("its sets leave no two services to part")
    return tuple(links)

"""Which services a target means when its fault strikes: a role can move, so who has it is asked then."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

from chaos.experiment.plan import Target
from chaos.faults.live import Surroundings
from chaos.stack.spec import ANY

ROLE_SECONDS_MAX = 30.0
"""How long a fault waits for somebody to have the role that it is aimed at."""
_LOOK_SECONDS = 0.1


class NobodyThere(Exception):
    """There is nothing to strike; the message says why."""


async def services_named(target: Target, at: Surroundings) -> dict[str, tuple[str, ...]]:
    """Every service and role that a target names, with the services that it means now; waits for its roles.

    Raises:
        NobodyThere: Nobody has a role within ROLE_SECONDS_MAX.
        AgentError: The agent is gone.
    """
    deadline = time.monotonic() + ROLE_SECONDS_MAX
    names = list(dict.fromkeys(target.names))
    asked = {name: name.removeprefix(ANY) for name in names if name not in at.stack.services}
    while True:
        have = await at.roles.holders(set(asked.values())) if asked else {}
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


def moved(found: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The services that each role of a target means now, in words."""
    return [f"{name} is {', '.join(services)}" for name, services in found.items() if (name,) != services]


def with_notes(target: Target, notes: Sequence[str]) -> str:
    """The target, for the history."""
    return f"{target} ({'; '.join(notes)})" if notes else str(target)

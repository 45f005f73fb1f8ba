"""A loss that is planted in a live trial: a record is removed behind the service's back, and the trial must say so."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from chaos.errors import HarnessError
from chaos.experiment.plan import Planting

PLANT_SECONDS_MAX: Final = 30.0

Execute = Callable[[str, Iterable[str], float], Awaitable[tuple[int, str]]]
"""Runs a command inside a service within so many seconds; returns its exit code and its last words."""


async def plant_loss(among: Sequence[tuple[str, str]], seed: int, planting: Planting | None, execute: Execute) -> str:
    """Remove one of these records (owner and name), as the seed draws it; returns it as OWNER/RECORD.

    Raises:
        HarnessError: There is none, or no way to remove it, or the command failed.
    """
    if planting is None:
        raise HarnessError(
            "the stack has no way to remove a record behind the service's back; write x-chaos.plant_loss"
        )
    if not among:
        raise HarnessError("no record can be removed: all phones of a user know none alike; give the load more time")
    owner, record = random.Random(f"{seed}/planted").choice(among)
    command = planting.command(owner, record)
    code, said = await execute(planting.service, command, PLANT_SECONDS_MAX)
    if code:
        raise HarnessError(
            f"{record} of {owner} could not be removed: {' '.join(command)} in {planting.service} ended with {code}: "
            f"{said}; correct x-chaos.plant_loss"
        )
    return f"{owner}/{record}"

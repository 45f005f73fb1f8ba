"""A loss that is planted in a live trial: a record is removed behind the service's back, and the trial must say so."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Final

import orjson

from chaos.errors import HarnessError
from chaos.experiment.plan import PHOTO, Planting
from chaos.history.events import CANARY_OWNER

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
        raise HarnessError("no record can be removed: none is acknowledged and must be there; give the load more time")
    owner, record = random.Random(f"{seed}/planted").choice(among)
    command = planting.command(owner, record)
    code, said = await execute(planting.service, command, PLANT_SECONDS_MAX)
    if code:
        raise HarnessError(
            f"{record} of {owner} could not be removed: {' '.join(command)} in {planting.service} ended with {code}: "
            f"{said}; correct x-chaos.plant_loss"
        )
    return f"{owner}/{record}"


def acknowledged_records(history: Path, waiting: Collection[tuple[str, str]]) -> list[tuple[str, str]]:
    """Owners and names of records that must be there, photos left out, whoever knows of them.

    A create was acknowledged, and nobody has tried to delete it. The draw is not left to those that every phone knows:
    what a real fault takes was often just written, and is known to one phone.

    Args:
        history: The file, as far as it is written.
        waiting: Records of which a phone still has a write to send, which may bring them back.
    """
    created: dict[int, tuple[str, str]] = {}
    acknowledged: dict[tuple[str, str], None] = {}
    left_out = set(waiting)
    with history.open("rb") as lines:
        for line in lines:
            event = orjson.loads(line)
            if event["event"] == "act" and event["owner"] != CANARY_OWNER and event.get("type") != PHOTO:
                name = event["owner"], event.get("record", "")
                if event["kind"] == "create":
                    created[event["op"]] = name
                elif event["kind"] == "delete":
                    left_out.add(name)
            elif event["event"] == "back" and event["outcome"] == "ok" and event["op"] in created:
                acknowledged[created[event["op"]]] = None
    return [name for name in acknowledged if name not in left_out]

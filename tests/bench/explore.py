"""How many crash states a minute `holdfast explore` checks: recovered, read and judged, on several copies at once.

The recording and the set-up of the copies are left out: the clock runs from when so many states were found as there are
copies.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path

from chaos.explore.campaign import Exploration
from chaos.explore.record import record
from chaos.explore.state import Found
from chaos.preflight.opening import open_experiment
from tests.bench.bed import ROOT
from tests.bench.figures import Bound, Figure

_EXPERIMENTS = ROOT / "experiments"
_STACKS = {
    "minimal": (_EXPERIMENTS / "power_cut.yaml", 60.0),
    "sqlite": (_EXPERIMENTS / "explore" / "sqlite_wal_full.yaml", 200.0),
    "postgres": (_EXPERIMENTS / "postgresql" / "power_cut.yaml", 120.0),
}
_SEED = 1
_JOBS = 3


def states_per_minute(states: int) -> list[Figure]:
    """Of each stack, with what one state takes of one copy beside it."""
    figures: list[Figure] = []
    for name, (file, bound) in _STACKS.items():
        found, seconds = asyncio.run(_explored(file, states + _JOBS))
        kept = sum(each.outcome == "kept" for each in found)
        note = f"{kept} of {len(found)} states kept everything, {_JOBS} copies at once on {os.cpu_count()} cores"
        rate, limit = (len(found) - _JOBS) * 60 / seconds, Bound("at least", bound)
        figures.append(Figure(f"explore.{name}.states_per_minute", rate, "1/min", limit, samples=states, note=note))
    return figures


async def _explored(file: Path, states: int) -> tuple[list[Found], float]:
    """What was found, and the seconds from the last of the first states, one for each copy, to the last of all."""
    opened = open_experiment(file, _SEED)
    with tempfile.TemporaryDirectory() as folder:
        await record(opened, Path(folder), ())
        exploration = Exploration(opened, Path(folder), states, 0)
        ended: list[float] = []
        explored = await exploration.check(_JOBS, fail_fast=False, tell=lambda found: ended.append(time.monotonic()))
    return list(explored.found), ended[-1] - ended[_JOBS - 1]

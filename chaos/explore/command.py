"""`holdfast explore`: records a run of an experiment, or goes on with an exploration, and checks its crash states."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from chaos.errors import UsageError
from chaos.explore.campaign import Exploration, Explored
from chaos.explore.record import record
from chaos.explore.recorded import RECORDED_FILE
from chaos.explore.telling import shown
from chaos.preflight.opening import Opened, open_experiment
from chaos.reporting.result import PLAN_FILE
from chaos.reporting.terminal import terminal
from chaos.stack.engine.identity import Run
from chaos.trials import with_sigterm

FOLDER: Final = Path("reports/explorations")


@dataclass(frozen=True)
class Wanted:
    """What is to be checked: at most so many states, with so many subsets at each instant, on so many stack copies.

    Attributes:
        representative: A few of the states that are alike.
        fail_fast: Nothing after the first violation.
    """

    points: int
    subsets: int
    jobs: int
    representative: bool = False
    fail_fast: bool = False


def explore_file(file: Path, seed: int | None, wanted: Wanted, out: TextIO, *, quiet: bool) -> Explored:
    """Record where that is to be done, then check; `out` takes what is told meanwhile.

    Raises:
        UsageError: The experiment cannot be run, or the folder holds no recording.
        HarnessError: Anything but the service failed; what was found until then is kept.
    """
    with asyncio.Runner() as runner:
        return runner.run(with_sigterm(_explored(file, seed, wanted, out, quiet=quiet)))


async def _explored(file: Path, seed: int | None, wanted: Wanted, out: TextIO, *, quiet: bool) -> Explored:
    opened, folder = await asyncio.to_thread(_opened, file, seed)
    if folder != file:
        await record(opened, folder, (terminal(out, "quiet" if quiet else "usual"),))
    exploration = await asyncio.to_thread(
        Exploration, opened, folder, wanted.points, wanted.subsets, representative=wanted.representative
    )
    with shown(exploration.progress, out, quiet=quiet) as tell:
        return await exploration.check(wanted.jobs, fail_fast=wanted.fail_fast, tell=tell)


def _opened(file: Path, seed: int | None) -> tuple[Opened, Path]:
    """The experiment, and the folder of its exploration: a new one, or the one that was named."""
    goes_on = file.is_dir()
    if goes_on and not (file / RECORDED_FILE).is_file():
        raise UsageError(f"{file} holds no {RECORDED_FILE}; name an experiment, or a folder below {FOLDER}")
    if goes_on and seed is not None:
        raise UsageError(f"{file} has been recorded with its own seed; leave --seed out")
    opened = open_experiment(file / PLAN_FILE if goes_on else file, seed)
    if goes_on:
        return opened, file
    folder = FOLDER / Run.begin(opened.plans[0].seed).id
    folder.mkdir(parents=True)
    return opened, folder

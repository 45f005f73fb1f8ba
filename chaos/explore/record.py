"""Records the run of which an exploration is made."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from chaos.agent.recording import DATA_SUFFIX
from chaos.errors import HarnessError
from chaos.experiment.loader import write_plan
from chaos.explore.places import places
from chaos.explore.recorded import BASE_SUFFIX, Recorded, have, write_places
from chaos.history.reader import read_history
from chaos.preflight.opening import Opened
from chaos.reporting.listener import FanOut, Listener, Teller
from chaos.reporting.result import HISTORY_FILE, LOGS_FOLDER, PLAN_FILE
from chaos.stack.agent.diary import Diary
from chaos.stack.cache import CACHE_IN_AGENT, cache_folder, unfinished
from chaos.stack.engine.identity import Run
from chaos.stack.inputs.keeping import keep
from chaos.stack.live.lifecycle import Lab, lab
from chaos.trial import RECORDING_FOLDER, Trial
from chaos.workload.drivers.files import driver_files
from chaos.workload.reads.doors import Readers


async def record(opened: Opened, folder: Path, listeners: Sequence[Listener]) -> None:
    """Run the load once, without any fault, and keep its history and the write logs of all LUNs in a folder.

    The logs go on after the load, until all that was written has reached its LUN.

    Raises:
        HarnessError: Anything but the service failed.
    """
    plan = replace(opened.plans[0], schedule=())
    stack = opened.stack
    fan = FanOut(listeners)
    files = driver_files((plan.driver or stack.driver).name, plan.driver_folder)
    kept = keep(plan, stack, opened.sources, files, folder).into(folder, plan)
    write_plan(kept, folder / PLAN_FILE)
    run = Run.begin(plan.seed)
    scratch = unfinished(cache_folder() / "scratch" / "readers")
    scratch.parent.mkdir(exist_ok=True)
    told = Teller(fan, hold=False)
    with contextlib.closing(told), contextlib.closing(Diary()) as diary:
        diary.open(folder)
        told.started(plan, plan.seed, 1, 1, folder)
        async with (
            Readers.open(plan.driver or stack.driver, plan.driver_folder, scratch) as readers,
            lab(stack, run, plan.limits, diary.agent, told.log, folder / LOGS_FOLDER, told.doing) as made,
        ):
            plan = replace(plan, limits=made.patient(plan.limits))
            write_plan(replace(kept, limits=plan.limits), folder / PLAN_FILE)
            await Trial(plan, made, readers, folder, told).record()
            history = await asyncio.to_thread(read_history, folder / HISTORY_FILE)
            begin, end = ([p.t for p in history.phases if (p.name, p.happened) == ("load", what)]
                          for what in ("begun", "ended"))  # fmt: skip
            luns = made.running.stack.luns.values()
            recorded = Recorded(
                begin_ns=begin[0],
                end_ns=end[0],
                luns={lun.name: lun.file_name for lun in luns},
                golden=made.golden.name,
                hostnames=made.golden.hostnames(),
                seed=plan.seed,
            )
            await asyncio.to_thread(_keep_bases, recorded, folder, made)
            try:
                await asyncio.to_thread(_keep_places, recorded, folder)
            except HarnessError as error:
                told.log(f"warning: not known what the blocks are to their file systems: {error}")
            recorded.write(folder)


def _keep_bases(recorded: Recorded, folder: Path, made: Lab) -> None:
    for lun, path in made.golden.bases().items():
        kept = folder / RECORDING_FOLDER / f"{recorded.luns[lun]}{BASE_SUFFIX}"
        have(cache_folder() / path.removeprefix(f"{CACHE_IN_AGENT}/"), kept)


def _keep_places(recorded: Recorded, folder: Path) -> None:
    """Write down what each block that was written is to its file system."""
    found = {}
    for lun, log in recorded.recordings(folder).items():
        data, base = (folder / RECORDING_FOLDER / f"{recorded.luns[lun]}{each}" for each in (DATA_SUFFIX, BASE_SUFFIX))
        found[lun] = places(log, data, base)
    write_places(folder, found)

"""`holdfast search`: begins a search of an experiment, or goes on with one, and makes what it finds smaller."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TextIO

from chaos.audit.command import audited, read_audit
from chaos.errors import UsageError
from chaos.experiment.loader import write_plan
from chaos.explore.recorded import RECORDED_FILE
from chaos.preflight.opening import Opened, open_experiment
from chaos.reporting.progress.kept import alone
from chaos.reporting.result import PLAN_FILE
from chaos.search.campaign import TRIALS_FOLDER, Budget, Search, findings
from chaos.search.executors.copies import Copies
from chaos.search.executors.executor import Executor
from chaos.search.shrink import Counterexample, Shrinking, kept_before
from chaos.search.space import is_promised
from chaos.search.strategies import Drawn
from chaos.search.telling import Searched, shown
from chaos.search.tried import Tried
from chaos.stack.engine.identity import Run
from chaos.stack.inputs.keeping import Kept, keep
from chaos.stack.inputs.manifest import MANIFEST_FILE, read_manifest
from chaos.trials import with_sigterm
from chaos.workload.actions import actions_of
from chaos.workload.drivers.files import driver_files

FOLDER: Final = Path("reports/searches")
COPIES: Final = 2
"""On this machine, where nothing else is asked for."""
AUDIT_FOLDER: Final = "audit"
INPUTS_FOLDER: Final = "begun"
"""Of a search: its plan, and what that runs on."""


@dataclass(frozen=True)
class Wanted:
    """What a search is to do.

    Attributes:
        jobs: Trials at once; None: two, or one for each worker of the scheduler.
        shrink: Executions that each finding may take on its way to a counterexample; 0: it stays as it was found.
        guided: First an audit, and then what it expects to lose records.
        uniform: Draw everything with the same chance, and try it in the order of the draws.
        scheduler: The address of a Dask scheduler, on whose workers the trials run; "": on this machine.
        into: Where the folder of a new search is made.
        images: Of a new search: by service, what it runs in place of its own image.
    """

    budget: Budget
    jobs: int | None
    shrink: int
    guided: bool = False
    uniform: bool = False
    scheduler: str = ""
    into: Path = FOLDER
    images: Mapping[str, str] = field(default_factory=dict)


def search_file(file: Path, seed: int | None, wanted: Wanted, out: TextIO, *, quiet: bool) -> Searched:
    """Search; `out` takes what is told meanwhile.

    Raises:
        UsageError: The experiment cannot be run; or the folder holds no search, or one that another command runs.
        HarnessError: Anything but the service failed, several times; what was found until then is kept.
    """
    if wanted.scheduler:
        import chaos.search.executors.scheduled  # noqa: F401 - where it is not installed, nothing is begun
    with asyncio.Runner() as runner:
        return runner.run(with_sigterm(_searched(file, seed, wanted, out, quiet=quiet)))


async def _searched(file: Path, seed: int | None, wanted: Wanted, out: TextIO, *, quiet: bool) -> Searched:
    opened, folder, kept = await asyncio.to_thread(_opened, file, seed, wanted)

    def say(line: str) -> None:
        if not quiet:
            out.write(f"{line}\n")
            out.flush()

    plan = opened.plans[0]
    say(f"{plan.experiment}: seed {plan.seed}, folder {folder}")
    for line in opened.told_at_begin:
        say(f"warning: {line}")
    made: list[Counterexample] = []
    async with _executor(opened, folder, wanted, say) as executor:
        first = await _expected(opened, folder, out, say, quiet=quiet) if wanted.guided else []
        search = Search(opened, folder, kept, wanted.budget, first, uniform=wanted.uniform)
        with shown(search, out, quiet=quiet) as tell:
            await search.run(executor, wanted.jobs or executor.at_once, tell)
        for finding in findings(search.tried):
            made += await _shrunk(opened, kept, executor, finding, folder, wanted, say)
    return Searched(folder, plan.seed, search.tried, search.covered, made, search.here, search.seconds)


@asynccontextmanager
async def _executor(
    opened: Opened, folder: Path, wanted: Wanted, say: Callable[[str], None]
) -> AsyncIterator[Executor]:
    """What runs the trials, for this command alone, until the search is over."""
    with alone(folder / INPUTS_FOLDER / PLAN_FILE, "search"):
        if wanted.scheduler:
            from chaos.search.executors.scheduled import Scheduled  # an extra

            async with Scheduled.open(wanted.scheduler, folder, say) as scheduled:
                yield scheduled
        else:
            async with Copies.open(opened, wanted.jobs or COPIES, say) as copies:
                yield copies


async def _expected(
    opened: Opened, folder: Path, out: TextIO, say: Callable[[str], None], *, quiet: bool
) -> list[Drawn]:
    """What an audit of the experiment says would lose records, as plans with the load that was recorded.

    What the stack does not promise to survive is told and not tried: it would be a finding of nothing.
    """
    place = folder / AUDIT_FOLDER
    if (place / RECORDED_FILE).is_file():
        audit = await asyncio.to_thread(read_audit, opened, place)
    else:
        shutil.rmtree(place, ignore_errors=True)  # of a session that was stopped meanwhile
        place.mkdir()
        audit = await audited(opened, place, out, quiet=quiet)
    plan = opened.plans[0]
    actions, found = actions_of(plan), []
    for each in audit.predictions:
        drawn = Drawn(replace(plan, schedule=(*plan.schedule, *each.schedule)), actions)
        promised = is_promised(each.schedule, plan.search)
        untried = "" if promised else " (not tried: `search` of the experiment leaves it out)"
        say(f"expected to lose records: {'; '.join(drawn.schedule)}: {each.why}{untried}")
        found += [drawn] if promised else []
    return found


async def _shrunk(
    opened: Opened,
    kept: Kept,
    executor: Executor,
    finding: Tried,
    folder: Path,
    wanted: Wanted,
    say: Callable[[str], None],
) -> list[Counterexample]:
    before = kept_before(folder, finding)
    if before is not None or not wanted.shrink:
        return [before] if before is not None else []
    say(f"making trial {finding.number} smaller: {'; '.join(finding.schedule)}")
    run_folder = folder / TRIALS_FOLDER / f"{finding.number:04d}"
    shrinking = Shrinking(opened, kept, executor, finding, run_folder, wanted.shrink)
    return [await shrinking.shrink(lambda line: say(f"  {line}"))]


def _opened(file: Path, seed: int | None, wanted: Wanted) -> tuple[Opened, Path, Kept]:
    """The experiment, the folder of its search (a new one, or the one that was named), and what its trials read."""
    goes_on = file.is_dir()
    if goes_on and not (file / INPUTS_FOLDER / PLAN_FILE).is_file():
        raise UsageError(f"{file} holds no search; name an experiment, or a folder below {FOLDER}")
    if goes_on and seed is not None:
        raise UsageError(f"{file} was begun with its own seed; leave --seed out")
    folder = file if goes_on else _begin(open_experiment(file, seed, images=wanted.images), wanted.into)
    begun = folder / INPUTS_FOLDER
    opened = open_experiment(begun / PLAN_FILE)
    return opened, folder, Kept(begun, read_manifest(begun / MANIFEST_FILE), opened.sources)


def _begin(opened: Opened, into: Path) -> Path:
    """Make the folder of a new search, with all that it is run from."""
    plan = opened.plans[0]
    folder = into / Run.begin(plan.seed).id
    begun = folder / INPUTS_FOLDER
    begun.mkdir(parents=True)
    files = driver_files((plan.driver or opened.stack.driver).name, plan.driver_folder)
    kept = keep(plan, opened.stack, opened.sources, files, begun)
    write_plan(kept.into(begun, plan), begun / PLAN_FILE)
    return folder

"""Opens an experiment or a plan: the plans of its trials, their stack and their driver, with every target checked."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from chaos.errors import SourceError, UsageError
from chaos.experiment.loader import load_draft, load_trials
from chaos.experiment.plan import Plan
from chaos.faults import catalogue
from chaos.preflight.targets import check_targets
from chaos.stack.compose import load_stack
from chaos.stack.inputs.comparing import compare
from chaos.stack.inputs.manifest import read_manifest
from chaos.stack.inputs.sources import Sources
from chaos.stack.patience import with_patience
from chaos.stack.spec import Stack
from chaos.workload.actions import read_actions
from chaos.workload.drivers import chosen_driver
from chaos.workload.drivers.options import misfits_told


@dataclass(frozen=True)
class Opened:
    """A stack, with the plans that are to run on it.

    Attributes:
        sources: Where the stack's files lie, and what was read.
        differing: Of a plan that runs again, what is not as it was, one line each.
        doubtful: What does not go together in the driver's options, one line each.
    """

    plans: Sequence[Plan]
    stack: Stack
    sources: Sources
    differing: Sequence[str] = ()
    doubtful: Sequence[str] = ()

    @property
    def told_at_begin(self) -> Sequence[str]:
        """The warnings without which what follows may be misread."""
        return (*self.differing, *self.doubtful, *self.stack.unset, *self.stack.unsafe)


def open_experiment(
    file: Path,
    seed: int | None = None,
    *,
    times: int = 1,
    images: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Opened:
    """Load an experiment or a plan with its stack and driver, for a number of trials; every target is checked.

    Args:
        file: The experiment, or the plan of an earlier trial.
        seed: Draws the first trial of an experiment, the next seed the next one; None: a fresh one. A plan has its own.
        times: How many trials.
        images: By service, the image that it is to run in place of its own; a plan keeps those that it has.
        environment: Where the Compose files' variables come from; None: that of this process.

    Raises:
        UsageError: It cannot be run, or lacks what must be given again; a `SourceError` has every problem of the file,
            and of the files that it names.
    """
    variables = os.environ if environment is None else environment
    wrong: list[UsageError] = []
    try:
        plans = load_trials(file, seed, times, catalogue())
        numbers: Sequence[int] = range(len(plans[0].schedule))
    except SourceError as error:
        draft = load_draft(file, catalogue())
        if draft is None:
            raise
        wrong.append(error)
        plans, numbers = [draft[0]], draft[1]
    plans = [replace(plan, images={**plan.images, **(images or {})}) for plan in plans]
    opened: Opened | None = None
    with _kept(wrong):
        opened = _with_stack(plans, variables)
    if opened is not None:
        with _kept(wrong):
            check_targets(plans[0], opened.stack, file, numbers)
        with _kept(wrong):
            opened = _with_driver(opened)
        with _kept(wrong):
            if plans[0].actions is not None:
                read_actions(plans[0].actions, plans[0].workload)
    elif plans[0].driver is not None:  # no stack says what is asked of it
        with _kept(wrong):
            chosen_driver(plans[0].driver, plans[0].driver_folder)
    if wrong or opened is None:
        raise SourceError.of_all(wrong, str(file))
    return opened


def open_plans(plans: Sequence[Plan], environment: Mapping[str, str]) -> Opened:
    """Load stack and driver of plans that differ only in what was drawn; raise limits to what health checks ask for."""
    return _with_driver(_with_stack(plans, environment))


def images_by_service(given: Sequence[str]) -> dict[str, str]:
    """What a user gives as SERVICE=REF, by service.

    Raises:
        UsageError: It has another form.
    """
    images = {}
    for each in given:
        service, _, image = each.partition("=")
        if not service or not image:
            raise UsageError(f"{each!r} is no image of a service; write SERVICE=REF, such as db=postgres:17")
        images[service] = image
    return images


@contextlib.contextmanager
def _kept(wrong: list[UsageError]) -> Iterator[None]:
    """Keep what is wrong, so that it is told together with what else is."""
    try:
        yield
    except UsageError as error:
        wrong.append(error)


def _with_stack(plans: Sequence[Plan], environment: Mapping[str, str]) -> Opened:
    plan = plans[0]
    differing: Sequence[str] = ()
    if plan.inputs is None:
        sources = Sources()
    else:
        manifest = read_manifest(plan.inputs)
        sources = Sources(manifest.carried(plan.inputs.parent))
        differences = compare(plan, manifest, sources, environment)
        differences.require(plan)
        differing = differences.differing
    stack = load_stack(plan.stack, plan.variables, plan.profiles, environment, sources, plan.images)
    patient = [replace(each, limits=with_patience(each.limits, stack)) for each in plans]
    return Opened(patient, stack, sources, differing)


def _with_driver(opened: Opened) -> Opened:
    plan, stack = opened.plans[0], opened.stack
    choice = plan.driver or stack.driver
    driver = chosen_driver(choice, plan.driver_folder, (kind for kind, _, _ in stack.doors), stack.policy)
    return replace(opened, doubtful=misfits_told(driver, choice, stack.policy))

"""From a file of the user's to the plans of its trials and their stack, every target looked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from chaos.experiment.catalogue import FaultCatalogue
from chaos.experiment.loader import load_trials
from chaos.experiment.plan import Plan
from chaos.stack.compose import load_stack
from chaos.stack.inputs.comparing import compare
from chaos.stack.inputs.manifest import read_manifest
from chaos.stack.inputs.sources import Sources
from chaos.stack.patience import with_patience
from chaos.stack.spec import Stack
from chaos.stack.targets import check_targets


@dataclass(frozen=True)
class Opened:
    """A stack, with the plans that are to run on it.

    Attributes:
        sources: Where the stack's files lie, and what was read.
        differing: Of a plan that runs again, what is not as it was, one line each.
    """

    plans: Sequence[Plan]
    stack: Stack
    sources: Sources
    differing: Sequence[str] = ()


def open_file(
    file: Path, seed: int | None, times: int, faults: FaultCatalogue, environment: Mapping[str, str]
) -> Opened:
    """Load an experiment or a plan for so many trials.

    Raises:
        UsageError: It cannot be run, or lacks what must be given again.
    """
    opened = open_plans(load_trials(file, seed, times, faults), environment)
    check_targets(opened.plans[0], opened.stack, file, faults)
    return opened


def open_plans(plans: Sequence[Plan], environment: Mapping[str, str]) -> Opened:
    """Load the stack of plans that differ in what was drawn alone, and have limits grow as its health checks ask."""
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
    stack = load_stack(plan.stack, plan.variables, plan.profiles, environment, sources)
    patient = [replace(each, limits=with_patience(each.limits, stack)) for each in plans]
    return Opened(patient, stack, sources, differing)

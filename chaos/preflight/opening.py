"""Opens an experiment or a plan: the plans of its trials and their stack, with every target checked."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from chaos.experiment.loader import load_trials
from chaos.experiment.plan import Plan
from chaos.faults import catalogue
from chaos.preflight.targets import check_targets
from chaos.stack.compose import load_stack
from chaos.stack.inputs.comparing import compare
from chaos.stack.inputs.manifest import read_manifest
from chaos.stack.inputs.sources import Sources
from chaos.stack.patience import with_patience
from chaos.stack.spec import Stack


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


def open_experiment(
    file: Path, seed: int | None = None, *, times: int = 1, environment: Mapping[str, str] | None = None
) -> Opened:
    """Load an experiment or a plan with its stack, for a number of trials; every target is checked.

    Args:
        file: The experiment, or the plan of an earlier trial.
        seed: Draws the first trial of an experiment, the next seed the next one; None: a fresh one. A plan has its own.
        times: How many trials.
        environment: Where the Compose files' variables come from; None: that of this process.

    Raises:
        UsageError: It cannot be run, or lacks what must be given again; a `SourceError` has every problem of a file.
    """
    plans = load_trials(file, seed, times, catalogue())
    opened = open_plans(plans, os.environ if environment is None else environment)
    check_targets(opened.plans[0], opened.stack, file)
    return opened


def open_plans(plans: Sequence[Plan], environment: Mapping[str, str]) -> Opened:
    """Load the stack of plans that differ only in what was drawn; raise limits to what its health checks ask for."""
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

"""Whether a plan's targets are in the stack that it runs on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chaos.errors import Problem, SourceError
from chaos.experiment.plan import Plan
from chaos.experiment.source import find, read
from chaos.faults import known_faults
from chaos.stack.spec import Stack


def check_targets(plan: Plan, stack: Stack, file: Path | None = None, numbers: Sequence[int] | None = None) -> None:
    """Refuse a plan that strikes what its stack does not have.

    Args:
        plan: The plan.
        stack: Its stack, loaded with its profiles.
        file: The experiment or plan file, for the places of the problems.
        numbers: Which fault of the file each one of the plan is; None: the same.

    Raises:
        SourceError: With every target that is not there.
    """
    wrong = []
    for i, scheduled in enumerate(plan.schedule):
        fault = known_faults()[scheduled.fault]
        wrong += [(i, each) for each in fault.medium.missing(fault, scheduled.target, stack)]
    if not wrong:
        return
    document = read(file) if file is not None else None
    problems = []
    for i, each in wrong:
        if document is None:
            message = f"{plan.schedule[i].fault}: {each.message}"
            problems.append(Problem(plan.experiment, 0, 0, message, each.hint))
        else:
            number = i if numbers is None else numbers[i]
            place = find(document.root, ("schedule", number, "target", *each.where))[1]
            problems.append(place.problem(each.message, each.hint))
    raise SourceError(problems, document.text if document else "")

"""Whether a plan's targets are in the stack that it runs on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chaos.errors import Problem, SourceError
from chaos.experiment.plan import Plan, ScheduledFault
from chaos.experiment.source import did_you_mean, find, read
from chaos.experiment.steps import unrolled
from chaos.faults import known_faults
from chaos.faults.base import Missing, names_of
from chaos.stack.spec import ANY, Stack


def check_targets(plan: Plan, stack: Stack, file: Path | None = None, numbers: Sequence[int] | None = None) -> None:
    """Refuse a plan that strikes what its stack does not have, or counts I/Os of what it does not have.

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
        wrong += [(i, "target", each) for each in fault.medium.missing(fault, scheduled.target, stack)]
        wrong += [(i, "at", each) for each in _missing_at(scheduled, stack)]
    if not wrong:
        return
    document = read(file) if file is not None else None
    root = unrolled(document.root) if document is not None else None
    problems = []
    for i, key, each in wrong:
        if root is None:
            message = f"{plan.schedule[i].fault}: {each.message}"
            problems.append(Problem(plan.experiment, 0, 0, message, each.hint))
        else:
            number = i if numbers is None else numbers[i]
            place = find(root, ("schedule", number, key, *each.where))[1]
            problems.append(place.problem(each.message, each.hint))
    raise SourceError([*dict.fromkeys(problems)], document.text if document else "")


def _missing_at(scheduled: ScheduledFault, stack: Stack) -> list[Missing]:
    """What the trigger of a fault lacks: its LUN, or the time to ask who has a role."""
    at, target = scheduled.at, scheduled.target
    if at.io is None or at.lun is None:
        return []
    if not stack.lun_named(at.lun):
        hint = did_you_mean(at.lun, names_of(stack, "lun"))
        return [Missing(("lun",), f"the stack has no lun {at.lun!r}", hint)]
    moving = [name for name in target.names if target.key == "role" and name.removeprefix(ANY) in stack.role_checks]
    return [
        Missing(
            (at.io[0],),
            f"{scheduled.fault} cannot strike the role {name} at a {at.io[0]}: services are asked who has it when a "
            "fault strikes, and between an I/O and its answer there is no time for that",
            "name the service or the LUN, or use acknowledged or seconds",
        )
        for name in moving
    ]

"""Whether a plan's targets are in the stack that it runs on."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from chaos.errors import Problem, SourceError
from chaos.experiment.plan import Plan, Target
from chaos.experiment.source import did_you_mean, find, read
from chaos.stack.spec import Stack


def check_targets(plan: Plan, stack: Stack, file: Path | None = None) -> None:
    """Refuse a plan that strikes what its stack does not have.

    Args:
        plan: The plan.
        stack: Its stack, loaded with its profiles.
        file: The experiment or plan file, for the places of the problems.

    Raises:
        SourceError: With every target that is not there.
    """
    known = _names(stack)
    wrong = [
        (i, kind, name, known[kind])
        for i, scheduled in enumerate(plan.schedule)
        for kind, name in _given(scheduled.target)
        if name not in known[kind]
    ]
    if not wrong:
        return
    document = read(file) if file is not None else None
    problems = []
    for i, kind, name, names in wrong:
        if name is True:
            message, hint = f"the stack has no {kind}", "say `carrier: toxiproxy` under x-chaos"
        else:
            message, hint = f"the stack has no {kind} {name!r}", did_you_mean(str(name), map(str, names))
        if document is None:
            problems.append(Problem(plan.experiment, 0, 0, f"{plan.schedule[i].fault}: {message}", hint))
        else:
            problems.append(find(document.root, ("schedule", i, "target", kind))[1].problem(message, hint))
    raise SourceError(problems, document.text if document else "")


def services_struck(target: Target, stack: Stack) -> tuple[str, ...]:
    """The services that a fault on this target reaches: itself, its role's, or those on its LUNs."""
    if target.service:
        return (target.service,)
    if target.role:
        return stack.roles.get(target.role, ())
    return stack.services_on(luns_struck(target, stack))


def luns_struck(target: Target, stack: Stack) -> tuple[str, ...]:
    """The LUNs that a fault on this target reaches."""
    return (target.lun,) if target.lun else stack.arrays.get(target.array, ())


def _names(stack: Stack) -> dict[str, Collection[str | bool]]:
    return {
        "array": stack.arrays,
        "lun": stack.luns,
        "service": stack.services,
        "role": [role for role, members in stack.roles.items() if members],
        "carrier": [stack.carrier],
    }


def _given(target: Target) -> list[tuple[str, str | bool]]:
    return [(kind, name) for kind, name in vars(target).items() if name]

"""Whether a plan's targets are in the stack that it runs on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from chaos.errors import Problem, SourceError
from chaos.experiment.catalogue import FaultCatalogue, FaultInfo
from chaos.experiment.plan import Plan, Target
from chaos.experiment.source import did_you_mean, find, read
from chaos.stack.spec import ANY, Stack

_ON_A_LUN = "name a service on a LUN; a volume that its image alone declares counts once `volumes` has its path, too"


def check_targets(plan: Plan, stack: Stack, file: Path | None = None, faults: FaultCatalogue | None = None) -> None:
    """Refuse a plan that strikes what its stack does not have.

    Args:
        plan: The plan.
        stack: Its stack, loaded with its profiles.
        file: The experiment or plan file, for the places of the problems.
        faults: What is known of faults; with it, one of LUNs that names a service without any is refused too.

    Raises:
        SourceError: With every target that is not there.
    """
    known = _names(stack)
    wrong = [
        (i, where, *_missing(kind, name, known[kind]))
        for i, scheduled in enumerate(plan.schedule)
        for where, kind, name in _given(scheduled.target)
        if name not in known[kind]
    ]
    wrong += [
        (i, where, *said)
        for i, scheduled in enumerate(plan.schedule)
        if faults is not None and faults.known[scheduled.fault].strikes == "luns"
        for where, kind, name in _given(scheduled.target)
        if kind in ("service", "role") and name in known[kind]
        for said in _without_luns(name, stack, faults.known[scheduled.fault])
    ]
    if not wrong:
        return
    document = read(file) if file is not None else None
    problems = []
    for i, where, message, hint in wrong:
        if document is None:
            problems.append(Problem(plan.experiment, 0, 0, f"{plan.schedule[i].fault}: {message}", hint))
        else:
            problems.append(find(document.root, ("schedule", i, "target", *where))[1].problem(message, hint))
    raise SourceError(problems, document.text if document else "")


def services_struck(target: Target, stack: Stack) -> tuple[str, ...]:
    """The services that a fault on this target may reach: those named, those of its roles, or those on its LUNs."""
    if target.named:
        return tuple(dict.fromkeys(member for name in target.named for member in stack.candidates(name)))
    return stack.services_on(luns_struck(target, stack))


def luns_struck(target: Target, stack: Stack) -> tuple[str, ...]:
    """The LUNs of a target that names LUNs."""
    if target.lun:
        return (target.lun,)
    arrays = target.arrays or (target.array,)
    return tuple(lun.name for lun in stack.luns.values() if lun.array in arrays)


def _without_luns(name: str, stack: Stack, fault: FaultInfo) -> list[tuple[str, str]]:
    """What to say of a service or a role that has nothing which a fault of LUNs could strike, and the hint."""
    luns = stack.luns_of(stack.candidates(name))
    if not luns:
        return [(f"{name} mounts no LUN, and {fault.name} strikes LUNs", _ON_A_LUN)]
    if fault.whole_arrays and not stack.beside(luns):
        message = f"{name} is on local disks alone, and {fault.name} strikes the arrays of a SAN"
        return [(message, "put its volume on an array under x-chaos.arrays, or use a fault of disks")]
    return []


def _missing(kind: str, name: str, names: Iterable[str]) -> tuple[str, str]:
    """What to say of a name that the stack has not, and the hint."""
    if kind == "carrier":
        return "the stack has no carrier", "say `carrier: toxiproxy` under x-chaos"
    return f"the stack has no {kind} {name!r}", did_you_mean(name, names)


def _names(stack: Stack) -> dict[str, Iterable[str]]:
    roles = [role for role, members in stack.roles.items() if members]
    roles += [f"{ANY}{role}" for role in roles]
    return {
        "array": stack.arrays,
        "lun": stack.luns,
        "service": stack.services,
        "role": roles,
        "service or role": [*stack.services, *roles],
        "carrier": [""] if stack.carrier else [],
    }


def _given(target: Target) -> list[tuple[tuple[str | int, ...], str, str]]:
    """Where each name of a target stands, what it should be, and the name; the carrier has none."""
    single = [((kind,), kind, name) for kind, name in vars(target).items() if name and isinstance(name, str)]
    arrays = [(("arrays", i), "array", name) for i, name in enumerate(target.arrays)]
    between = [
        (("between", i, k), "service or role", name)
        for i, members in enumerate(target.between)
        for k, name in enumerate(members)
    ]
    isolate = [(("isolate", i), "service or role", name) for i, name in enumerate(target.isolate)]
    return [*single, *arrays, *between, *isolate, *([(("carrier",), "carrier", "")] if target.carrier else [])]

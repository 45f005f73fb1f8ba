"""What may happen to a stack: every fault with every target that it has there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import combinations
from typing import Any

from chaos.experiment.catalogue import TargetForm
from chaos.experiment.plan import ScheduledFault, Target
from chaos.faults.base import Fault, names_of
from chaos.faults.registry import known_faults
from chaos.stack.spec import ANY, Stack


@dataclass(frozen=True)
class Choice:
    """One fault on one target.

    Attributes:
        io: The LUNs at whose I/Os it may strike; none where it cannot strike at an I/O.
    """

    fault: type[Fault[Any]]
    target: Target
    io: tuple[str, ...] = ()


def space_of(stack: Stack, faults: Sequence[str] = ()) -> tuple[Choice, ...]:
    """Every choice on a stack, in a fixed order; of targets that mean the same there the first alone.

    Args:
        stack: The stack.
        faults: Patterns of the names of faults, as "process.*"; none: all.
    """
    found: dict[tuple[str, str], Choice] = {}
    for name, fault in sorted(known_faults().items()):
        if not may_be_drawn(name, faults):
            continue
        forms = {form.key: form for form in fault.medium.forms}
        for target in (each for key in fault.targets for each in _targets(forms[key], stack)):
            if fault.medium.missing(fault, target, stack):
                continue
            same = name, fault.medium.strikes(target, stack)
            if target.key in ("between", "isolate"):
                same = name, f"{target.key} {target}"
            found.setdefault(same, Choice(fault, target, _io(fault, target, stack)))
    return tuple(found.values())


def may_be_drawn(fault: str, patterns: Sequence[str]) -> bool:
    """Whether a fault is one of those that patterns such as "process.*" name; none: all."""
    return not patterns or any(fnmatchcase(fault, pattern) for pattern in patterns)


def narrower(scheduled: ScheduledFault, stack: Stack) -> Iterator[Target]:
    """Targets of the same fault that strike less: one of several names, one LUN of an array."""
    fault, target = known_faults()[scheduled.fault], scheduled.target
    wider = [name for name in target.names if len(target.names) > 1] if target.key in ("arrays", "isolate") else []
    found = [Target("array", name) if target.key == "arrays" else Target("isolate", (name,)) for name in wider]
    if target.key in ("array", "arrays") and "lun" in fault.targets:
        luns = [lun for name in target.names for lun in stack.arrays[name]]
        found += [Target("lun", lun) for lun in luns if len(luns) > 1]
    return (each for each in found if not fault.medium.missing(fault, each, stack))


def _targets(form: TargetForm, stack: Stack) -> Iterator[Target]:
    if form.shape == "flag":
        if form.key != "carrier" or stack.carrier:
            yield Target(form.key, True)
        return
    if form.names not in ("array", "lun", "service", "role", "service or role"):
        return  # a medium of another package, with names of its own
    names = [name for name in names_of(stack, form.names) if not name.startswith(ANY)]
    if form.shape == "name":
        yield from (Target(form.key, name) for name in names)
    elif form.shape == "names" and form.names == "array":
        yield from (Target(form.key, (*several,)) for several in combinations(names, 2))
        if len(names) > 2:
            yield Target(form.key, tuple(names))
    elif form.shape == "names":
        yield from (Target(form.key, (name,)) for name in names)
    else:
        pairs = combinations([name for name in names if name in stack.services], 2)
        yield from (Target(form.key, ((one,), (other,))) for one, other in pairs)


def _io(fault: type[Fault[Any]], target: Target, stack: Stack) -> tuple[str, ...]:
    """A role may have moved by then, and nobody could be asked right at an I/O."""
    if not fault.medium.at_ios or target.key == "role":
        return ()
    if target.key == "lun":
        return target.names
    if target.key == "service":
        return stack.luns_of(target.names)
    return tuple(lun for name in target.names for lun in stack.arrays[name])

"""What may happen to a stack: every fault with every target that it has there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import combinations
from typing import Any

from chaos.experiment.catalogue import TargetForm
from chaos.experiment.plan import ScheduledFault, Search, Target
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


def space_of(stack: Stack, search: Search) -> tuple[Choice, ...]:
    """Every choice on a stack that may be drawn, in a fixed order; of targets that mean the same the first alone."""
    found: dict[tuple[str, str], Choice] = {}
    for name, fault in sorted(known_faults().items()):
        forms = {form.key: form for form in fault.medium.forms}
        for target in (each for key in fault.targets for each in _targets(forms[key], stack)):
            if not may_be_drawn(name, target, search) or fault.medium.missing(fault, target, stack):
                continue
            same = name, fault.medium.strikes(target, stack)
            if target.key in ("between", "isolate"):
                same = name, f"{target.key} {target}"
            found.setdefault(same, Choice(fault, target, _io(fault, target, stack)))
    return tuple(found.values())


def is_promised(schedule: Sequence[ScheduledFault], search: Search) -> bool:
    """Whether a search may draw this: what the stack promises to survive."""
    drawn = all(may_be_drawn(each.fault, each.target, search) for each in schedule)
    return drawn and sum(is_one_of(each.fault, search) for each in schedule) <= 1


def may_be_drawn(fault: str, target: Target, search: Search) -> bool:
    """Whether a schedule may have this fault on this target."""
    if is_one_of(fault, search):
        return len(target.names) == 1
    return _is_named(fault, search.faults) or not (search.faults or search.one_of)


def is_one_of(fault: str, search: Search) -> bool:
    """Whether this is a fault that a schedule may have only one of."""
    return _is_named(fault, search.one_of)


def _is_named(fault: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(fault, pattern) for pattern in patterns)


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

"""What no trial of a gate can show: faults that this host lacks or nothing asks for, data that lies on no LUN."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from chaos.doctor import examine
from chaos.faults import known_faults
from chaos.gate.counted import Counted
from chaos.gate.policy import Policy
from chaos.preflight.opening import Opened
from chaos.preflight.warnings import disk_warnings, not_covered, topology_warnings

_CARRIES: Final = (
    "a counterexample that runs on the stack in its inputs/, as that was when it was found; "
    "the one that is here is not asked (but for --image)"
)


@dataclass(frozen=True)
class Untested:
    """What was not tested.

    Attributes:
        lacking: Of each fault that this host cannot run, what is missing.
        unasked: Faults that no experiment of the policy has, and no search may draw.
        warnings: Of each stack, what its Compose file leaves to luck; of a counterexample, that it has another one.
        off_luns: Of each stack, paths "service:/path" that are on no LUN.
    """

    lacking: Mapping[str, tuple[str, ...]]
    unasked: tuple[str, ...]
    warnings: Mapping[str, tuple[str, ...]]
    off_luns: Mapping[str, tuple[str, ...]]


def untested(policy: Policy, stacks: Mapping[str, Opened]) -> Untested:
    """What is known before anything is run."""
    asked = set(_asked(policy))
    return Untested(
        {each.fault: each.missing for each in examine().faults if not each.possible},
        tuple(sorted(known_faults().keys() - asked)),
        {
            name: (*topology_warnings(each.stack), *disk_warnings(each.stack), *each.stack.unsafe)
            for name, each in stacks.items()
        }
        | {
            str(each.experiment.file): (_CARRIES,)
            for each in policy.counterexamples
            if each.experiment.plan(0).inputs is not None
        },
        {name: tuple(not_covered(each.stack)) for name, each in stacks.items()},
    )


def off_luns(known: Untested, policy: Policy, trials: Iterable[Counted]) -> dict[str, tuple[str, ...]]:
    """By stack the paths that are on no LUN, those that only a trial showed too."""
    found = {name: dict.fromkeys(paths) for name, paths in known.off_luns.items()}
    for each in trials:
        name = policy.stack_of(each.part, each.of)
        if name in found:
            found[name].update(dict.fromkeys(each.not_covered))
    return {name: tuple(paths) for name, paths in found.items()}


def _asked(policy: Policy) -> Iterable[str]:
    for stratum in policy.strata:
        for each in stratum.experiments:
            yield from (fault.fault for fault in each.plan(0).schedule)
    for search in policy.searches:
        promised = search.experiment.plan(0).search
        patterns = (*promised.faults, *promised.one_of) or ("*",)
        yield from (name for name in known_faults() if any(fnmatchcase(name, pattern) for pattern in patterns))

"""Faults and media as plain data: a medium is what a group of faults acts on. Nothing here touches a stack.

A *medium* (LUNs, processes, links, the carrier) has a folder: how targets on it are written and checked, its states,
its evidence, its needs of the host, its faults. Its live half, which brings states about and reads them back, stands in
`live` and is imported when a trial begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from chaos.experiment.catalogue import ParameterInfo, TargetForm
from chaos.experiment.plan import Target
from chaos.experiment.source import did_you_mean
from chaos.history.events import FaultEvent
from chaos.history.model import History
from chaos.stack.spec import ANY, Stack


@dataclass(frozen=True)
class Evidence:
    """What a fault did to its targets, from just before it took hold until it was healed: its own doing alone.

    Each medium has its own, with fields for what it counts.
    """

    def counted(self) -> Mapping[str, int | float | str]:
        """The counts to show, by name: everything that is not zero."""
        return {name: value for name, value in vars(self).items() if value}


@dataclass(frozen=True)
class Felt:
    """Whether phones noticed a fault, by the history alone: counts by name, and "" or what was missing."""

    counted: Mapping[str, int]
    why: str


E = TypeVar("E", bound=Evidence)


class Fault(Generic[E]):
    """One kind of fault. Objects are frozen dataclasses whose fields are the fault's parameters.

    Attributes:
        name: As experiments write it; set by `@fault`.
        medium: Where it strikes; set by the medium's own base class.
        targets: The keys of the medium's forms of target that it takes.
        parameters: What experiments may give, by field.
        needs: What it needs of the host beside its medium's needs, by the doctor's names.
        for_good: Whether the fault outlives the trial's heal phase, so that only the runbook helps.
        needs_witness: Whether what the service did has to be seen by another way while the fault is in force.
        is_felt: Whether the history has to tell that phones felt it, too; see `felt`.
    """

    name: ClassVar[str]
    medium: ClassVar[Medium]
    targets: ClassVar[tuple[str, ...]]
    parameters: ClassVar[Mapping[str, ParameterInfo]] = {}
    needs: ClassVar[tuple[str, ...]] = ()
    for_good: ClassVar[bool] = False
    needs_witness: ClassVar[bool] = False
    is_felt: ClassVar[bool] = False

    @property
    def lasts_seconds(self) -> float | None:
        """After how long in force it is over by itself; None: it lasts until it is healed."""
        return None

    def why_not_bitten(self, evidence: E) -> str:
        """The empty string when the evidence reaches this fault's minimum, else what is missing."""
        raise NotImplementedError

    @classmethod
    def felt(cls, history: History, injected: FaultEvent, healed: FaultEvent) -> Felt:
        """Judge by the history whether phones felt it; of faults that `is_felt` alone."""
        raise NotImplementedError


@dataclass(frozen=True)
class Missing:
    """A name in a target that the stack does not have: where in the target it stands, and what to say of it."""

    where: tuple[str | int, ...]
    message: str
    hint: str


class Medium:
    """What a group of faults acts on: LUNs, processes, links, the carrier.

    Attributes:
        name: "lun", ...
        forms: How targets on it are written.
        needs: What its faults need of the host, by the names of the doctor's findings.
        live: "module:Class" of its live half, a `chaos.faults.live.LiveMedium`.
        at_ios: Whether its faults can strike at an I/O of a LUN; see `chaos.faults.live.Strike.arm`.
    """

    name: ClassVar[str]
    forms: ClassVar[tuple[TargetForm, ...]]
    needs: ClassVar[tuple[str, ...]]
    live: ClassVar[str]
    at_ios: ClassVar[bool] = False

    def missing(self, fault: type[Fault[Any]], target: Target, stack: Stack) -> list[Missing]:
        """What a target of this fault names that its stack does not have."""
        form = self._form(target)
        if form is None or target.key not in fault.targets:
            said = form.said if form is not None else f"a {target.key}"
            hint = f"its target is {' or '.join(fault.targets)}"
            return [Missing((target.key,), f"{fault.name} cannot strike {said}", hint)]
        known = names_of(stack, form.names)
        return [
            Missing(where, f"the stack has no {form.names} {name!r}", did_you_mean(name, known))
            for where, name in places(target)
            if name not in known and not (form.names == "lun" and stack.lun_named(name))
        ]

    def services(self, target: Target, stack: Stack) -> tuple[str, ...]:
        """The services that a fault on this target may reach: those named, and those of the roles named."""
        return tuple(dict.fromkeys(member for name in self._named(target) for member in stack.candidates(name)))

    def strikes(self, target: Target, stack: Stack) -> str:
        """What a fault on this target may reach, as `holdfast validate` tells it."""
        services = f"services {', '.join(self.services(target, stack)) or 'none'}"
        moving = [name for name in self._named(target) if name.removeprefix(ANY) in stack.role_checks]
        return f"{services}; of these whoever is {', '.join(moving)} then" if moving else services

    def _form(self, target: Target) -> TargetForm | None:
        return next((each for each in self.forms if each.key == target.key), None)

    def _named(self, target: Target) -> tuple[str, ...]:
        """The services and roles that a target names."""
        form = self._form(target)
        return target.names if form is not None and form.names in ("service", "role", "service or role") else ()


def places(target: Target) -> list[tuple[tuple[str | int, ...], str]]:
    """Where each name of a target stands, and the name."""
    if isinstance(target.named, str):
        return [((target.key,), target.named)]
    if target.sets == (target.named,):
        return [((target.key, i), name) for i, name in enumerate(target.names)]
    return [((target.key, i, k), name) for i, each in enumerate(target.sets) for k, name in enumerate(each)]


def names_of(stack: Stack, kind: str) -> list[str]:
    """The names that a stack has of a kind that forms of target speak of."""
    roles = [role for role, members in stack.roles.items() if members]
    roles += [f"{ANY}{role}" for role in roles]
    return {
        "array": list(stack.arrays),
        "lun": list(stack.luns),
        "service": list(stack.services),
        "role": roles,
        "service or role": [*stack.services, *roles],
    }[kind]

"""The faults and their media, by name: what an experiment may ask for, and how a scheduled fault becomes an object.

Packages of other people add theirs by an entry point of the group `holdfast.faults`, whose module defines a medium and
faults as the folders beside this file do. Such a fault may use all that the agent can do; the agent itself is built
from `chaos/agent` alone, so nobody else's code runs with its privileges.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any, TypeVar, cast

from chaos.errors import UsageError
from chaos.experiment.catalogue import FaultCatalogue, FaultInfo, TargetForm
from chaos.experiment.plan import ScheduledFault
from chaos.faults.base import Fault, Medium

ENTRY_POINTS = "holdfast.faults"
_OWN = (
    "chaos.faults.lun.disk",
    "chaos.faults.lun.wrong",
    "chaos.faults.lun.san",
    "chaos.faults.process.faults",
    "chaos.faults.link.faults",
    "chaos.faults.carrier.faults",
)
"""Modules that define faults. A new medium is a folder and a line here."""
_FAULTS: dict[str, type[Fault[Any]]] = {}

F = TypeVar("F", bound=type[Fault[Any]])


def fault(name: str) -> Callable[[F], F]:
    """Register a fault class under `name`, "family.what_happens", and make it a frozen dataclass."""

    def register(cls: F) -> F:
        if name in _FAULTS:
            raise ValueError(f"there are two faults of the name {name}, one of them in {_FAULTS[name].__module__}")
        known = {form.key: form for each in _FAULTS.values() for form in each.medium.forms}
        for form in cls.medium.forms:
            if known.get(form.key, form) != form:
                raise ValueError(f"the target {form.key!r} of {name} has another form than that of other faults")
        cls.name = name
        made = cast(F, dataclasses.dataclass(frozen=True, kw_only=True)(cls))
        _FAULTS[name] = made
        return made

    return register


@functools.cache
def _load() -> None:
    """Import every module that defines faults."""
    for module in _OWN:
        importlib.import_module(module)
    for point in entry_points(group=ENTRY_POINTS):
        try:
            point.load()
        except Exception as error:
            raise UsageError(
                f"the faults of {point.name} ({point.value}) cannot be loaded: {type(error).__name__}: {error}; "
                "mend or uninstall that package"
            ) from error


def known_faults() -> Mapping[str, type[Fault[Any]]]:
    """Every fault by its name.

    Raises:
        UsageError: Somebody's package of faults cannot be loaded.
    """
    _load()
    return _FAULTS


def media() -> tuple[Medium, ...]:
    """Every medium on which some fault strikes."""
    return tuple(dict.fromkeys(each.medium for each in known_faults().values()))


class _Catalogue:
    """All registered faults, as experiments are held against them."""

    @property
    def known(self) -> Mapping[str, FaultInfo]:
        return {
            name: FaultInfo(name, cls.targets, cls.parameters, cls.medium.at_ios)
            for name, cls in known_faults().items()
        }

    @property
    def forms(self) -> tuple[TargetForm, ...]:
        return tuple(dict.fromkeys(form for medium in media() for form in medium.forms))


def catalogue() -> FaultCatalogue:
    """What experiments may ask for."""
    return _Catalogue()


def make(scheduled: ScheduledFault) -> Fault[Any]:
    """The fault object of a schedule's entry.

    Raises:
        UsageError: No such fault, or it does not take these parameters.
    """
    cls: Any = known_faults().get(scheduled.fault)
    if cls is None:
        known = ", ".join(sorted(_FAULTS))
        raise UsageError(f"unknown fault {scheduled.fault!r}; there are {known}")
    try:
        made: Fault[Any] = cls(**{name: _frozen(value) for name, value in scheduled.parameters.items()})
    except TypeError as error:
        raise UsageError(f"{scheduled.fault} does not take these parameters: {error}") from error
    return made


def _frozen(value: object) -> object:
    return frozenset(value) if isinstance(value, list) else value

"""The faults by name: what an experiment may ask for, and how a scheduled one becomes an object."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from chaos.errors import UsageError
from chaos.experiment.catalogue import FaultCatalogue, FaultInfo
from chaos.experiment.plan import ScheduledFault
from chaos.faults.base import Fault

_FAULTS: dict[str, type[Fault]] = {}

F = TypeVar("F", bound=type[Fault])


def fault(name: str) -> Callable[[F], F]:
    """Register a fault class under `name`, "family.what_happens", and make it a frozen dataclass."""

    def register(cls: F) -> F:
        if name in _FAULTS:
            raise ValueError(f"there are two faults of the name {name}")
        cls.name = name
        made = cast(F, dataclasses.dataclass(frozen=True, kw_only=True)(cls))
        _FAULTS[name] = made
        return made

    return register


class _Catalogue:
    """All registered faults, as experiments are held against them."""

    @property
    def known(self) -> Mapping[str, FaultInfo]:
        return {
            name: FaultInfo(name, cls.targets, cls.parameters, cls.strikes, cls.whole_arrays)
            for name, cls in _FAULTS.items()
        }


def catalogue() -> FaultCatalogue:
    """What experiments may ask for."""
    return _Catalogue()


def make(scheduled: ScheduledFault) -> Fault:
    """The fault object of a schedule's entry.

    Raises:
        UsageError: No such fault, or it does not take these parameters.
    """
    cls: Any = _FAULTS.get(scheduled.fault)
    if cls is None:
        known = ", ".join(sorted(_FAULTS))
        raise UsageError(f"unknown fault {scheduled.fault!r}; there are {known}")
    try:
        made: Fault = cls(**{name: _frozen(value) for name, value in scheduled.parameters.items()})
    except TypeError as error:
        raise UsageError(f"{scheduled.fault} does not take these parameters: {error}") from error
    return made


def _frozen(value: object) -> object:
    return frozenset(value) if isinstance(value, list) else value

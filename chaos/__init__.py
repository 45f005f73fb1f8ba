"""The public names of Holdfast: what drivers, tests and plugins import. Everything else is internal and may change.

    from chaos import NotNow, Record, open_experiment, run_trials

`docs/api.md` tells of each with an example. A name is imported when it is first asked for, so `import chaos` is quick.
"""

from __future__ import annotations

import pkgutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chaos.errors import HarnessError, HoldfastError, NotNow, Refused, SourceError, UsageError
    from chaos.experiment.catalogue import ParameterInfo, TargetForm
    from chaos.experiment.plan import Plan, ScheduledFault, Target, Trigger, Workload
    from chaos.faults.base import Evidence, Fault, Medium, Missing
    from chaos.faults.live import LiveMedium, Strike, Surroundings
    from chaos.faults.registry import fault
    from chaos.preflight.opening import Opened, open_experiment
    from chaos.reporting.recall import judge_again
    from chaos.reporting.result import TrialResult
    from chaos.search import plans
    from chaos.testing.properties import property  # noqa: A004
    from chaos.trials import run_trials
    from chaos.workload.drivers.options import DriverOptions
    from chaos.workload.drivers.plain import ConnectedSession, PlainSession
    from chaos.workload.drivers.wire import send_once
    from chaos.workload.session import Ack, Changes, Copy, FrontDoor, Record, Session, WriteId

__all__ = [
    "Ack",
    "Changes",
    "ConnectedSession",
    "Copy",
    "DriverOptions",
    "Evidence",
    "Fault",
    "FrontDoor",
    "HarnessError",
    "HoldfastError",
    "LiveMedium",
    "Medium",
    "Missing",
    "NotNow",
    "Opened",
    "ParameterInfo",
    "PlainSession",
    "Plan",
    "Record",
    "Refused",
    "ScheduledFault",
    "Session",
    "SourceError",
    "Strike",
    "Surroundings",
    "Target",
    "TargetForm",
    "TrialResult",
    "Trigger",
    "UsageError",
    "Workload",
    "WriteId",
    "fault",
    "judge_again",
    "open_experiment",
    "plans",
    "property",
    "run_trials",
    "send_once",
]

_HOMES = {
    "chaos.errors": ("HarnessError", "HoldfastError", "NotNow", "Refused", "SourceError", "UsageError"),
    "chaos.experiment.catalogue": ("ParameterInfo", "TargetForm"),
    "chaos.experiment.plan": ("Plan", "ScheduledFault", "Target", "Trigger", "Workload"),
    "chaos.faults.base": ("Evidence", "Fault", "Medium", "Missing"),
    "chaos.faults.live": ("LiveMedium", "Strike", "Surroundings"),
    "chaos.faults.registry": ("fault",),
    "chaos.preflight.opening": ("Opened", "open_experiment"),
    "chaos.reporting.recall": ("judge_again",),
    "chaos.reporting.result": ("TrialResult",),
    "chaos.search": ("plans",),
    "chaos.testing.properties": ("property",),
    "chaos.trials": ("run_trials",),
    "chaos.workload.drivers.options": ("DriverOptions",),
    "chaos.workload.drivers.plain": ("ConnectedSession", "PlainSession"),
    "chaos.workload.drivers.wire": ("send_once",),
    "chaos.workload.session": ("Ack", "Changes", "Copy", "FrontDoor", "Record", "Session", "WriteId"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name from where it is defined."""
    if name not in _HOME:
        raise AttributeError(f"module 'chaos' has no attribute {name!r}; `holdfast docs api` has its public names")
    value = pkgutil.resolve_name(f"{_HOME[name]}.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

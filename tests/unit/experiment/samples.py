"""What the tests of experiments share: a catalogue of faults that owes nothing to the real ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from chaos.experiment.catalogue import FaultInfo, ParameterInfo, TargetForm

Write = Callable[[str], Path]
"""Writes an experiment file and returns its path."""

OPERATIONS = ParameterInfo("choices", choices=("read", "write", "flush"))
KNOWN = (
    FaultInfo("san.lose", ("array",)),
    FaultInfo("disk.power_cut", ("array", "lun"), at_ios=True),
    FaultInfo(
        "disk.io_error",
        ("array", "lun"),
        {
            "operations": OPERATIONS,
            "times": ParameterInfo("integer", minimum=1, maximum=1000, optional=True),
            "sectors": ParameterInfo("counts", keys=("first", "count"), optional=True),
        },
    ),
    FaultInfo("process.kill", ("service", "role")),
    FaultInfo("carrier.down", ("carrier",)),
)

FORMS = (
    TargetForm("array", "name", "array", "an array"),
    TargetForm("arrays", "names", "array", "several arrays"),
    TargetForm("lun", "name", "lun", "a LUN"),
    TargetForm("service", "name", "service", "a service"),
    TargetForm("role", "name", "role", "a role"),
    TargetForm("between", "sets", "service or role", "sets of services"),
    TargetForm("isolate", "names", "service or role", "sets of services"),
    TargetForm("carrier", "flag", "carrier", "a carrier"),
)

GOOD = """\
experiment: power_cut
why: A write that a phone was told is saved must survive the database machine losing power.
stack: stack/compose.yaml
workload: {users: 20, operations: 800}
schedule:
  - fault: disk.power_cut
    target: {array: core}
    at: {acknowledged: 400}
"""


class Catalogue:
    """Five faults."""

    @property
    def known(self) -> Mapping[str, FaultInfo]:
        return {info.name: info for info in KNOWN}

    @property
    def forms(self) -> tuple[TargetForm, ...]:
        return FORMS

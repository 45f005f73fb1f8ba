"""What the tests of experiments share: a catalogue of faults that owes nothing to the real ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from chaos.experiment.catalogue import FaultInfo, ParameterInfo

Write = Callable[[str], Path]
"""Writes an experiment file and returns its path."""

OPERATIONS = ParameterInfo("choices", choices=("read", "write", "flush"))
KNOWN = (
    FaultInfo("san.lose", ("array",)),
    FaultInfo("disk.power_cut", ("array", "lun")),
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

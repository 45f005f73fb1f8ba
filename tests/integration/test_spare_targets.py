"""A fault that strikes beside the workload proves nothing: never HELD, and the reason names what was missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.experiment.plan import ScheduledFault, Target
from chaos.faults.lun.disk import IDLE
from tests.integration.plans import plan_of, reasons, run_one, strike

pytestmark = pytest.mark.engine
ARRAY = Target("array", "spare")


@pytest.mark.parametrize(
    ("fault", "missing"),
    [
        (
            strike("san.lose", ARRAY),
            f"{IDLE}, so nobody was writing to what was lost",
        ),
        (
            strike("disk.power_cut", ARRAY),
            f"{IDLE}, so the cut could take only ",  # older writes too, where they were never flushed
        ),
        (strike("disk.io_error", ARRAY, for_seconds=0.5), "no I/O was failed"),
        (strike("san.unavailable", ARRAY, for_seconds=0.5), "no I/O was held"),
        (strike("disk.hang", ARRAY, for_seconds=0.5), "no I/O was held"),
        (
            strike("disk.lose", Target("lun", "sparedata")),
            f"{IDLE}, so nobody was writing to what was lost",
        ),
        (
            strike("process.kill", Target("service", "spare"), for_seconds=0.5),
            "it had received nothing in the second before",
        ),
        (
            strike("process.pause", Target("service", "spare"), for_seconds=0.5),
            "it had received nothing in the second before",
        ),
        (
            strike("network.partition", Target("isolate", ("spare",)), for_seconds=0.5),
            "no link that was cut had carried traffic in the 5 s before",
        ),
    ],
    ids=lambda value: value.fault if isinstance(value, ScheduledFault) else "",
)
def test_a_fault_on_a_spare_target_while_the_load_runs_is_inconclusive(
    fault: ScheduledFault, missing: str, tmp_path: Path
) -> None:
    result = run_one(plan_of(fault, profiles=("spare",)), tmp_path)
    assert result.verdict == "INCONCLUSIVE", reasons(result)
    assert f"{fault.fault} (fault 1) did not bite: {missing}" in reasons(result)
    [outcome] = result.faults
    assert outcome.injected_at is not None
    assert not outcome.bit
    assert result.judgement is not None
    assert not result.judgement.anomalies, "the service itself was not touched"

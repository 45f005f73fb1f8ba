"""Trials whose phones come through the carrier, and such whose phones do not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from chaos.experiment.plan import ScheduledFault, Target, Trigger
from tests.integration.plans import MINIMAL, SMALL, plan_of, reasons, run_one, strike

pytestmark = pytest.mark.engine
STACK = (MINIMAL, MINIMAL.with_name("carrier.yaml"))
CARRIER = Target("carrier", True)


@pytest.mark.parametrize(
    ("fault", "missing"),
    [
        (strike("carrier.down", CARRIER, for_seconds=0.5), "attempts acknowledged while it was in force"),
        (
            strike("carrier.latency", CARRIER, for_seconds=0.5, parameters={"latency_ms": 5000}),
            "replies were late by its latency",
        ),
        (
            strike("carrier.lose_replies", CARRIER, for_seconds=0.5),
            "no write is known to have been committed whose reply was lost",
        ),
    ],
    ids=lambda value: value.fault if isinstance(value, ScheduledFault) else "",
)
def test_a_fault_on_a_path_that_no_phone_takes_is_inconclusive(
    fault: ScheduledFault, missing: str, tmp_path: Path
) -> None:
    plan = plan_of(fault, stack=STACK, driver="beside_driver:Beside", driver_folder=Path(__file__).parent)
    result = run_one(plan, tmp_path)
    assert result.verdict == "INCONCLUSIVE", reasons(result)
    assert f"{fault.fault} (fault 1) did not bite: " in reasons(result)
    assert missing in reasons(result)
    [outcome] = result.faults
    assert outcome.injected_at is not None
    assert not outcome.bit
    assert missing in outcome.why
    assert result.judgement is not None
    assert not result.judgement.anomalies, "the service itself was not touched"


def test_phones_without_coverage_and_slow_replies_lose_nothing_of_a_correct_stack(tmp_path: Path) -> None:
    plan = plan_of(
        strike("carrier.latency", CARRIER, Trigger(seconds=0.5), for_seconds=1.0),
        strike("carrier.down", CARRIER, Trigger(seconds=2), for_seconds=0.7, parameters={"mode": "cut"}),
        strike("carrier.down", CARRIER, Trigger(seconds=4), for_seconds=1.5),
        stack=STACK,
        workload=replace(SMALL, operations=480, rate_per_second=80, request_seconds_max=0.8),
    )
    result = run_one(plan, tmp_path)
    assert result.verdict == "HELD", reasons(result)
    assert [outcome.bit for outcome in result.faults] == [True, True, True]
    assert result.faults[0].evidence["late_replies"]
    assert result.faults[1].evidence["failed_attempts"]
    assert result.faults[2].evidence["failed_attempts"]
    assert result.images["x-chaos.carrier"].startswith("sha256:")
    assert (result.run_dir / "logs" / "carrier.log").is_file()

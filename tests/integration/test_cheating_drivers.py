"""A driver that answers the final reads from what it remembers, on a stack that loses nothing: never HELD."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from chaos.errors import HarnessError
from tests.integration.plans import ROOT, plan_of, run_one

pytestmark = pytest.mark.engine
READY_SECONDS_MAX = 20.0
DRIVERS = ROOT / "tests" / "unit" / "workload"


@pytest.mark.parametrize("cheat", ["WrittenBySession", "WrittenByProcess", "ReadOncePerSession", "ReadOncePerProcess"])
def test_a_driver_that_reads_from_its_own_memory_never_leads_to_held(cheat: str, tmp_path: Path) -> None:
    plan = plan_of(driver=f"cheating_drivers:{cheat}", driver_folder=DRIVERS)
    # a full read that never changes is waited for until the stack should have been ready
    plan = replace(plan, limits=replace(plan.limits, ready_seconds_max=READY_SECONDS_MAX))
    try:
        verdict = run_one(plan, tmp_path).verdict
    except HarnessError as error:  # no verdict: what the trial knows to be there is not what the driver reads
        assert "canary" in str(error), str(error)  # noqa: PT017
    else:
        assert verdict in ("VIOLATED", "INCONCLUSIVE")

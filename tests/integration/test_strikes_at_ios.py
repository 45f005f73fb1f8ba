"""Whole trials whose fault strikes at an I/O: the same plan strikes at the same one, and says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.experiment.loader import load
from chaos.experiment.plan import Trigger, Workload
from chaos.faults import catalogue
from tests.integration.plans import CORE, plan_of, run_one, strike

pytestmark = pytest.mark.engine

ONE_PHONE = Workload(users=1, devices_per_user=1, operations=100, rate_per_second=60.0, photos=0.0, resets=0)


@pytest.mark.long
def test_one_phone_s_plan_that_runs_again_strikes_at_the_same_io(tmp_path: Path) -> None:
    at = Trigger(flush=40, lun="pgdata", when="before")
    plan = plan_of(strike("disk.power_cut", CORE, at, for_seconds=0.3), workload=ONE_PHONE)
    first = run_one(plan, tmp_path / "first")
    (fell,) = first.faults
    assert (first.verdict, fell.bit) == ("HELD", True), first.reason
    assert str(fell.evidence["fell_on"]).startswith("before flush 40 of pgdata (")
    assert "same_io_as_before" not in fell.evidence, "there is no run before it"

    again = run_one(load(first.run_dir / "plan.yaml", None, catalogue()), tmp_path / "again")
    (fell_again,) = again.faults
    assert (again.verdict, fell_again.evidence["same_io_as_before"]) == ("HELD", "yes"), fell_again.evidence
    assert fell_again.evidence["fell_on"] == fell.evidence["fell_on"]

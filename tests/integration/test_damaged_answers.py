"""A service whose answers hold damaged records: a finding of each, and never a door that could not be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.plans import ROOT, plan_of, reasons, run_one

pytestmark = pytest.mark.engine
STACK = ROOT / "fixtures" / "plain_postgres" / "compose.yaml"


def test_nulls_surrogates_and_half_a_megabyte_in_place_of_fields_are_corrupted_and_every_door_is_read(
    tmp_path: Path,
) -> None:
    plan = plan_of(stack=(STACK,), driver="damaging_driver:Damaging", driver_folder=Path(__file__).parent)
    result = run_one(plan, tmp_path)
    assert result.judgement is not None
    assert set(result.judgement.anomalies) == {"corrupted"}, reasons(result)
    assert result.judgement.anomalies["corrupted"] >= 5
    assert result.judgement.canaries_reported == 2

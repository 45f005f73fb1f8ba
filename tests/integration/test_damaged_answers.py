"""A service whose answers hold damaged records: each is a finding, and never a door that could not be read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from chaos.checks.explain import explain_record
from chaos.checks.file import judge_file
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


def test_photos_whose_content_phones_missed_in_the_load_are_told_although_every_door_has_it(tmp_path: Path) -> None:
    plan = plan_of(stack=(STACK,), driver="damaging_driver:Forgetful", driver_folder=Path(__file__).parent)
    strict = replace(plan, checks=replace(plan.checks, sessions="strict"))
    told = run_one(plan, tmp_path / "report")
    assert told.judgement is not None
    assert told.verdict == "HELD", reasons(told)
    assert told.judgement.reported["dangling-in-load"] >= 1
    history, _ = judge_file(told.run_dir / "history.jsonl")
    owner, _, record = told.judgement.first_told["dangling-in-load"].partition("/")
    story = "\n".join(explain_record(history, (owner, record)))
    assert f"photo {record} of {owner}: dangling-in-load" in story
    assert "its blob was missing" in story
    violated = run_one(strict, tmp_path / "strict")
    assert violated.judgement is not None
    assert set(violated.judgement.anomalies) == {"dangling-in-load"}, reasons(violated)

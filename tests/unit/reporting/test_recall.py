"""A finished trial, judged again from its folder alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from chaos import cli
from chaos.errors import HarnessError, MalformedHistory, UsageError
from chaos.experiment.loader import load_plan
from chaos.faults import catalogue
from chaos.history.events import FaultEvent
from chaos.history.recorder import Recorder
from chaos.reporting.recall import fell_before, recall
from tests.unit.reporting.runs import made, recorded


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return made(recorded(), tmp_path)


def test_check_judges_the_history_and_tells_phases_and_faults(run_dir: Path) -> None:
    result = recall(run_dir, catalogue())

    assert result.verdict == "VIOLATED"
    assert result.phases == {"load": 5.0}
    [fault] = result.faults
    assert (fault.name, fault.target, fault.injected_at, fault.healed_at) == ("san.lose", "core", 3.0, 4.0)
    assert (fault.bit, fault.evidence) == (True, {"failed_writes": 3})


def test_what_the_history_does_not_hold_comes_from_the_result(run_dir: Path) -> None:
    kept = {"not_covered": ["gateway:/var/cache"], "images": {"db": "sha256:abc"}}
    (run_dir / "result.json").write_text(json.dumps(kept), encoding="utf-8")

    result = recall(run_dir, catalogue())

    assert (result.not_covered, result.images) == (("gateway:/var/cache",), {"db": "sha256:abc"})


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"not_covered": 3, "images": {}}'])
def test_a_result_that_is_none_is_named(run_dir: Path, text: str) -> None:
    (run_dir / "result.json").write_text(text, encoding="utf-8")

    with pytest.raises(HarnessError, match=r"result\.json is no result"):
        recall(run_dir, catalogue())


@pytest.mark.parametrize("missing", ["plan.yaml", "history.jsonl"])
def test_a_folder_without_a_trial_is_wrong_usage(run_dir: Path, missing: str) -> None:
    (run_dir / missing).unlink()

    with pytest.raises(UsageError, match=missing):
        recall(run_dir, catalogue())


def test_a_history_that_was_cut_short_is_never_judged(run_dir: Path) -> None:
    path = run_dir / "history.jsonl"
    path.write_bytes(path.read_bytes()[:-20])

    with pytest.raises(MalformedHistory):
        recall(run_dir, catalogue())


def test_a_faults_target_is_told_with_who_had_the_role_then(run_dir: Path) -> None:
    (run_dir / "history.jsonl").unlink()
    events = [replace(e, target="primary (primary is db-2)") if isinstance(e, FaultEvent) else e for e in recorded()]

    [fault] = recall(made(events, run_dir), catalogue()).faults

    assert fault.target == "primary (primary is db-2)"


def test_a_fault_that_the_trial_never_reached_is_told(run_dir: Path, tmp_path: Path) -> None:
    (run_dir / "history.jsonl").unlink()
    recorder = Recorder(run_dir / "history.jsonl")
    for event in recorded():
        if not isinstance(event, FaultEvent):
            recorder.append(event)
    recorder.close()

    [fault] = recall(run_dir, catalogue()).faults

    assert (fault.injected_at, fault.bit, fault.why) == (None, False, "the trial ended before it")


def test_latest_is_told_by_its_own_name(run_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    link = tmp_path_factory.mktemp("runs") / "latest"
    link.symlink_to(run_dir)

    assert recall(link, catalogue()).run_dir == run_dir


def test_the_command_prints_the_block_and_exits_with_the_verdict(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", str(run_dir)]) == 1
    out = capsys.readouterr().out
    assert out.startswith("VIOLATED     1 of 1 records acknowledged before san.lose are lost\n")
    assert f"again:  holdfast run {run_dir}/plan.yaml" in out

    assert cli.main(["check", str(run_dir), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["anomalies"]["lost"] == 1


def test_the_command_tells_why_a_record_and_a_verdict_are_what_they_are(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = recall(run_dir, catalogue()).judgement.records[0]  # type: ignore[union-attr]

    assert cli.main(["check", str(run_dir), "--why", "--record", record.record]) == 1

    told = capsys.readouterr().out
    assert "canaries 2/2: the check reports fabricated losses" in told
    assert f"{record.record} of {record.owner}: lost" in told
    assert "absence      not allowed: it was acknowledged, and nobody deleted it" in told


def test_a_record_that_is_not_there_is_wrong_usage_and_near_ones_are_named(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = recall(run_dir, catalogue()).judgement.records[0].record  # type: ignore[union-attr]

    assert cli.main(["check", str(run_dir), "--record", f"{name}-none"]) == 64

    assert f"did you mean {name}" in capsys.readouterr().err


def test_the_command_exports_the_history_as_a_table(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = run_dir / "history.parquet"

    assert cli.main(["check", str(run_dir), "--export", str(table)]) == 1

    assert f"lines in {table}" in capsys.readouterr().out
    assert table.is_file()
    assert cli.main(["check", str(run_dir), "--export", str(table)]) == 64


def test_the_io_that_a_fault_fell_on_is_told_with_its_evidence(tmp_path: Path) -> None:
    events = [
        replace(event, evidence={"fell_on": "after flush 12 of pgdata"})
        if isinstance(event, FaultEvent) and event.happened == "injected"
        else event
        for event in recorded()
    ]
    [fault] = recall(made(events, tmp_path), catalogue()).faults
    assert fault.evidence == {"fell_on": "after flush 12 of pgdata", "failed_writes": 3}


def test_a_run_folder_s_plan_knows_on_which_io_its_faults_fell(run_dir: Path) -> None:
    plan = replace(load_plan(run_dir / "plan.yaml", catalogue()), file=run_dir / "plan.yaml")
    assert fell_before(plan) == {}, "that trial broke off"
    faults = [{"evidence": {}}, {"evidence": {"fell_on": "after flush 12 of pgdata"}}]
    (run_dir / "result.json").write_text(json.dumps({"faults": faults}), encoding="utf-8")
    assert fell_before(plan) == {1: "after flush 12 of pgdata"}
    assert fell_before(replace(plan, file=run_dir / "experiment.yaml")) == {}
    assert fell_before(replace(plan, file=None)) == {}
    (run_dir / "result.json").write_text("[]", encoding="utf-8")
    assert fell_before(plan) == {}

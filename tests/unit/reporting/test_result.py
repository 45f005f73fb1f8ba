"""The JSON document of trials."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaos.reporting.result import (
    dumps,
    error_document,
    jsonable,
    to_document,
    to_documents,
    worst,
    write_result,
)
from tests.unit.reporting.samples import judged, result


def read(document: Any) -> Any:
    return json.loads(dumps(document))


def test_the_document_of_a_judged_trial_has_every_promised_member() -> None:
    document = read(to_document(judged()))

    assert document["verdict"] == "VIOLATED"
    assert document["reason"] == "811 of 811 records acknowledged before san.lose are lost"
    assert document["seed"] == 4711
    assert document["run_dir"] == "reports/runs/20261122-191512-4711"
    assert document["operations"] == {"ok": 1688, "fail": 260, "info": 52, "degraded": 0}
    assert document["anomalies"] == {"lost": 811}
    assert document["reported"] == {"stale": 2}
    assert document["canaries"] == {"planted": 2, "reported": 2}
    assert document["not_covered"] == ["gateway:/var/cache/app (not on a LUN)"]
    assert document["phases"] == {"stack ready": 6.1, "load": 5.0, "runbook": 9.84}
    assert document["faults"] == [
        {
            "name": "san.lose",
            "target": "core",
            "injected_at": 15.0,
            "healed_at": None,
            "bit": True,
            "evidence": {"failed_writes": 214, "seconds_since_write": 0.12},
            "why": "",
        }
    ]
    [record] = document["records"]
    assert (record["record"], record["owner"], record["classes"]) == ("ada-17", "u-03", ["lost"])
    assert record["story"][0]["what"] == "d-05 created it"
    assert "planted-secret" not in dumps(document)


def test_a_trial_without_a_judgement_has_the_same_members() -> None:
    assert set(to_document(result("INCONCLUSIVE"))) == set(to_document(judged()))


def test_of_several_trials_the_worst_is_told_and_every_one_is_listed() -> None:
    held, inconclusive, violated = result(seed=1), result("INCONCLUSIVE", seed=2), result("VIOLATED", seed=3)

    assert worst([held, inconclusive]) is inconclusive
    assert worst([inconclusive, held, violated, result("VIOLATED", seed=4)]) is violated
    document = read(to_documents([held, violated, inconclusive]))
    assert (document["verdict"], document["seed"]) == ("VIOLATED", 3)
    assert [trial["seed"] for trial in document["trials"]] == [1, 3, 2]


def test_an_error_has_no_verdict_and_keeps_what_was_finished() -> None:
    document = read(error_document("agent lost", 3, seed=5, run_dir=Path("runs/x"), results=[result()]))

    assert (document["verdict"], document["reason"], document["exit_code"]) == (None, "agent lost", 3)
    assert (document["seed"], document["run_dir"], len(document["trials"])) == (5, "runs/x", 1)


def test_a_result_is_kept_whole_beside_its_plan(tmp_path: Path) -> None:
    kept = write_result(replace(judged(), run_dir=tmp_path))

    assert kept == tmp_path / "result.json"
    assert json.loads(kept.read_text(encoding="utf-8"))["anomalies"] == {"lost": 811}
    assert [each.name for each in tmp_path.iterdir()] == ["result.json"]


def test_what_json_cannot_say_is_null_and_what_has_no_form_is_refused() -> None:
    assert jsonable({"ratio": float("nan"), "paths": (Path("a"),), "names": {"b", "a"}}) == {
        "ratio": None,
        "paths": ["a"],
        "names": ["a", "b"],
    }
    with pytest.raises(TypeError, match="object has no place"):
        jsonable(object())

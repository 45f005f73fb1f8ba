"""`pytest experiments/`, with trials that nobody runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaos.errors import EngineError, Terminated
from chaos.experiment.plan import Verdict
from chaos.history.events import PhaseEvent
from chaos.preflight import opening
from chaos.reporting import block  # noqa: F401 - once here, not again in every inner session
from chaos.reporting.formats import allure  # noqa: F401 - as above
from tests.unit.reporting.runs import made, recorded
from tests.unit.reporting.samples import STACK
from tests.unit.testing.fakes import Trials

pytest_plugins = ["pytester"]


@pytest.mark.parametrize("verdict", ["HELD", "VIOLATED", "INCONCLUSIVE"])
def test_an_experiment_passes_when_its_verdict_is_the_expected_one(
    trials: Trials, pytester: pytest.Pytester, verdict: Verdict
) -> None:
    trials.verdict = trials.expect = verdict

    run = pytester.runpytest_inprocess("experiments")

    run.assert_outcomes(passed=1)
    assert run.ret == 0


@pytest.mark.parametrize(("verdict", "expect"), [("VIOLATED", "HELD"), ("INCONCLUSIVE", "HELD"), ("HELD", "VIOLATED")])
def test_another_verdict_fails_with_the_block_and_the_reproduce_command(
    trials: Trials, pytester: pytest.Pytester, verdict: Verdict, expect: Verdict
) -> None:
    trials.verdict, trials.expect = verdict, expect

    run = pytester.runpytest_inprocess("experiments")

    run.assert_outcomes(failed=1)
    run.stdout.fnmatch_lines(
        [
            f"{verdict}*",
            f"*expected: {expect}",
            "*again:  holdfast run reports/runs/20261122-191512-4711/plan.yaml",
        ]
    )
    run.stdout.no_fnmatch_line("*Traceback*")
    run.stdout.no_fnmatch_line("*pytest_plugin.py*")


def test_a_harness_error_is_an_error_with_its_text(trials: Trials, pytester: pytest.Pytester) -> None:
    trials.breaks = EngineError("no engine answers; run holdfast doctor --fix")

    run = pytester.runpytest_inprocess("experiments")

    run.assert_outcomes(errors=1)
    run.stdout.fnmatch_lines(["no engine answers; run holdfast doctor --fix"])
    run.stdout.no_fnmatch_line("*pytest_plugin.py*")


def test_a_missing_capability_skips_with_its_remedy(trials: Trials, pytester: pytest.Pytester) -> None:
    trials.missing = ("loop",)

    run = pytester.runpytest_inprocess("experiments", "-rs")

    run.assert_outcomes(skipped=1)
    run.stdout.fnmatch_lines(["*this host cannot run it: loop: no loop device (modprobe loop)*"])
    assert trials.ran == []


@pytest.mark.parametrize("variable", ["CI", "HOLDFAST_REQUIRED"])
def test_a_missing_capability_is_an_error_where_it_is_required(
    trials: Trials, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    trials.missing = ("loop",)
    monkeypatch.setenv(variable, "1")

    run = pytester.runpytest_inprocess("experiments")

    run.assert_outcomes(errors=1)
    run.stdout.fnmatch_lines(["*no loop device (modprobe loop)*"])


def test_only_yaml_with_an_experiment_and_a_stack_at_its_top_level_is_collected(
    trials: Trials, pytester: pytest.Pytester
) -> None:
    for name, text in {
        "plan.yaml": "plan: power_cut\nseed: 1\n",
        "compose.yaml": "services:\n  experiment: {image: x}\n",
        "notes.txt": "experiment: not YAML by its name\n",
        "binary.yaml": "\x00\x01",
        "mlflow.yaml": "experiment: of another project\ntracking: on\n",
        "nested.yaml": "experiment: of another project\ndeploy:\n  stack: x\n",
        "second.yml": "why: another order of keys\nstack: compose.yaml\nexperiment: second\n",
    }.items():
        pytester.path.joinpath("experiments", name).write_text(text, encoding="utf-8")

    run = pytester.runpytest_inprocess("experiments", "--collect-only", "-q")

    run.stdout.fnmatch_lines(
        ["experiments/power_cut.yaml::power_cut", "experiments/second.yml::second"], consecutive=True
    )
    run.stdout.fnmatch_lines(["2 tests collected*"])


def test_seed_and_run_folder_come_from_the_command_line(trials: Trials, pytester: pytest.Pytester) -> None:
    pytester.runpytest_inprocess("experiments", "--holdfast-seed=7", "--holdfast-runs=elsewhere")

    assert trials.ran == [(7, Path("elsewhere"))]


def test_orphans_are_swept_once_before_the_first_trial(trials: Trials, pytester: pytest.Pytester) -> None:
    pytester.path.joinpath("experiments", "b.yaml").write_text("experiment: b\nstack: compose.yaml\n", encoding="utf-8")

    pytester.runpytest_inprocess("experiments").assert_outcomes(passed=2)

    assert trials.swept == 1


def test_a_target_that_the_stack_lacks_is_an_error_with_its_place(
    trials: Trials, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "load_stack", lambda *given: replace(STACK, luns={}))
    path = pytester.path.joinpath("experiments", "power_cut.yaml")
    path.write_text(
        "experiment: power_cut\nschedule:\n  - target: {array: core}\nstack: compose.yaml\n", encoding="utf-8"
    )

    run = pytester.runpytest_inprocess("experiments")

    run.assert_outcomes(errors=1)
    run.stdout.fnmatch_lines(["*power_cut.yaml:3:*the stack has no array 'core'*"])


def test_junit_tells_failure_from_error_and_carries_the_properties(trials: Trials, pytester: pytest.Pytester) -> None:
    trials.verdict = "VIOLATED"

    pytester.runpytest_inprocess("experiments", "--junitxml=junit.xml")

    written = pytester.path.joinpath("junit.xml").read_text(encoding="utf-8")
    assert '<property name="verdict" value="VIOLATED"' in written
    assert '<property name="seed" value="4711"' in written
    assert '<property name="run_dir" value="reports/runs/20261122-191512-4711"' in written
    assert "<failure" in written
    assert "<error" not in written


def test_a_warning_in_this_process_changes_no_verdict(trials: Trials, pytester: pytest.Pytester) -> None:
    trials.warns = True

    pytester.runpytest_inprocess("experiments", "-Werror").assert_outcomes(passed=1, warnings=1)


def test_sigterm_ends_the_session_with_143(trials: Trials, pytester: pytest.Pytester) -> None:
    trials.breaks = Terminated()

    run = pytester.runpytest_inprocess("experiments")

    assert run.ret == 143


def _allure_result(pytester: pytest.Pytester) -> Any:
    [written] = pytester.path.joinpath("allure").glob("*-result.json")
    return json.loads(written.read_text(encoding="utf-8"))


def test_allure_gets_steps_parameters_and_the_runs_evidence(trials: Trials, pytester: pytest.Pytester) -> None:
    trials.verdict = "VIOLATED"
    run_dir = pytester.path / "reports" / "runs" / "20261122-191512-4711"
    (run_dir / "logs").mkdir(parents=True)
    (run_dir / "logs" / "db.log").write_text("content\n", encoding="utf-8")
    made(recorded(), run_dir)

    pytester.runpytest_inprocess("experiments", "--alluredir=allure")

    written = _allure_result(pytester)
    assert written["status"] == "failed"
    assert [step["name"] for step in written["steps"]] == ["load"]
    assert [step["name"] for step in written["steps"][0]["steps"]] == [
        "san.lose core injected",
        "san.lose core healed: failed writes 3",
    ]
    parameters = {each["name"]: each["value"] for each in written["parameters"]}
    assert (parameters["seed"], parameters["users"]) == ("4711", "40")
    assert parameters["fault 1"] == "'san.lose core at ack 1,200'"
    assert {each["name"] for each in written["attachments"]} == {
        "verdict",
        "faults and their evidence",
        "report.html",
        "plan.yaml",
        "history.jsonl",
        "db.log",
    }


def test_allure_calls_a_harness_error_broken(trials: Trials, pytester: pytest.Pytester) -> None:
    trials.breaks = EngineError("no engine answers")
    run_dir = pytester.path / "reports" / "runs" / "20261122-191512-4711"
    run_dir.mkdir(parents=True)
    made([each for each in recorded() if not (isinstance(each, PhaseEvent) and each.happened == "ended")], run_dir)

    pytester.runpytest_inprocess("experiments", "--alluredir=allure")

    written = _allure_result(pytester)
    assert (written["status"], written["steps"][0]["status"]) == ("broken", "broken")

"""Reports for other programs: what JUnit, Allure and GitHub read, and that `holdfast check` makes it again."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from junitparser import Error, Failure, JUnitXml, Properties, Skipped, TestCase, TestSuite

from chaos import cli
from chaos.errors import AgentError, UsageError
from chaos.experiment.plan import Verdict
from chaos.faults import catalogue
from chaos.history.events import Event, Header, PhaseEvent
from chaos.reporting.formats import allure, github
from chaos.reporting.formats.allure import AllureResults
from chaos.reporting.formats.chosen import FILES, chosen, report_again
from chaos.reporting.formats.github import Annotations, StepSummary
from chaos.reporting.formats.junit import JunitReport
from chaos.reporting.listener import AtTheEnd
from chaos.reporting.page.file import HtmlReport
from chaos.reporting.recall import recall
from chaos.reporting.result import TrialResult, write_result
from tests.unit.reporting.runs import made, recorded
from tests.unit.reporting.samples import judged, plan, result

HOSTILE = "</pre></failure>]]>\x1b[31m\u202e<script>alert(1)</script>"
EPOCH_MS = 1_790_000_000_000


def dated() -> list[Event]:
    """The usual trial, by a history that knows the date."""
    head, *rest = recorded()
    assert isinstance(head, Header)
    return [replace(head, epoch_ns=EPOCH_MS * 1_000_000), *rest]


def folder_of(tmp_path: Path, events: list[Event] | None = None) -> Path:
    run_dir = tmp_path / "20261122-191512-4711-00aa"
    run_dir.mkdir(parents=True)
    return made(events or dated(), run_dir)


def ran(run_dir: Path, *listeners: AtTheEnd) -> TrialResult:
    """The events of a trial that ends with its verdict, told to the page and to others."""
    done = recall(run_dir, catalogue())
    write_result(done)
    for listener in (HtmlReport(), *listeners):
        listener.started(done.plan, done.plan.seed, 1, 1, run_dir)
        listener.finished(done)
    return done


def broke_off(run_dir: Path, *listeners: AtTheEnd) -> None:
    """The events of a trial whose history has no end, since its agent was lost."""
    history = run_dir / "history.jsonl"
    history.write_bytes(b"".join(history.read_bytes().splitlines(keepends=True)[:-1]))
    for listener in (HtmlReport(), *listeners):
        listener.started(plan(), 4711, 1, 1, run_dir)
        listener.failed(AgentError("the agent is gone"))


def cases(path: Path) -> list[TestCase]:
    found = JUnitXml.fromfile(str(path))
    suites = [each for each in found if isinstance(each, TestSuite)]
    assert [suite.tests for suite in suites] == [found.tests]
    return [case for suite in suites for case in suite]


def properties(case: TestCase) -> dict[str, str]:
    return {each.name: each.value for found in case.iterchildren(Properties) for each in found}  # type: ignore[no-untyped-call]


def allure_results(folder: Path) -> list[Any]:
    found = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*-result.json")]
    return sorted(found, key=lambda each: each["parameters"][0]["value"])


# --- JUnit


@pytest.mark.parametrize(
    ("verdict", "expect", "fails"),
    [
        ("HELD", "HELD", False),
        ("VIOLATED", "HELD", True),
        ("INCONCLUSIVE", "HELD", True),
        ("VIOLATED", "VIOLATED", False),
        ("HELD", "VIOLATED", True),
    ],
)
def test_a_case_fails_where_the_verdict_is_not_the_expected_one(
    tmp_path: Path, verdict: Verdict, expect: Verdict, fails: bool
) -> None:
    JunitReport(tmp_path / "junit.xml").finished(result(verdict, expect=expect))

    [case] = cases(tmp_path / "junit.xml")
    assert (case.classname, case.name) == ("holdfast", "sidekick_2009 trial 1")
    assert properties(case) == {
        "seed": "4711",
        "expect": expect,
        "verdict": verdict,
        "run_dir": "reports/runs/20261122-191512-4711",
    }
    assert case.time == pytest.approx(20.94)
    assert [type(each) for each in case.result] == ([Failure] if fails else [])
    if fails:
        assert case.result[0].type == verdict
        assert "again:  holdfast run reports/runs/20261122-191512-4711/plan.yaml" in case.result[0].text


def test_a_failure_has_the_first_lost_records_story(tmp_path: Path) -> None:
    JunitReport(tmp_path / "junit.xml").finished(judged(expect="HELD"))

    [case] = cases(tmp_path / "junit.xml")
    assert "contact ada-17 of u-03, the first of 811: lost" in case.result[0].text


def test_a_trial_that_broke_off_is_an_error_and_one_that_was_not_run_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "new" / "junit.xml"
    listener = JunitReport(path)
    listener.started(plan(), 4711, 1, 2, tmp_path)
    listener.failed(AgentError("the agent is gone"))
    listener.not_run(plan(seed=4712))

    skipped, broken = cases(path)
    assert (type(broken.result[0]), broken.result[0].message) == (Error, "the agent is gone")
    assert "verdict" not in properties(broken)
    assert (type(skipped.result[0]), skipped.name) == (Skipped, "sidekick_2009 seed 4712")
    found = JUnitXml.fromfile(str(path))
    assert (found.tests, found.errors, found.failures, found.skipped) == (2, 1, 0, 1)


def test_trials_of_one_run_have_names_that_the_next_run_has_again(tmp_path: Path) -> None:
    listener = JunitReport(tmp_path / "junit.xml")
    names = ("sidekick_2009", "other", "sidekick_2009")
    for number, name in enumerate(names, start=1):
        folder = tmp_path / f"20261128-221624-5-aabd-{number:02}"
        folder.mkdir()
        drawn = replace(plan(seed=number), experiment=name)
        listener.finished(replace(result(), plan=drawn, run_dir=made(recorded(), folder, drawn)))

    assert [case.name for case in cases(tmp_path / "junit.xml")] == [
        "other trial 1",
        "sidekick_2009 trial 1",
        "sidekick_2009 trial 2",
    ]


def test_a_file_of_an_earlier_run_does_not_stand_for_this_one(tmp_path: Path) -> None:
    JunitReport(tmp_path / "junit.xml").finished(result())
    JunitReport(tmp_path / "junit.xml")

    assert cases(tmp_path / "junit.xml") == []


def test_what_a_service_said_breaks_no_report(tmp_path: Path) -> None:
    hostile = replace(result("VIOLATED"), reason=HOSTILE, not_covered=(HOSTILE,))
    JunitReport(tmp_path / "junit.xml").finished(hostile)
    StepSummary(tmp_path / "summary.md").finished(hostile)

    [case] = cases(tmp_path / "junit.xml")
    assert "\\x1b[31m\\u202e<script>" in case.result[0].message
    told = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert told.count("</pre>") == 1
    assert "<script>" not in told.replace("\\<script\\>", "")
    assert "\x1b" not in told


def test_a_file_that_cannot_be_written_is_told_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"junit.xml cannot be written: .*; name another file for JUnit"):
        JunitReport(tmp_path / "file" / "junit.xml")
    with pytest.raises(UsageError, match=r"allure cannot be made: .*; name another folder for Allure"):
        AllureResults(tmp_path / "file" / "allure")


# --- Allure


def test_allure_gets_steps_with_their_true_times_parameters_and_the_runs_evidence(tmp_path: Path) -> None:
    run_dir = folder_of(tmp_path)
    (run_dir / "logs").mkdir()
    (run_dir / "logs" / "db.log").write_text("ready\n")
    ran(run_dir, AllureResults(tmp_path / "allure"))

    [written] = allure_results(tmp_path / "allure")
    assert (written["name"], written["fullName"], written["status"], written["stage"]) == (
        "sidekick_2009",
        "holdfast:sidekick_2009",
        "failed",
        "finished",
    )
    assert written["statusDetails"]["message"].startswith("VIOLATED 1 of 1 records acknowledged before san.lose")
    assert "again:  holdfast run" in written["statusDetails"]["trace"]
    [load] = written["steps"]
    assert (load["name"], load["start"] - EPOCH_MS, load["stop"] - EPOCH_MS) == ("load", 2000, 7000)
    assert [(step["name"], step["start"] - EPOCH_MS) for step in load["steps"]] == [
        ("san.lose core injected", 5000),
        ("san.lose core healed: failed writes 3", 6000),
    ]
    assert written["start"] == EPOCH_MS
    assert written["stop"] > load["stop"]
    parameters = {each["name"]: each for each in written["parameters"]}
    assert (parameters["trial"]["value"], parameters["users"]["value"]) == ("1", "40")
    assert parameters["seed"]["excluded"] is True
    assert parameters["fault 1"]["value"] == "'san.lose core at ack 1,200'"
    attached = {each["name"]: each for each in written["attachments"]}
    assert set(attached) == {
        "verdict",
        "faults and their evidence",
        "report.html",
        "plan.yaml",
        "result.json",
        "history.jsonl",
        "db.log",
    }
    for each in attached.values():
        assert (tmp_path / "allure" / each["source"]).stat().st_size > 0
    assert attached["report.html"]["type"] == "text/html"


def test_every_field_of_a_result_is_one_that_allure_reads(tmp_path: Path) -> None:
    """By the classes of Allure's own package, and the values that its page on the file format names."""
    from allure_commons import model2

    ran(folder_of(tmp_path), AllureResults(tmp_path / "allure"))

    def known(found: Mapping[str, Any], kind: Any) -> None:
        assert set(found) <= {each.name for each in kind.__attrs_attrs__}

    def executable(found: Mapping[str, Any], kind: Any) -> None:
        known(found, kind)
        assert found["status"] in ("passed", "failed", "broken", "skipped", "unknown")
        assert found["start"] <= found["stop"]
        for each in found.get("steps", ()):
            executable(each, model2.TestStepResult)
        for each in found.get("attachments", ()):
            known(each, model2.Attachment)
        for each in found.get("parameters", ()):
            known(each, model2.Parameter)

    [written] = allure_results(tmp_path / "allure")
    executable(written, model2.TestResult)
    assert {"uuid", "historyId", "testCaseId", "name", "labels"} <= set(written)
    for label in written["labels"]:
        known(label, model2.Label)


def test_allure_knows_a_trial_again_whatever_its_seed_and_tells_trials_of_a_run_apart(tmp_path: Path) -> None:
    for stamp in ("20261128-221624-5-aabd", "20261129-221624-9-ccdd"):
        listener = AllureResults(tmp_path / stamp[:8])
        for number in (1, 2):
            run_dir = tmp_path / f"{stamp}-{number:02}"
            run_dir.mkdir()
            drawn = plan(seed=int(stamp[16]) + number)
            ran(made(dated(), run_dir, drawn), listener)

    first, second = ([each["historyId"] for each in allure_results(tmp_path / day)] for day in ("20261128", "20261129"))
    assert len(set(first)) == 2
    assert first == second


def test_allure_calls_a_trial_that_broke_off_broken_and_shows_in_which_phase(tmp_path: Path) -> None:
    cut = [*(each for each in dated() if not (isinstance(each, PhaseEvent) and each.happened == "ended"))]
    cut = cut[: cut.index(next(each for each in cut if isinstance(each, PhaseEvent))) + 1]
    run_dir = folder_of(tmp_path, cut)
    broke_off(run_dir, AllureResults(tmp_path / "allure"))

    [written] = allure_results(tmp_path / "allure")
    assert (written["status"], written["statusDetails"]["message"]) == ("broken", "the agent is gone")
    assert [(step["name"], step["status"]) for step in written["steps"]] == [("load", "broken")]


def test_of_a_large_file_allure_gets_the_name_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allure, "ATTACHED_BYTES_MAX", 1000)
    run_dir = folder_of(tmp_path)
    ran(run_dir, AllureResults(tmp_path / "allure"))

    [written] = allure_results(tmp_path / "allure")
    [left_out] = [each for each in written["attachments"] if each["name"] == "history.jsonl (not attached)"]
    told = (tmp_path / "allure" / left_out["source"]).read_text()
    assert told.startswith(f"{run_dir / 'history.jsonl'} has ")


# --- GitHub


def test_the_summary_has_a_line_for_each_trial_and_the_block_where_it_is_unexpected(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    path.write_text("# of another command\n")
    listener = StepSummary(path)
    listener.finished(result("HELD"))
    listener.finished(judged(expect="HELD"))

    told = path.read_text(encoding="utf-8")
    assert told.startswith("# of another command\n- **HELD** sidekick\\_2009 · seed 4711 · every acknowledged")
    assert "- **VIOLATED** sidekick\\_2009 · seed 4711 · expected HELD · 811 of 811 records" in told
    assert told.count("<pre>") == 1
    assert "contact ada-17 of u-03, the first of 811: lost" in told
    assert "\n\n" not in told.partition("<pre>")[2].partition("</pre>")[0]


def test_a_summary_stays_below_its_limit_and_says_what_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(github, "SUMMARY_BYTES_MAX", 20_000)
    path = tmp_path / "summary.md"
    listener = StepSummary(path)
    for _ in range(300):
        listener.finished(judged(expect="HELD"))

    told = path.read_text(encoding="utf-8")
    assert 19_500 < path.stat().st_size <= 20_000
    assert told.count("<pre>") == told.count("</pre>") > 2
    assert told.count("- **VIOLATED**") > told.count("<pre>")
    assert told.endswith("further trials are left out: the summary of a step has 1 MiB at most\n")
    assert told.count("left out:") == 1


def test_the_limit_of_a_summary_is_githubs() -> None:
    assert github.SUMMARY_BYTES_MAX == 1_048_576


def test_an_annotation_stands_at_the_line_that_expects_the_verdict(tmp_path: Path) -> None:
    file = tmp_path / "a,b.yaml"
    file.write_text("# why\nexperiment: x\nstack: compose.yaml\nexpect: HELD\n")
    out = io.StringIO()
    listener = Annotations(out)
    listener.finished(result("HELD"))
    listener.finished(replace(result("VIOLATED"), plan=replace(plan(), file=file)))
    listener.started(plan(), 4711, 1, 1, tmp_path)
    listener.failed(AgentError("100 % gone\nfor good"))

    place = str(file).replace(",", "%2C")
    assert out.getvalue().splitlines() == [
        f"::error file={place},line=4,title=VIOLATED%3A sidekick_2009::811 of 811 records acknowledged before san.lose "
        "are lost%0Aexpected: HELD%0Aagain: holdfast run reports/runs/20261122-191512-4711/plan.yaml",
        "::error title=no verdict%3A sidekick_2009::100 %25 gone%0Afor good",
    ]


def test_what_github_reads_is_written_only_where_github_says_so(tmp_path: Path) -> None:
    runner = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}

    def kinds(environment: Mapping[str, str]) -> list[type]:
        return [type(each) for each in chosen(None, None, io.StringIO(), environment)]

    assert kinds({}) == []
    assert kinds({"GITHUB_ACTIONS": "false", "GITHUB_STEP_SUMMARY": ""}) == []
    assert kinds(runner) == [StepSummary, Annotations]
    assert [type(each) for each in chosen(None, None, None, runner)] == [StepSummary]


# --- made again


def stable(folder: Path) -> Any:
    """Allure's results without what is drawn or told anew each time they are written."""
    [written] = allure_results(folder)
    del written["uuid"]
    written["attachments"] = {
        each["name"]: (folder / each["source"]).read_text(encoding="utf-8") for each in written["attachments"]
    }
    return written


@pytest.mark.parametrize("end", [ran, broke_off])
def test_every_report_is_made_again_from_the_run_folder_as_the_run_made_it(tmp_path: Path, end: Any) -> None:
    events = dated() if end is ran else dated()[:8]
    run_dir = folder_of(tmp_path, events)
    made_by_run = tmp_path / "of the run"
    made_by_run.mkdir()
    junit, summary = made_by_run / "junit.xml", made_by_run / "summary.md"
    end(run_dir, JunitReport(junit), StepSummary(summary), AllureResults(made_by_run / "allure"))
    page = (run_dir / "report.html").read_text(encoding="utf-8")

    codes = {cli.main(["check", str(run_dir), "--report", name]) for name in ("html", "junit", "summary", "allure")}

    assert codes == {1 if end is ran else 3}
    assert (run_dir / FILES["junit"]).read_bytes() == junit.read_bytes()
    assert (run_dir / FILES["summary"]).read_bytes() == summary.read_bytes()
    assert stable(run_dir / FILES["allure"]) == stable(made_by_run / "allure")
    assert (run_dir / "report.html").read_text(encoding="utf-8") == page


def test_a_report_made_twice_is_there_once(tmp_path: Path) -> None:
    run_dir = folder_of(tmp_path)
    for name in ("allure", "allure", "summary", "summary"):
        report_again(run_dir, catalogue(), pytest.fail, name)

    assert len(allure_results(run_dir / "allure-results")) == 1
    assert (run_dir / "summary.md").read_text(encoding="utf-8").count("- **VIOLATED**") == 1


def test_check_says_where_the_report_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = folder_of(tmp_path)

    assert cli.main(["check", str(run_dir), "--report", "junit"]) == 1
    assert capsys.readouterr().out.endswith(f"  junit: {run_dir / 'junit.xml'}\n")

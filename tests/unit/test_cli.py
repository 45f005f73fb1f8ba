"""The command line: exit codes, documents, and one line for the user when Holdfast itself fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from chaos import cli
from chaos.answering import answered
from chaos.doctor import Diagnosis, FaultReadiness, Finding
from chaos.errors import EngineError, Problem, SourceError, Terminated, UsageError
from chaos.experiment.drivers import DriverChoice
from chaos.experiment.plan import Plan, Verdict
from chaos.preflight import opening
from chaos.reporting.listener import Collector, Listener, Silent
from chaos.reporting.result import TrialResult
from chaos.stack.cleanup import kept, sweep
from chaos.stack.cleanup.kept import Kept
from chaos.stack.cleanup.sweep import SweepReport
from chaos.stack.spec import Stack
from chaos.workload.tryout.findings import Finding as Tried
from tests.unit.reporting.runs import made, recorded
from tests.unit.reporting.samples import STACK, plan, result


class Trials:
    """Stands in for the stack, the engine and everything else below the command line."""

    def __init__(self) -> None:
        self.verdicts: list[Verdict] = ["HELD"]
        self.expect: Verdict = "HELD"
        self.breaks: BaseException | None = None
        self.run_dir = Path("reports/runs/20261122-191512-4711")
        self.swept = 0
        self.sweeps: dict[str, bool] = {}
        self.left = SweepReport()
        self.keeps = Kept((), 0, {}, 0, Path("cache"), 0)
        self.sweeping: Callable[[], None] = lambda: None
        self.kept = False
        self.jobs = 1
        self.seeds: list[int] = []

    def load(self, path: Path, seed: int | None, times: int, faults: object) -> list[Plan]:
        if not path.exists():
            raise UsageError(f"{path} does not exist")
        first = 4711 if seed is None else seed
        return [replace(plan(self.expect, first + trial), file=path) for trial in range(times)]

    def sweep(self, *, all_: bool = False, images: bool = False, golden: bool = False) -> SweepReport:
        self.swept += 1
        self.sweeps = {"all": all_, "images": images, "golden": golden}
        self.sweeping()
        return self.left

    def run_trials(
        self,
        drawn: Sequence[Plan],
        *,
        jobs: int = 1,
        keep: bool = False,
        runs: Path = Path("reports/runs"),
        listeners: Sequence[Listener] = (),
        stop_after: Callable[[TrialResult], bool] = lambda result: False,
        may_begin: Callable[[], bool] = lambda: True,
    ) -> list[TrialResult]:
        self.kept, self.jobs, self.seeds = keep, jobs, [each.seed for each in drawn]
        results: list[TrialResult] = []
        for number, (each, verdict) in enumerate(zip(drawn, self.verdicts, strict=False), start=1):
            done = replace(result(verdict, seed=each.seed), plan=each)
            for listener in listeners:
                listener.started(each, each.seed, number, len(drawn), self.run_dir)
                listener.finished(done)
            results.append(done)
            if stop_after(done) or not may_begin():
                for listener in listeners:
                    for left_out in drawn[number:]:
                        listener.not_run(left_out)
                break
        if self.breaks is not None:
            for listener in listeners:
                listener.failed(self.breaks)
            raise self.breaks
        return results


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Trials:
    fakes = Trials()
    trial = types.ModuleType("chaos.trials")
    trial.run_trials = fakes.run_trials  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "chaos.trials", trial)
    monkeypatch.setattr(sweep, "sweep", fakes.sweep)
    monkeypatch.setattr(kept, "look", lambda: fakes.keeps)
    monkeypatch.setattr(opening, "load_stack", lambda *given: STACK)
    monkeypatch.setattr(opening, "load_trials", fakes.load)
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.yaml").write_text("experiment: x\n", encoding="utf-8")
    return fakes


def test_an_image_is_given_to_every_stack(trials: Trials, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[object] = []

    def load_stack(*each: object) -> Stack:
        given.append(each[-1])
        return STACK

    monkeypatch.setattr(opening, "load_stack", load_stack)

    assert cli.main(["run", "x.yaml", "--image", "db=postgres:17", "--image", "gw=x"]) == 0
    assert given == [{"db": "postgres:17", "gw": "x"}]
    assert cli.main(["run", "x.yaml", "--image", "postgres:17"]) == 64


def test_after_the_minutes_no_trial_begins_and_a_file_without_any_is_not_held(
    trials: Trials, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("y.yaml").write_text("experiment: y\n", encoding="utf-8")
    trials.verdicts = ["HELD", "HELD", "HELD", "HELD"]
    clock = iter(range(0, 10_000, 40))  # 40 s a look: the first one is before any trial
    monkeypatch.setattr("chaos.cli.time.monotonic", lambda: float(next(clock)))

    assert cli.main(["run", "x.yaml", "--times", "4", "--minutes", "1"]) == 0
    told = capsys.readouterr()
    assert "  2 HELD" in told.out
    assert "  2 not run" in told.out

    assert cli.main(["run", "x.yaml", "y.yaml", "--times", "2", "--minutes", "1"]) == 2
    assert "no trial of y.yaml was run, so nothing is known of it" in capsys.readouterr().err


def test_validate_says_how_long_a_trial_takes(trials: Trials, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["validate", "x.yaml"]) == 0
    assert "  time: more than 10 s a trial, which its load takes; none was run here yet" in capsys.readouterr().out
    for number, (name, seconds) in enumerate((("sidekick_2009", 30), ("sidekick_2009", 50), ("other", 5))):
        folder = Path(f"reports/runs/{number}")
        folder.mkdir(parents=True)
        document = {"experiment": name, "phases": {"load": seconds, "heal": 1}}
        (folder / "result.json").write_text(json.dumps(document))
    Path("reports/runs/3").mkdir()
    Path("reports/runs/3/result.json").write_text("no JSON")
    Path("reports/runs/latest").symlink_to("1")

    assert cli.main(["validate", "x.yaml", "--times", "3"]) == 0
    assert "  time: about 41 s a trial, by 2 earlier ones here, 3 trials 2 min\n" in capsys.readouterr().out
    assert cli.main(["validate", "x.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["estimate"] == {"seconds": 41.0, "trials": 2}


def test_a_run_writes_junit_allure_and_what_github_reads_beside_the_terminal(
    trials: Trials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trials.verdicts = ["VIOLATED"]
    (tmp_path / trials.run_dir).mkdir(parents=True)
    made(recorded(), tmp_path / trials.run_dir)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    assert cli.main(["run", "x.yaml", "--junit", "out/junit.xml", "--allure", "out/allure", "--json"]) == 1

    told = capsys.readouterr()
    assert json.loads(told.out)["verdict"] == "VIOLATED"
    assert "::error file=x.yaml,line=1,title=VIOLATED%3A sidekick_2009::" in told.err
    assert '<failure type="VIOLATED"' in (tmp_path / "out" / "junit.xml").read_text()
    assert len(list((tmp_path / "out" / "allure").glob("*-result.json"))) == 1
    assert (tmp_path / "summary.md").read_text().startswith("- **VIOLATED**")


@pytest.mark.parametrize(("verdict", "code"), [("HELD", 0), ("VIOLATED", 1), ("INCONCLUSIVE", 2)])
def test_the_exit_code_is_the_verdicts(
    trials: Trials, verdict: Verdict, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    trials.verdicts = [verdict]

    assert cli.main(["run", "x.yaml"]) == code
    out = capsys.readouterr().out
    assert verdict in out
    assert "seed 4711" in out
    assert "again:  holdfast run reports/runs/20261122-191512-4711/plan.yaml" in out


@pytest.mark.parametrize(
    ("verdicts", "expect", "code"),
    [
        (["VIOLATED"], "VIOLATED", 0),
        (["INCONCLUSIVE"], "INCONCLUSIVE", 0),
        (["HELD"], "VIOLATED", 1),
        (["INCONCLUSIVE"], "VIOLATED", 2),
        (["VIOLATED"], "HELD", 1),
        (["VIOLATED", "HELD"], "VIOLATED", 1),
        (["VIOLATED", "VIOLATED"], "VIOLATED", 0),
    ],
)
def test_with_expect_only_the_expected_verdict_is_green(
    trials: Trials, verdicts: list[Verdict], expect: Verdict, code: int
) -> None:
    trials.verdicts, trials.expect = verdicts, expect

    assert cli.main(["run", "x.yaml", "--expect", "--times", str(len(verdicts))]) == code


def test_json_is_one_document_on_stdout_and_all_else_goes_to_stderr(
    trials: Trials, capsys: pytest.CaptureFixture[str]
) -> None:
    trials.verdicts = ["VIOLATED"]

    assert cli.main(["run", "x.yaml", "--json", "--seed", "9", "--keep"]) == 1
    told = capsys.readouterr()
    document = json.loads(told.out)
    assert set(document) >= {
        "verdict",
        "reason",
        "seed",
        "run_dir",
        "operations",
        "anomalies",
        "reported",
        "canaries",
        "records",
        "faults",
        "not_covered",
        "phases",
    }
    assert (document["verdict"], document["seed"], "trials" in document) == ("VIOLATED", 9, False)
    assert "seed 9" in told.err
    assert trials.kept


def test_several_trials_have_the_worst_verdict_and_are_all_listed(
    trials: Trials, capsys: pytest.CaptureFixture[str]
) -> None:
    trials.verdicts = ["HELD", "INCONCLUSIVE", "VIOLATED", "HELD"]

    assert cli.main(["run", "x.yaml", "--json", "--times", "4"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"] == "VIOLATED"
    assert document["seed"] == 4713
    assert [trial["verdict"] for trial in document["trials"]] == trials.verdicts


def test_validate_tells_what_each_of_several_trials_would_draw(
    trials: Trials, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["validate", "x.yaml", "--seed", "7", "--times", "3"]) == 0
    told = capsys.readouterr().out
    assert "· seed 7 ·" in told
    assert [line for line in told.splitlines() if line.startswith("trial ")] == [
        "trial 2 of 3 · seed 8",
        "trial 3 of 3 · seed 9",
    ]
    assert told.count("fault 1: san.lose core at ack 1,200") == 3


def test_run_draws_as_many_plans_as_trials(trials: Trials) -> None:
    cli.main(["run", "x.yaml", "--seed", "7", "--times", "3"])
    assert trials.seeds == [7, 8, 9]


def test_several_trials_end_with_a_line_for_each_verdict(trials: Trials, capsys: pytest.CaptureFixture[str]) -> None:
    trials.verdicts = ["HELD", "VIOLATED", "HELD"]

    cli.main(["run", "x.yaml", "--times", "3"])
    assert capsys.readouterr().out.endswith(
        "3 trials, the worst VIOLATED\n    1 VIOLATED     seeds 4712\n    2 HELD         seeds 4711, 4713\n"
    )


def test_a_harness_error_is_exit_3_with_a_document_that_keeps_the_finished_trials(
    trials: Trials, capsys: pytest.CaptureFixture[str]
) -> None:
    trials.breaks = EngineError("no engine answers; run holdfast doctor --fix")

    assert cli.main(["run", "x.yaml", "--json", "--times", "3"]) == 3
    told = capsys.readouterr()
    document = json.loads(told.out)
    assert (document["verdict"], document["reason"]) == (None, "no engine answers; run holdfast doctor --fix")
    assert [trial["verdict"] for trial in document["trials"]] == ["HELD"]
    assert document["run_dir"] == "reports/runs/20261122-191512-4711"
    assert "holdfast: no engine answers" in told.err
    assert "Traceback" not in told.err


@pytest.mark.parametrize(("breaks", "code"), [(KeyboardInterrupt(), 130), (Terminated(), 143), (SourceError([]), 64)])
def test_signals_and_usage_have_their_codes_and_documents(
    trials: Trials, breaks: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    trials.breaks = breaks

    assert cli.main(["run", "x.yaml", "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    assert (document["verdict"], document["exit_code"]) == (None, code)


def test_sigterm_unwinds_and_ends_with_143(trials: Trials) -> None:
    trials.sweeping = lambda: os.kill(os.getpid(), signal.SIGTERM)
    before = signal.getsignal(signal.SIGTERM)

    assert cli.main(["run", "x.yaml"]) == 143
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["run", "x.yaml", "--sed", "3"],
        ["run", "x.yaml", "--times", "0"],
        ["run", "x.yaml", "--seed", "many"],
        ["run", "absent.yaml"],
        ["rum", "x.yaml"],
        ["check", "absent"],
        [],
    ],
)
def test_wrong_usage_is_64_with_a_document(
    trials: Trials, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*arguments, "--json"]) == 64
    told = capsys.readouterr()
    document = json.loads(told.out)
    assert document["verdict"] is None
    assert document["reason"]
    assert document["reason"].splitlines()[0] in told.err


def test_a_defect_is_one_line_for_the_user_and_a_traceback_in_a_file(
    trials: Trials, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials.run_dir = tmp_path
    trials.breaks = ZeroDivisionError("in the check")

    assert cli.main(["run", "x.yaml", "--json"]) == 3
    told = capsys.readouterr()
    document = json.loads(told.out)
    assert document["reason"].startswith("internal error of Holdfast: ZeroDivisionError: in the check; ")
    assert str(tmp_path / "traceback.txt") in document["reason"]
    assert "Traceback" not in told.err
    assert "ZeroDivisionError" in (tmp_path / "traceback.txt").read_text(encoding="utf-8")


def test_a_defect_before_any_run_folder_leaves_its_traceback_in_the_cache(trials: Trials, tmp_path: Path) -> None:
    trials.sweeping = lambda: sys.exit(1)

    assert cli.main(["run", "x.yaml"]) == 3
    assert "SystemExit" in (tmp_path / "cache" / "traceback.txt").read_text(encoding="utf-8")


def test_a_reporter_that_fails_hides_no_verdict(
    trials: Trials, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Fails(Silent):
        def finished(self, result: TrialResult) -> None:
            raise ValueError("no room")

    trials.verdicts = ["VIOLATED"]
    monkeypatch.setattr("chaos.reporting.terminal.terminal", lambda out, detail: Fails())

    assert cli.main(["run", "x.yaml"]) == 1
    told = capsys.readouterr()
    assert "expected HELD: 811 of 811 records acknowledged before san.lose are lost" in told.out
    assert "reports/runs/20261122-191512-4711" in told.out
    assert "the listener Fails failed at finished(): ValueError: no room" in told.err


def test_orphans_are_swept_before_a_run(trials: Trials) -> None:
    cli.main(["run", "x.yaml"])

    assert trials.swept == 1


def test_clean_tells_what_it_removed(trials: Trials, capsys: pytest.CaptureFixture[str]) -> None:
    trials.left = SweepReport(removed=["network holdfast-x"])

    assert cli.main(["clean"]) == 0
    assert capsys.readouterr().out == "removed network holdfast-x\nnothing is kept\n"


def test_what_cannot_be_cleaned_is_exit_3(trials: Trials, capsys: pytest.CaptureFixture[str]) -> None:
    trials.left = SweepReport(failed=["volume pgdata: in use"])

    assert cli.main(["clean", "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"] is None
    assert document["reason"] == "1 thing could not be removed"
    assert document["failed"] == ["volume pgdata: in use"]


def test_schema_is_the_json_schema_of_experiments(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["schema"]) == 0
    assert "experiment" in json.loads(capsys.readouterr().out)["properties"]


def test_validate_tells_what_would_be_touched_and_shows_no_value_of_a_variable(
    trials: Trials, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["validate", "x.yaml", "--seed", "7", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["plan"]["seed"] == 7
    assert "array core: pgdata 512 MiB ext4" in document["touched"]
    assert document["warnings"] == []
    assert "planted-secret" not in json.dumps(document)

    assert cli.main(["validate", "x.yaml"]) == 0
    assert "strikes LUNs pgdata; services db" in capsys.readouterr().out
    assert trials.swept == 0


def test_a_target_that_the_stack_lacks_is_shown_with_its_place(
    trials: Trials, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(opening, "load_stack", lambda *given: replace(STACK, luns={}))
    text = "experiment: x\nschedule:\n  - target: {array: core}\n"
    Path("x.yaml").write_text(text, encoding="utf-8")

    assert cli.main(["run", "x.yaml"]) == 64
    assert capsys.readouterr().err.startswith("x.yaml:3:21: the stack has no array 'core'\n")


@pytest.mark.parametrize(("missing", "code"), [((), 0), (("loop",), 3)])
def test_doctor_is_exit_0_when_the_minimal_stack_can_run(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    missing: tuple[str, ...],
    code: int,
) -> None:
    findings = (Finding("loop", "gap" if missing else "ok", "none", "modprobe loop"),)
    diagnosis = Diagnosis(findings, (FaultReadiness("san.lose", missing),), missing)
    monkeypatch.setattr("chaos.doctor.examine", lambda: diagnosis)
    monkeypatch.setattr("chaos.doctor.fix", lambda say: say("installing docker.io"))

    assert cli.main(["doctor", "--fix", "--json"]) == code
    told = capsys.readouterr()
    document = json.loads(told.out)
    assert document["verdict"] is None
    assert document["reason"] == ("the minimal stack cannot run here: loop" if missing else "")
    assert document["can_run"] is not bool(missing)
    assert "holdfast: installing docker.io" in told.err

    assert cli.main(["doctor"]) == code
    assert "loop" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_is_exit_0(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([option]) == 0
    assert "doctor" in capsys.readouterr().out
    assert cli.main(["run", option]) == 0
    assert "--fail-fast" in capsys.readouterr().out


def test_the_package_can_be_run_as_the_command() -> None:
    shown = subprocess.run([sys.executable, "-m", "chaos", "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout == f"holdfast {version('holdfast')}\n"


def test_the_command_loads_nothing_heavy_before_it_knows_what_to_do() -> None:
    heavy = ("docker", "pydantic", "aiohttp", "rich", "hypothesis", "yaml", "asyncio", "allure")
    program = f"import sys, chaos.cli; print([name for name in {heavy} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert shown.stdout.strip() == "[]"


def test_a_closed_stdout_is_no_verdict() -> None:
    program = "import sys, chaos.cli; sys.exit(chaos.cli.main(['schema']))"
    reader, writer = os.pipe()
    os.close(reader)
    try:
        shown = subprocess.run(
            [sys.executable, "-c", program], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(writer)

    assert shown.returncode == 3
    assert shown.stderr.count("\n") == 1


def test_a_pipe_that_closes_while_something_is_told_is_no_defect_of_holdfast(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def tells() -> None:
        try:
            raise BrokenPipeError(32, "Broken pipe")
        except BrokenPipeError:
            sys.exit(1)  # as Click does

    assert answered(tells, Collector()).code == 3
    assert capsys.readouterr().err == "holdfast: nobody reads its output any more; everything is cleaned up\n"


def test_the_version_is_that_of_the_installed_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"holdfast {version('holdfast')}\n"


def test_shells_can_complete_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    assert "--install-completion" in capsys.readouterr().out


@pytest.fixture
def folder(trials: Trials) -> Path:
    """A folder of two experiments, one below it, and of files that are none."""
    files = {
        "b.yaml": "experiment: b\nstack: compose.yaml\n",
        "below/a.yml": "experiment: a\nstack: compose.yaml\n",
        "below/.hidden/c.yaml": "experiment: c\nstack: compose.yaml\n",
        "compose.yaml": "services: {}\n",
        "runs/plan.yaml": "plan: b\nseed: 1\nstack: compose.yaml\n",
        "other.yaml": "colour: blue\n",
        "text.txt": "experiment: t\nstack: compose.yaml\n",
    }
    place = Path("all")
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text, encoding="utf-8")
    return place


def test_several_files_are_one_document_with_the_worst_verdict(
    trials: Trials, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials.verdicts = ["HELD", "HELD", "VIOLATED", "INCONCLUSIVE"]

    assert cli.main(["run", "x.yaml", "all/b.yaml", "--json", "--seed", "7", "--times", "2"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["verdict"], document["file"], document["seed"]) == ("VIOLATED", "all/b.yaml", 7)
    assert [(each["file"], each["seed"], each["verdict"]) for each in document["trials"]] == [
        ("x.yaml", 7, "HELD"),
        ("x.yaml", 8, "HELD"),
        ("all/b.yaml", 7, "VIOLATED"),
        ("all/b.yaml", 8, "INCONCLUSIVE"),
    ]
    assert document["not_run"] == []


def test_several_files_end_with_a_line_for_each_file_and_verdict(
    trials: Trials, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials.verdicts = ["HELD", "VIOLATED"]

    assert cli.main(["run", "x.yaml", "all/b.yaml"]) == 1
    assert capsys.readouterr().out.endswith(
        "2 trials of 2 files, the worst VIOLATED\n"
        "  x.yaml        1 HELD         seeds 4711\n"
        "  all/b.yaml    1 VIOLATED     seeds 4711  expected HELD\n"
    )


def test_a_folder_stands_for_its_experiments_by_name_and_for_nothing_else(
    trials: Trials, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials.verdicts = ["HELD"] * 3

    assert cli.main(["run", "all", "all/below/../b.yaml", "--json"]) == 0
    told = capsys.readouterr()
    assert [each["file"] for each in json.loads(told.out)["trials"]] == ["all/b.yaml", "all/below/a.yml"]
    assert "passed over" not in told.err

    assert cli.main(["validate", "all", "-v"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "holdfast: all/compose.yaml is passed over: it is a Compose file",
        "holdfast: all/other.yaml is passed over: it has no `experiment:`",
        "holdfast: all/runs/plan.yaml is passed over: it is the plan of an earlier trial; name it to run it again",
    ]


def test_an_experiment_without_a_stack_is_not_passed_over_in_silence(
    trials: Trials, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "half.yaml").write_text("experiment: half\n", encoding="utf-8")

    assert cli.main(["validate", "all", "-q"]) == 0
    assert capsys.readouterr().err == (
        "holdfast: all/half.yaml is passed over: it has `experiment:` and no `stack:`, so it is no experiment yet\n"
    )


def test_a_folder_of_one_experiment_has_the_document_of_several(
    trials: Trials, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", "all/below", "--json"]) == 0
    assert [each["file"] for each in json.loads(capsys.readouterr().out)["trials"]] == ["all/below/a.yml"]


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("all/none", "holdfast: all/none has no experiment: no YAML file is there\n"),
        ("all/runs", "holdfast: all/runs is a run folder; name its plan to run the trial again: all/runs/plan.yaml\n"),
        (
            "all/some",
            "has `experiment:` and `stack:`; the first, all/some/c.yaml: it is a Compose file\n",
        ),
    ],
)
def test_a_folder_without_any_experiment_is_an_error(
    trials: Trials, folder: Path, place: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("all/none").mkdir()
    Path("all/some").mkdir()
    Path("all/some/c.yaml").write_text("services: {}\n", encoding="utf-8")

    assert cli.main(["run", place]) == 64
    assert capsys.readouterr().err.endswith(said)
    assert trials.swept == 0


def test_nothing_starts_while_one_of_several_files_is_wrong_and_all_problems_are_told(
    trials: Trials, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("y.yaml").write_text("experiment: y\n", encoding="utf-8")
    load = trials.load

    def loads(path: Path, *given: object) -> list[Plan]:
        if path.name == "y.yaml":
            raise SourceError([Problem("y.yaml", 1, 1, "the key stack is missing")], "experiment: y\n")
        return load(path, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(opening, "load_trials", loads)

    assert cli.main(["run", "x.yaml", "y.yaml", "absent.yaml", "--json"]) == 64
    told = capsys.readouterr()
    lines = told.err.splitlines()
    assert lines[0] == "y.yaml:1:1: the key stack is missing"
    assert lines[-2:] == [
        "absent.yaml does not exist",
        "2 of 3 files cannot be run; correct them first, nothing was started",
    ]
    assert json.loads(told.out)["reason"].splitlines() == lines
    assert (trials.swept, trials.seeds) == (0, [])


def test_what_is_wrong_with_a_stack_that_several_files_share_is_told_once(
    trials: Trials, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*given: object) -> object:
        raise SourceError([Problem("compose.yaml", 3, 1, "no such key")])

    monkeypatch.setattr(opening, "load_stack", refuse)

    assert cli.main(["validate", "all"]) == 64
    assert capsys.readouterr().err.splitlines() == [
        "compose.yaml:3:1: no such key",
        "2 of 2 files cannot be run; correct them first, nothing was started",
    ]


def test_of_a_driver_that_is_still_to_be_filled_in_a_few_lines_tell_what_to_do_first(
    trials: Trials, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def findings(plan: object, stack: object, tell: Callable[[Tried], None], log: object) -> list[Tried]:
        first = Tried("put creates", "wrong", "NotImplementedError: TODO: put, driver.py:39 in put", "fill it in")
        found = [first, *(Tried(f"check {i}", "not tried", "it needs", needs=("put creates",)) for i in range(17))]
        for each in found:
            tell(each)
        return found

    module = types.ModuleType("chaos.driver_test")
    module.try_driver = findings  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "chaos.driver_test", module)

    assert cli.main(["driver-test", "x.yaml"]) == 1
    assert (
        capsys.readouterr().out
        == """\
    wrong  put creates
           NotImplementedError: TODO: put, driver.py:39 in put
           -> fill it in
not tried  17 further checks: first mend 'put creates'
1 check of driver http went wrong
"""
    )
    assert cli.main(["driver-test", "x.yaml", "--json"]) == 1
    assert len(json.loads(capsys.readouterr().out)["checks"]) == 18


def test_a_driver_that_cannot_be_imported_is_told_before_anything_runs(
    trials: Trials, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = DriverChoice("absent_driver:Absent")
    monkeypatch.setattr(opening, "load_stack", lambda *given: replace(STACK, driver=absent))

    assert cli.main(["run", "x.yaml"]) == 64
    assert "'absent_driver:Absent' cannot be imported" in capsys.readouterr().err
    assert trials.swept == 0


@pytest.mark.parametrize(
    ("verdicts", "expect", "options", "ran", "code"),
    [
        (["HELD", "INCONCLUSIVE", "HELD"], "HELD", [], 2, 2),
        (["VIOLATED", "HELD", "VIOLATED"], "VIOLATED", ["--expect"], 2, 1),
        (["VIOLATED", "VIOLATED", "VIOLATED"], "VIOLATED", ["--expect"], 3, 0),
    ],
)
def test_fail_fast_stops_after_the_first_trial_that_makes_the_exit_code_other_than_0(
    trials: Trials,
    verdicts: list[Verdict],
    expect: Verdict,
    options: list[str],
    ran: int,
    code: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trials.verdicts, trials.expect = verdicts, expect
    arguments = ["run", "x.yaml", "--times", "3", "--seed", "1", *options]

    assert cli.main([*arguments, "--fail-fast", "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    assert len(document["trials"]) == ran
    assert document["not_run"] == [{"experiment": "sidekick_2009", "seed": seed} for seed in range(ran + 1, 4)]

    assert cli.main([*arguments, "--fail-fast"]) == code
    told = capsys.readouterr().out
    assert told.startswith("trial 1 of 3\n")
    assert ("    1 not run      seeds 3\n" in told) == (ran == 2)

    cli.main([*arguments, "--json"])
    assert len(json.loads(capsys.readouterr().out)["trials"]) == 3


def test_an_error_in_one_of_several_files_names_it(
    trials: Trials, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials.breaks = EngineError("no image")
    trials.breaks.add_note("all/b.yaml")

    assert cli.main(["run", "x.yaml", "all/b.yaml", "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert document["reason"] == "all/b.yaml: no image"
    assert [each["file"] for each in document["trials"]] == ["x.yaml"]

    assert cli.main(["run", "x.yaml", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["reason"] == "no image"


def test_quiet_is_one_line_for_each_trial_and_errors_alone(
    trials: Trials, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials.verdicts = ["HELD", "VIOLATED"]

    assert cli.main(["run", "-q", "x.yaml", "all/b.yaml"]) == 1
    told = capsys.readouterr()
    assert [line.split(" · ")[0] for line in told.out.splitlines()] == [
        "HELD         x.yaml",
        "VIOLATED     all/b.yaml",
    ]

    assert cli.main(["validate", "-q", "all"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "all/b.yaml · ok · 0 warnings",
        "all/below/a.yml · ok · 0 warnings",
    ]


def test_quiet_and_verbose_contradict_each_other(trials: Trials, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "-q", "-v", "x.yaml"]) == 64
    assert "--quiet and --verbose contradict each other" in capsys.readouterr().err


def test_several_files_are_validated_in_one_document(
    trials: Trials, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["validate", "all", "x.yaml", "--json", "--seed", "3"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [each["file"] for each in document["files"]] == ["all/b.yaml", "all/below/a.yml", "x.yaml"]
    assert {each["plan"]["seed"] for each in document["files"]} == {3}

    assert cli.main(["validate", "all"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line.endswith(":")] == [
        "all/b.yaml:",
        "all/below/a.yml:",
    ]


@pytest.mark.parametrize("option", ["all", "images", "golden"])
def test_clean_removes_more_where_it_is_told_to_and_shows_what_is_kept(
    trials: Trials, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    trials.keeps = Kept(("holdfast/agent:1", "holdfast/db:2"), 167_000_000, {"shop": 2}, 0, Path("cache"), 4096)

    assert cli.main(["clean", f"--{option}"]) == 0
    assert trials.sweeps == {name: name == option for name in ("all", "images", "golden")}
    assert capsys.readouterr().out.splitlines() == [
        "nothing to clean",
        "kept for later runs:",
        "      167.0 MB  2 images  (holdfast clean --images)",
        "        0.0 MB  golden LUNs of shop  (holdfast clean --golden)",
        "        0.0 MB  the whole folder cache  (holdfast clean --all)",
    ]
    assert cli.main(["clean", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kept"]["golden"] == {"shop": 2}

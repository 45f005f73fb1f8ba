"""`holdfast gate`: a new one, one that goes on, one that is judged again; its lines, document and page. No stack."""

from __future__ import annotations

import fcntl
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from chaos import cli
from chaos.doctor import Diagnosis, FaultReadiness
from chaos.errors import SourceError, UsageError
from chaos.experiment.loader import write_plan
from chaos.experiment.plan import Plan
from chaos.gate import campaign, command, untested
from chaos.gate.command import Gated, Wanted, gate
from chaos.gate.telling import document, page, told, write
from chaos.preflight.opening import open_experiment
from chaos.reporting.progress.kept import KeptLines
from chaos.reporting.result import TrialResult
from chaos.search.tried import Tried
from chaos.stack.cleanup import sweep
from chaos.stack.inputs.keeping import keep
from tests.unit.gate.simulated import Simulated
from tests.unit.gate.test_policy import EXPERIMENTS, WHOLE


class Host:
    """Trials and searches that are none, and a host that lacks a fault."""

    def __init__(self) -> None:
        self.trials = Simulated()
        self.tried: list[Tried] = [Tried(1, ("process.kill db",), "HELD", conclusive=True)]
        self.searches: list[tuple[Path, int | None]] = []

    def run_trials(self, *given: Any, **named: Any) -> object:
        return self.trials(*given, **named)

    def search(self, file: Path, seed: int | None, wanted: Any, out: object, *, quiet: bool) -> None:
        self.searches.append((file, seed))
        folder = wanted.into / "20261130-1"
        folder.mkdir(parents=True, exist_ok=True)
        lines = KeptLines(folder / "trials.jsonl", Tried)
        for each in self.tried:
            lines.add(each)

    def recall(self, run_dir: Path, faults: object) -> TrialResult:
        number = int(run_dir.name) - 1
        plan = self.trials.plans[number]
        said = self.trials.says(plan)
        assert said is not None
        return self.trials.judged(plan, said, run_dir)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Host:
    made = Host()
    monkeypatch.setattr(command, "run_trials", made.run_trials)
    monkeypatch.setattr(command, "search_file", made.search)
    monkeypatch.setattr(command, "recall", made.recall)
    monkeypatch.setattr(campaign, "write_report", lambda result: None)
    lacking = (FaultReadiness("disk.power_cut", ("loop",)), FaultReadiness("process.kill"))
    monkeypatch.setattr(untested, "examine", lambda: Diagnosis((), lacking, ()))
    monkeypatch.chdir(tmp_path)
    Path("release.yaml").write_text(WHOLE)
    return made


def run(target: str | Path = "release.yaml", **wanted: Any) -> Gated:
    gated = gate(Path(target), Wanted(**wanted), io.StringIO(), quiet=True)
    write(gated)
    return gated


def test_a_gate_says_go_with_its_bounds_and_what_was_not_tested(host: Host) -> None:
    gated = run(seed=7)
    assert gated.decision.outcome == "GO"
    text = "\n".join(told(gated))
    assert text.startswith("GO: release\n  disk: a trial loses an acknowledged record with at most 5 %, by 82 clean")
    assert "Thirty clean trials bound a loss at 9.5 % at 95 % and no better." in text
    assert "per trial, per stratum, under our sampling" in text
    assert "stack minimal: 30 of 30 planted losses seen: a loss is seen with at least 88.4 %" in text
    assert "not tested: disk.power_cut: this host lacks loop" in text
    assert "not tested: no experiment or search of the policy has " in text
    assert gated.begun.seed == 7


def test_its_document_and_its_page_are_kept_in_its_folder(host: Host) -> None:
    gated = run()
    kept = json.loads((gated.folder / "result.json").read_text())
    assert kept == json.loads(json.dumps(document(gated)))
    assert (kept["decision"], kept["exit_code"], kept["trials"]) == ("GO", 0, 153)
    assert kept["strata"]["disk"]["clean"] == 82
    html = (gated.folder / "report.html").read_text()
    assert html == page(gated)
    assert "Thirty clean trials bound a loss at 9.5 % at 95 % and no better." in html
    assert "sha256:abc" in html
    assert "<script" not in html
    assert "src=" not in html


def test_a_finding_of_a_search_is_a_no_go(host: Host) -> None:
    host.tried = [Tried(1, ("process.kill db",), "VIOLATED", why="1 record is lost", conclusive=True)]
    gated = run()
    assert gated.decision.outcome == "NO-GO"
    assert gated.decision.reasons[0].endswith("search promised, trial 1: 1 record is lost")
    assert "searches/promised/20261130-1/trials/0001/report.html" in page(gated)


def test_nothing_is_searched_once_something_is_lost(host: Host) -> None:
    host.trials.says = lambda plan: "VIOLATED"
    assert run().decision.outcome == "NO-GO"
    assert host.searches == []


def test_a_gate_goes_on_in_its_folder_and_a_search_in_its_own(host: Host) -> None:
    first = run(seed=3)
    before = len(host.trials.plans)
    again = run(first.folder)
    assert len(host.trials.plans) == before
    assert host.searches[0][1] == 3
    assert host.searches[1] == (first.folder / "searches/promised/20261130-1", None)
    assert [each for each in again.trials if each.part != "search"] == [
        each for each in first.trials if each.part != "search"
    ]


def test_a_gate_goes_on_with_the_images_that_it_was_begun_with(host: Host) -> None:
    first = run(images={"gateway": "gateway:2"})
    assert {each.images.get("gateway") for each in host.trials.plans} == {"gateway:2"}
    assert run(first.folder).begun.policy.strata[0].experiments[0].images == {"gateway": "gateway:2"}
    with pytest.raises(UsageError, match="leave --seed and --image out"):
        run(first.folder, images={"gateway": "gateway:3"})


def test_a_gate_does_not_go_on_with_another_policy(host: Host) -> None:
    folder = run().folder
    Path("release.yaml").write_text(WHOLE.replace("trials: 50", "trials: 51"))
    with pytest.raises(UsageError, match=r"release\.yaml changed since .*; begin a new gate: holdfast gate"):
        run(folder)
    assert run(folder, again=True).decision.outcome == "GO", "to judge it again needs none"


def test_a_folder_that_is_judged_again_says_what_is_judged_otherwise(host: Host) -> None:
    folder = run().folder
    ran = len(host.trials.plans)
    again = run(folder, again=True)
    assert (again.decision.outcome, again.differing, len(host.trials.plans)) == ("GO", (), ran)
    host.trials.says = lambda plan: "VIOLATED" if plan.plants_loss or plan is host.trials.plans[-1] else "HELD"
    stricter = run(folder, again=True)
    assert stricter.decision.outcome == "NO-GO"
    (differing,) = stricter.differing
    assert differing.startswith("stratum process, trial 40, seed ")
    assert "judged again" in differing


def test_a_worse_release_is_shown_beside_the_last_one_and_can_be_a_no_go(host: Host) -> None:
    last = run()
    host.trials.phases = {"recover": 30.0}
    worse = run(against=last.folder)
    assert worse.decision.outcome == "NO-GO"
    assert "recovery takes 30 s" in worse.decision.reasons[0]
    assert "at most 2 times as long wanted" in worse.decision.reasons[0]
    assert f"Beside {last.folder}" in page(worse)
    Path("release.yaml").write_text(WHOLE.replace("regression", "#"))
    shown = run(against=last.folder)
    assert shown.decision.outcome == "GO"
    assert any("recovery 30 s" in line for line in told(shown))


@pytest.mark.parametrize(
    ("target", "wanted", "message"),
    [
        (".", {"seed": 1}, "leave --seed and --image out"),
        (".", {}, "holds no gate"),
        ("release.yaml", {"again": True}, "is no folder"),
        ("release.yaml", {"against": Path("gone")}, "gone holds no gate"),
    ],
)
def test_what_cannot_be_is_refused(host: Host, target: str, wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run(target, **wanted)


def test_the_command_answers_with_the_exit_code_of_the_decision(
    host: Host, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sweep, "sweep", lambda **rest: None)
    monkeypatch.setenv("HOLDFAST_CACHE", str(Path("cache").resolve()))
    assert cli.main(["gate", "release.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["decision"] == "GO"
    host.tried = []
    assert cli.main(["gate", "release.yaml", "-q"]) == 2
    host.trials.says = lambda plan: "VIOLATED"
    assert cli.main(["gate", "release.yaml", "-q"]) == 1
    assert capsys.readouterr().out.count("NO-GO: release") == 1


def test_a_trial_without_a_line_is_counted_before_a_gate_is_judged_again(host: Host) -> None:
    folder = run().folder
    lines = (folder / "trials.jsonl").read_text().splitlines(keepends=True)
    (folder / "trials.jsonl").write_text("".join(lines[:-1]))
    with pytest.raises(UsageError, match=r"trials/0152 was under way when the gate was killed, .* let the gate go on"):
        run(folder, again=True)


def test_two_do_not_go_on_with_one_gate_at_once(host: Host) -> None:
    """Both would run the same trials with the same seeds, and each would count twice."""
    folder = run().folder
    with (folder / "gate.json").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another command runs this gate"):
            run(folder)
    assert run(folder).decision.outcome == "GO"


def test_a_gate_does_not_go_on_with_another_environment(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials of two configurations would be counted as if they were of one."""
    folder = run().folder
    opened = open_experiment(EXPERIMENTS / "kill_gateway.yaml", 1)
    keep(opened.plans[0], opened.stack, opened.sources, (), folder / "trials/0005")
    assert run(folder).decision.outcome == "GO"
    monkeypatch.setenv("GATEWAY_TABLES", "unlogged")
    with pytest.raises(UsageError, match=r"variable GATEWAY_TABLES is set here, .* begin a new gate: holdfast gate"):
        run(folder)


def kept_counterexample(name: str) -> Plan:
    """A plan with its stack beside it, as a search keeps one."""
    folder = Path("counterexamples/lost-0003")
    folder.mkdir(parents=True)
    opened = open_experiment(EXPERIMENTS / name, 1)
    kept = keep(opened.plans[0], opened.stack, opened.sources, (), folder)
    write_plan(kept.into(folder, opened.plans[0]), folder / "plan.yaml")
    return opened.plans[0]


def asked_of_another_stack() -> Path:
    """The Compose file that a policy asks counterexamples of; it lies where it can be changed."""
    shutil.copytree(EXPERIMENTS.parent / "fixtures" / "minimal", "fixtures/minimal")
    shutil.copytree(EXPERIMENTS.parent / "fixtures" / "images", "fixtures/images")
    here = Path("fixtures/minimal/compose.yaml").absolute()
    kept = f"counterexamples: {{files: counterexamples, stack: {here}, variables: {{}}}}"
    Path("release.yaml").write_text(f"{WHOLE}{kept}\n")
    return here


def test_a_counterexample_that_carries_a_stack_of_its_own_is_said_not_to_ask_the_one_that_is_here(host: Host) -> None:
    kept_counterexample("kill_gateway.yaml")
    text = "\n".join(told(run()))
    assert (
        "not tested: counterexamples/lost-0003/plan.yaml: a counterexample that runs on the stack in its inputs" in text
    )


def test_a_counterexample_can_be_asked_of_the_stack_that_is_here(host: Host) -> None:
    plan, here = kept_counterexample("power_cut_fsync_off.yaml"), asked_of_another_stack()
    text = "\n".join(told(run()))
    [asked] = [each for each in host.trials.plans if each.experiment == plan.experiment]
    assert (asked.stack, dict(asked.variables), asked.inputs, asked.seed) == ((here,), {}, None, 1)
    assert asked.schedule == plan.schedule
    assert "in its inputs" not in text


def test_a_gate_does_not_go_on_when_the_stack_that_a_counterexample_is_asked_of_has_changed(host: Host) -> None:
    kept_counterexample("power_cut_fsync_off.yaml")
    here = asked_of_another_stack()
    folder = run().folder
    with here.open("a") as file:
        file.write("# edited\n")
    with pytest.raises(UsageError, match=r"fixtures/minimal/compose\.yaml changed since"):
        run(folder)


def test_a_counterexample_that_is_asked_of_two_stacks_is_refused_since_one_of_them_would_not_be_asked(
    host: Host,
) -> None:
    kept_counterexample("power_cut_fsync_off.yaml")
    here = asked_of_another_stack()
    both = f"counterexamples: [counterexamples, {{files: counterexamples, stack: {here}}}]"
    Path("release.yaml").write_text(f"{WHOLE}{both}\n")
    with pytest.raises(SourceError, match="is asked of two stacks"):
        run()
    Path("release.yaml").write_text(f"{WHOLE}counterexamples: [counterexamples, counterexamples/lost-0003]\n")
    assert run().decision.outcome == "GO", "named twice alike it is asked once"

"""What a gate runs, in which order, when it ends, and that it goes on where it was. No stack is started."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaos.errors import HarnessError
from chaos.experiment.loader import write_plan
from chaos.experiment.plan import Plan
from chaos.gate import campaign as module
from chaos.gate.campaign import TRIALS_FILE, Campaign, observed
from chaos.gate.counted import Counted, sensitivity_of
from chaos.gate.decide import decide
from chaos.gate.policy import Counterexample, Experiment, Policy, load_policy
from chaos.history.events import PLANTED, End, Event, Header, Note
from chaos.history.recorder import encode
from chaos.preflight.opening import Opened
from chaos.reporting import recall
from chaos.reporting.result import HISTORY_FILE, PLAN_FILE
from tests.unit.gate.simulated import RECORD, Simulated
from tests.unit.gate.test_policy import EXPERIMENTS, WHOLE
from tests.unit.reporting.samples import judged, result


@pytest.fixture(autouse=True)
def _no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "write_report", lambda result: None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Policy, dict[str, Opened]]:
    file = tmp_path_factory.mktemp("policy") / "release.yaml"
    file.write_text(WHOLE)
    policy, stacks = load_policy(file)
    return replace(
        policy, searches=(), counterexamples=(Counterexample(Experiment(EXPERIMENTS / "steady.yaml"), 2),)
    ), dict(stacks)


Gate = Callable[..., Campaign]


@pytest.fixture
def gate(whole: tuple[Policy, dict[str, Opened]], tmp_path: Path) -> Gate:
    def made(simulated: Simulated, **changes: Any) -> Campaign:
        clock = changes.pop("clock", lambda: 0.0)
        stacks = changes.pop("stacks", whole[1])
        return Campaign(replace(whole[0], **changes), stacks, tmp_path, 7, simulated, clock=clock)

    return made


def parts(trials: list[Counted]) -> list[tuple[str, str, int]]:
    """How many trials of each part, in the order in which they were run."""
    found: list[tuple[str, str, int]] = []
    for each in trials:
        if not found or found[-1][:2] != (each.part, Path(each.of).name):
            found.append((each.part, Path(each.of).name, 0))
        found[-1] = (*found[-1][:2], found[-1][2] + 1)
    return found


def test_counterexamples_come_first_then_planted_losses_then_each_stratum_to_its_bound(
    gate: Gate, whole: tuple[Policy, dict[str, Opened]]
) -> None:
    simulated = Simulated()
    run = gate(simulated)
    run.run()
    assert parts(run.trials) == [
        ("counterexample", "steady.yaml", 2),
        ("planted", "minimal", 30),
        ("stratum", "disk", 82),
        ("stratum", "process", 40),
    ]
    assert simulated.calls == [2, 30, 82, 40], "so that trials of a part share warm stack copies"
    assert decide(whole[0], run.trials).outcome == "GO"
    assert len({plan.seed for plan in simulated.plans}) > 140
    disk = [each.experiment for each in run.trials if each.of == "disk"]
    assert disk[:4] == ["power_cut", "disk_io_error"] * 2


def test_one_loss_ends_it_and_it_does_not_go_on(gate: Gate) -> None:
    seen: list[Plan] = []

    def says(plan: Plan) -> Any:
        if plan.plants_loss:
            return "VIOLATED"
        seen.append(plan)
        return "VIOLATED" if len(seen) == 5 else "HELD"

    run = gate(Simulated(says))
    run.run()
    assert parts(run.trials)[-1] == ("stratum", "disk", 3)
    again = gate(Simulated())
    again.run()
    assert again.trials == run.trials


def test_a_stack_that_loses_more_than_what_was_planted_ends_it_too(gate: Gate) -> None:
    simulated = Simulated()
    simulated.also_lost = ("u-01/ben-2",)
    run = gate(simulated)
    run.run()
    assert parts(run.trials)[-1] == ("planted", "minimal", 1)
    assert run.trials[-1].seen
    assert run.trials[-1].beside == "1 record beside the planted one, the first u-01/ben-2"


def test_a_planted_loss_that_the_trial_does_not_name_is_not_seen(gate: Gate) -> None:
    run = gate(Simulated(lambda plan: "HELD"))
    run.run()
    planted = [each for each in run.trials if each.part == "planted"]
    assert len(planted) == 30
    assert not any(each.seen for each in planted)


def test_nothing_is_planted_on_a_stack_that_does_not_say_how(
    gate: Gate, whole: tuple[Policy, dict[str, Opened]]
) -> None:
    opened = whole[1]["minimal"]
    run = gate(Simulated(), stacks={"minimal": replace(opened, stack=replace(opened.stack, planting=None))})
    run.run()
    assert [part for part, _, _ in parts(run.trials)] == ["counterexample", "stratum", "stratum"]
    assert any("no loss was planted" in each for each in decide(whole[0], run.trials).reasons)


def test_what_was_stopped_goes_on_where_it_was_with_the_same_seeds(gate: Gate, tmp_path: Path) -> None:
    once = gate(Simulated())
    once.run()
    (tmp_path / TRIALS_FILE).unlink()
    (tmp_path / "trials").rename(tmp_path / "before")
    stopped = Simulated()

    def stop() -> None:
        if len(stopped.plans) == 50:
            raise KeyboardInterrupt

    stopped.between = stop
    with pytest.raises(KeyboardInterrupt):
        gate(stopped).run()
    with (tmp_path / TRIALS_FILE).open("ab") as file:
        file.write(b'{"part": "str')  # it was killed while it wrote
    (tmp_path / "trials").rename(tmp_path / "first")
    rest = gate(Simulated())
    rest.run()
    assert [(each.of, each.number, each.seed) for each in rest.trials] == [
        (each.of, each.number, each.seed) for each in once.trials
    ]


def test_a_trial_that_crashes_is_counted_and_the_others_go_on(gate: Gate) -> None:
    seen: list[Plan] = []

    def says(plan: Plan) -> Any:
        seen.append(plan)
        return None if len(seen) == 40 else "VIOLATED" if plan.plants_loss else "HELD"

    run = gate(Simulated(says))
    run.run()
    (crashed,) = [each for each in run.trials if each.outcome == "crashed"]
    assert (crashed.part, crashed.why) == ("stratum", "no engine answers")
    assert sum(each.of == "disk" and each.outcome == "HELD" for each in run.trials) == 82


def test_a_trial_that_was_under_way_when_the_gate_was_stopped_counts_as_one_without_a_verdict(gate: Gate) -> None:
    """A trial that loses something may take longer; to leave it out would make the bound better than it is."""
    seen: list[Plan] = []

    def says(plan: Plan) -> Any:
        seen.append(plan)
        if len(seen) == 40:
            raise KeyboardInterrupt
        return "VIOLATED" if plan.plants_loss else "HELD"

    with pytest.raises(KeyboardInterrupt):
        gate(Simulated(says)).run()
    run = gate(Simulated())
    assert [(each.part, each.outcome, each.why) for each in run.trials[39:]] == [
        ("stratum", "crashed", "KeyboardInterrupt")
    ]


def test_three_crashes_in_a_row_end_it(gate: Gate) -> None:
    run = gate(Simulated(lambda plan: None))
    with pytest.raises(HarnessError, match="no engine answers"):
        run.run()
    assert [each.outcome for each in run.trials] == ["crashed"] * 3


def test_when_the_time_is_over_nothing_new_begins(gate: Gate) -> None:
    now = 0.0
    simulated = Simulated()

    def pass_time() -> None:
        nonlocal now
        now += 10.0

    simulated.between = pass_time
    run = gate(simulated, minutes=10, clock=lambda: now)
    run.run()
    assert len(run.trials) == 60


def test_a_line_that_cannot_be_kept_ends_it(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run goes on without a listener that fails; a gate would run the same trials for ever."""
    run = gate(Simulated())

    def full(line: Counted) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(run._lines, "add", full)
    with pytest.raises(OSError, match="no space"):
        run.run()


def observed_with_a_planted_loss(tmp_path: Path, *, planted: bool, **changes: Any) -> Counted:
    """The line of a VIOLATED trial in which a loss was to be planted, its judgement changed like this."""
    plan = replace(result("VIOLATED").plan, plants_loss=True)
    notes = [Note(PLANTED, 1, RECORD)] if planted else []
    lines: list[Event] = [Header("x", 1, "reject", "keyed"), *notes]
    text = b"".join(encode(each) for each in (*lines, End(t=2, events=len(lines))))
    (tmp_path / "trials").mkdir()
    (tmp_path / "trials" / HISTORY_FILE).write_bytes(text)
    found = judged()
    judgement = replace(found.judgement, verdict="VIOLATED", **changes)  # type: ignore[type-var]
    trial = replace(found, plan=plan, run_dir=tmp_path / "trials", judgement=judgement, reason="it does not serve")
    return observed("planted", "minimal", 1, trial, tmp_path)


def test_a_service_that_never_serves_again_is_a_loss_though_none_could_be_planted(tmp_path: Path) -> None:
    line = observed_with_a_planted_loss(tmp_path, planted=False, anomalies={"unrecoverable": 1}, records=())
    assert (line.planted, line.loses) == ("", True)


def test_what_a_strict_session_was_shown_is_a_loss_beside_the_planted_one(tmp_path: Path) -> None:
    (record,) = judged().judgement.records  # type: ignore[union-attr]
    other = replace(record, owner="u-01", record="ben-2", classes=("stale",))
    planted = replace(record, owner="u-00", record="ada-1", classes=("lost",))
    line = observed_with_a_planted_loss(
        tmp_path, planted=True, anomalies={"lost": 1, "stale": 1}, records=(planted, other)
    )
    assert line.beside == "1 record beside the planted one, the first u-01/ben-2"


def test_a_violation_that_is_not_the_planted_loss_is_a_loss_whatever_it_is(tmp_path: Path) -> None:
    line = observed_with_a_planted_loss(tmp_path, planted=True, anomalies={"hole": 1}, records=())
    assert (line.seen, line.beside) == (False, "it does not serve")


def test_a_trial_that_breaks_off_after_its_history_proved_a_loss_is_a_loss(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stack could not be cleared afterwards, which takes nothing back."""
    simulated = Simulated(lambda plan: None)
    monkeypatch.setattr(
        recall, "recall", lambda run_dir, faults: simulated.judged(simulated.plans[-1], "VIOLATED", run_dir)
    )
    run = gate(simulated)
    run.run()
    assert [(each.part, each.outcome) for each in run.trials] == [("counterexample", "VIOLATED")]


def test_a_loss_that_was_planted_before_the_trial_broke_off_was_not_seen(gate: Gate) -> None:
    simulated = Simulated(lambda plan: None)
    simulated.keeps = True
    run = gate(simulated, counterexamples=())
    with pytest.raises(HarnessError):
        run.run()
    assert [(each.outcome, each.planted, each.seen) for each in run.trials] == [("crashed", RECORD, False)] * 3
    assert sensitivity_of(run._policy, "minimal", run.trials).planted == 3


def test_a_trial_that_was_under_way_when_the_gate_was_killed_counts_as_one_without_a_verdict(
    gate: Gate, tmp_path: Path
) -> None:
    """Else a gate that is killed whenever a trial looks bad tries it until it looks good."""
    stopped = Simulated()

    def kill() -> None:
        if len(stopped.plans) == 50:
            raise KeyboardInterrupt

    stopped.between = kill
    with pytest.raises(KeyboardInterrupt):
        gate(stopped).run()
    rest = Simulated()
    rest.before = 100
    campaign = gate(rest)
    (disk,) = (each for each in campaign._groups() if each.of == "disk")
    for name in ("killed", "not_begun"):
        (tmp_path / "trials" / name).mkdir()
        write_plan(campaign._plan(disk, 19), tmp_path / "trials" / name / PLAN_FILE)
    (tmp_path / "trials/killed" / HISTORY_FILE).write_bytes(b"")
    campaign.run()
    (line, *_) = campaign.trials[50:]
    assert (line.part, line.of, line.number, line.outcome, line.folder) == (
        "stratum",
        "disk",
        19,
        "crashed",
        "trials/killed",
    )
    again = gate(Simulated())
    again.run()
    assert again.trials == campaign.trials
    numbers = [each.number for each in again.trials if each.of == "disk"]
    assert sorted(numbers) == [*range(1, len(numbers) + 1)]

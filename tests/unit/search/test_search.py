"""What a search tries, counts, keeps and goes on with; and that it makes a finding smaller. No stack is started."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from chaos.audit.predicted import Prediction
from chaos.errors import HarnessError, UsageError
from chaos.experiment.plan import Plan, ScheduledFault, Target, Trigger
from chaos.experiment.plan import Search as Promise
from chaos.reporting import recall
from chaos.reporting.progress.kept import KeptLines, alone
from chaos.reporting.result import TrialResult
from chaos.search import campaign, command, shrink
from chaos.search.campaign import Budget, Search, findings
from chaos.search.command import Wanted
from chaos.search.executors.copies import Copies
from chaos.search.results import TRIALS_FILE, Results
from chaos.search.shrink import Shrinking, kept_before
from chaos.search.strategies import Drawn, drawn_plans, examples
from chaos.search.telling import Searched, document, exit_code, told
from chaos.search.tried import Tried, unseen
from chaos.workload.generator import Action
from tests.unit.search.simulated import Said, Simulated, kept, minimal

HELD: Said = ("HELD", (), ["all is as it must be"])
LOST: Said = ("VIOLATED", (), ["3 of 9 records are lost"])


def searched(folder: Path, simulated: Simulated, budget: Budget, jobs: int = 2, first: Sequence[Drawn] = ()) -> Search:
    opened = minimal()
    inputs = folder / "begun"
    search = Search(opened, folder, kept(opened, inputs if not inputs.exists() else folder / "again"), budget, first)
    asyncio.run(search.run(simulated, jobs, lambda tried: None))
    return search


@pytest.fixture(autouse=True)
def _no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "write_report", lambda result: None)


def test_so_many_trials_are_run_and_each_is_another_schedule(tmp_path: Path) -> None:
    simulated = Simulated(lambda plan, actions: HELD)
    search = searched(tmp_path, simulated, Budget(30))
    assert [each.number for each in sorted(search.tried, key=lambda each: each.number)] == [*range(1, 31)]
    assert len({repr(plan.schedule) for plan in simulated.plans}) == 30
    assert search.covered > 100
    assert len((tmp_path / TRIALS_FILE).read_bytes().splitlines()) == 30


def test_of_a_trial_that_found_nothing_only_what_makes_it_again_is_kept(tmp_path: Path) -> None:
    said = iter([HELD, LOST])
    searched(tmp_path, Simulated(lambda plan, actions: next(said)), Budget(2), jobs=1)
    assert {path.name for path in (tmp_path / "trials/0001").iterdir()} == {"plan.yaml", "actions.jsonl", "result.json"}
    assert (tmp_path / "trials/0002/history.jsonl").exists()


def test_a_search_that_was_stopped_goes_on_with_other_draws(tmp_path: Path) -> None:
    first, then = (Simulated(lambda plan, actions: HELD) for _ in range(2))
    searched(tmp_path, first, Budget(7))
    with (tmp_path / TRIALS_FILE).open("ab") as file:
        file.write(b'{"number": 8, "dr')  # it was killed while it wrote
    search = searched(tmp_path, then, Budget(12))
    assert len(search.tried) == 12
    assert search.here == 5
    kept = [*KeptLines(tmp_path / TRIALS_FILE, Tried).read()]
    assert kept == search.tried, "what came after the half line is kept, too"
    assert not {repr(plan.schedule) for plan in first.plans} & {repr(plan.schedule) for plan in then.plans}


def test_a_trial_is_taken_once_however_often_it_is_delivered(tmp_path: Path) -> None:
    results = Results(tmp_path)
    first, again = (Tried(7, ("a x",), outcome, pairs=((outcome, "x"),)) for outcome in ("HELD", "VIOLATED"))
    assert results.take(first)
    assert not results.take(again)
    assert (results.tried, results.covered) == ([first], {("HELD", "x")})
    assert len((tmp_path / TRIALS_FILE).read_bytes().splitlines()) == 1

    KeptLines(tmp_path / TRIALS_FILE, Tried).add(again)  # by another session at the same time
    then = Results(tmp_path)
    assert (then.tried, then.covered, then.last) == ([first], {("HELD", "x")}, 7)


def test_what_is_expected_is_tried_first_and_once_whether_the_search_goes_on_with_it_or_not(tmp_path: Path) -> None:
    opened = minimal()
    expected = examples(drawn_plans(opened.plans[0], opened.stack), 3, 99)
    simulated = Simulated(lambda plan, actions: HELD)
    searched(tmp_path, simulated, Budget(5), jobs=1, first=expected)
    assert [each.schedule for each in simulated.plans[:3]] == [each.plan.schedule for each in expected]
    searched(tmp_path, simulated, Budget(9), jobs=1)
    shutil.rmtree(tmp_path / "again")
    search = searched(tmp_path, simulated, Budget(12), jobs=1, first=expected)
    assert len({each.schedule for each in search.tried}) == 12


@pytest.mark.parametrize(
    ("promise", "tried"),
    [
        (Promise(), 3),
        (Promise(("disk.*",)), 1),
        (Promise(("process.*", "san.lose")), 2),
        (Promise(("disk.*",), ("san.lose",)), 2),
    ],
)
def test_what_is_expected_and_not_promised_is_told_and_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, promise: Promise, tried: int
) -> None:
    opened = minimal()
    opened = replace(opened, plans=(replace(opened.plans[0], schedule=(), search=promise),))
    core, both = Target("array", "core"), Target("arrays", ("core", "media"))
    expected = (("disk.power_cut", core), ("san.lose", core), ("san.lose", both))
    faults = [ScheduledFault(name, target, Trigger(acknowledged=5)) for name, target in expected]
    found = SimpleNamespace(predictions=[Prediction((each,), 3, "u/a-1", "why") for each in faults])

    async def audited(*_: object, **__: object) -> SimpleNamespace:
        return found

    monkeypatch.setattr(command, "audited", audited)
    said: list[str] = []
    drawn = asyncio.run(command._expected(opened, tmp_path, sys.stdout, said.append, quiet=True))
    assert len(drawn) == tried
    assert len(said) == 3
    assert sum("not tried" in line for line in said) == 3 - tried


def test_nothing_new_is_tried_after_the_first_violation_where_one_is_enough(tmp_path: Path) -> None:
    said = iter([HELD, HELD, LOST, HELD])
    search = searched(tmp_path, Simulated(lambda plan, actions: next(said)), Budget(50, fail_fast=True), jobs=1)
    assert [each.outcome for each in search.tried] == ["HELD", "HELD", "VIOLATED"]
    assert [each.number for each in findings(search.tried)] == [3]


def test_a_crashed_trial_is_told_and_the_search_goes_on(tmp_path: Path) -> None:
    said = iter([HELD, None, None, HELD])
    search = searched(tmp_path, Simulated(lambda plan, actions: next(said)), Budget(4), jobs=1)
    assert [each.outcome for each in search.tried] == ["HELD", "crashed", "crashed", "HELD"]
    assert search.tried[1].why == "no engine answers"
    assert not search.tried[1].conclusive


def test_a_trial_that_breaks_off_after_its_history_proved_a_loss_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stack could not be cleared afterwards, which takes nothing back."""
    lost = Simulated(lambda plan, actions: LOST)

    class Uncleared(Simulated):
        async def trial(self, plan: Plan, folder: Path) -> TrialResult:
            found[folder] = await lost.trial(plan, folder)
            raise HarnessError("not everything could be removed")

    found: dict[Path, TrialResult] = {}
    monkeypatch.setattr(recall, "recall", lambda run_dir, faults: found[run_dir])
    search = searched(tmp_path, Uncleared(lambda plan, actions: None), Budget(9, fail_fast=True), jobs=1)
    assert [each.outcome for each in search.tried] == ["VIOLATED"]


def test_three_crashes_in_a_row_end_it_and_what_was_found_is_kept(tmp_path: Path) -> None:
    said = iter([LOST, None, None, None])
    with pytest.raises(HarnessError, match="no engine answers"):
        searched(tmp_path, Simulated(lambda plan, actions: next(said)), Budget(9), jobs=1)
    assert b'"VIOLATED"' in (tmp_path / TRIALS_FILE).read_bytes()


def test_a_fault_that_did_not_bite_is_struck_out_and_the_trial_counts_for_the_rest(tmp_path: Path) -> None:
    def says(plan: Plan, actions: Sequence[Action]) -> Said:
        idle = (0,) if len(plan.schedule) < 3 else (1,)
        return "INCONCLUSIVE", idle, [f"fault {i} did not bite" for i in idle]

    search = searched(tmp_path, Simulated(says), Budget(40))
    for each in search.tried:
        if len(each.schedule) == 1:  # nothing is left of it
            assert (each.outcome, each.conclusive, each.pairs) == ("INCONCLUSIVE", False, ())
        else:
            assert (each.outcome, each.conclusive, len(each.struck_out)) == ("HELD", True, 1)
            idle = each.schedule[each.struck_out[0]].partition(" ")[0]
            bitten = {text.partition(" ")[0] for i, text in enumerate(each.schedule) if i not in each.struck_out}
            assert (idle in {name for pair in each.pairs for name in pair}) == (idle in bitten)
    assert {len(each.schedule) for each in search.tried} == {1, 2, 3}


def test_a_trial_that_is_inconclusive_for_another_reason_too_does_not_count(tmp_path: Path) -> None:
    said: Said = ("INCONCLUSIVE", (0,), ["fault 0 did not bite", "3 of 40 doors could not be read"])
    search = searched(tmp_path, Simulated(lambda plan, actions: said), Budget(10))
    assert not any(each.conclusive for each in search.tried)
    assert search.covered == 0


def test_what_is_still_unseen_is_the_share_of_outcomes_that_came_once() -> None:
    def one(number: int, *schedule: str) -> Tried:
        return Tried(number, schedule, "HELD", conclusive=True)

    assert unseen([one(1, "a x")]) is None
    assert unseen([one(1, "a x"), one(2, "b x")]) == 1.0
    assert unseen([one(1, "a x"), one(2, "a y"), one(3, "b x"), one(4, "b z")]) == 0.0
    assert unseen([one(1, "a x"), one(2, "a y"), one(3, "b x"), one(4, "c z")]) == 0.5


def test_a_finding_becomes_a_counterexample_that_is_as_small_as_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost is a record where the database's disk loses power, whatever else happens, as long as somebody writes."""
    monkeypatch.setattr(shrink, "write_report", lambda result: None)
    monkeypatch.setattr(shrink, "recall", lambda folder, faults: None)

    def says(plan: Plan, actions: Sequence[Action]) -> Said:
        cut = any(each.fault == "disk.power_cut" and "core" in str(each.target) for each in plan.schedule)
        return LOST if cut and any(each.kind == "create" for each in actions) else HELD

    simulated = Simulated(says)
    search = searched(tmp_path, simulated, Budget(150, fail_fast=True), jobs=1)
    [finding] = findings(search.tried)
    opened = minimal()
    inputs = kept(opened, tmp_path / "more")
    folder = search.folder_of(finding.number)
    steps: list[str] = []
    found = asyncio.run(Shrinking(opened, inputs, simulated, finding, folder, 40).shrink(steps.append))
    assert len(found.schedule) == 1
    assert found.schedule[0].startswith("disk.power_cut")
    assert found.operations <= 2
    assert found.users == 1
    assert (found.came_again, found.measured, found.confirmed) == (5, 5, 3)
    assert found.executions <= 40
    assert kept_before(tmp_path, finding) == found
    files = {path.name for path in Path(found.folder).iterdir()}
    assert {
        "plan.yaml",
        "actions.jsonl",
        "result.json",
        "counterexample.json",
        f"test_lost_{finding.number:04d}.py",
    } <= files
    compile(next(Path(found.folder).glob("test_*.py")).read_text(), "test", "exec")
    assert steps[0] == "it came again 3 of 3 times"
    result = Searched(tmp_path, 5, search.tried, search.covered, [found], search.here, search.seconds)
    assert exit_code(result) == 1
    assert document(result)["verdict"] == "VIOLATED"
    assert any(line.startswith("lost: 1 fault, ") for line in told(result))


def test_a_finding_that_never_comes_again_stays_a_finding_as_it_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shrink, "write_report", lambda result: None)
    monkeypatch.setattr(shrink, "recall", lambda folder, faults: None)
    said = iter([HELD, LOST])
    simulated = Simulated(lambda plan, actions: next(said, HELD))
    search = searched(tmp_path, simulated, Budget(2), jobs=1)
    [finding] = findings(search.tried)
    opened = minimal()
    inputs = kept(opened, tmp_path / "more")
    shrinking = Shrinking(opened, inputs, simulated, finding, search.folder_of(2), 40)
    found = asyncio.run(shrinking.shrink(lambda line: None))
    assert (found.confirmed, found.came_again, found.measured, found.executions) == (0, 0, 0, 0)
    assert found.schedule == finding.schedule


def test_an_execution_that_crashes_is_run_again_and_counts_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shrink, "write_report", lambda result: None)
    monkeypatch.setattr(shrink, "recall", lambda folder, faults: None)
    said = iter([LOST, LOST, None, LOST, LOST])
    simulated = Simulated(lambda plan, actions: next(said, LOST))
    search = searched(tmp_path, simulated, Budget(1), jobs=1)
    opened = minimal()
    inputs = kept(opened, tmp_path / "more")
    [finding] = findings(search.tried)
    found = asyncio.run(Shrinking(opened, inputs, simulated, finding, search.folder_of(1), 2).shrink(lambda line: None))
    assert (found.confirmed, found.came_again) == (3, 5)
    simulated.says = lambda plan, actions: None
    with pytest.raises(HarnessError, match="no engine answers"):
        asyncio.run(Shrinking(opened, inputs, simulated, finding, search.folder_of(1), 2).shrink(print))


def test_two_do_not_go_on_with_one_search_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both would use the same numbers, and of two trials of one number the second is not taken."""

    def never(*given: object) -> None:
        raise AssertionError("a stack copy is made")

    monkeypatch.setattr(Copies, "open", never)
    wanted = Wanted(Budget(1), 1, 0, into=tmp_path)
    _, folder, _ = command._opened(Path("experiments/power_cut.yaml"), 5, wanted)
    with alone(folder / "begun" / "plan.yaml", "search"), pytest.raises(UsageError, match="another command runs this"):
        command.search_file(folder, None, wanted, sys.stdout, quiet=True)

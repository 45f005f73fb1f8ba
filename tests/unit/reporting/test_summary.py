"""Several trials in few lines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from chaos.experiment.plan import Verdict
from chaos.reporting.result import TrialResult
from chaos.reporting.summary import came_again, summary, verdict_line
from tests.unit.reporting.samples import plan, result


def of(file: str, verdict: Verdict, *, expect: Verdict = "HELD", seed: int = 1) -> TrialResult:
    return replace(result(verdict), plan=replace(plan(expect, seed), file=Path(file)))


def test_trials_of_one_file_are_summed_up_worst_first_with_their_seeds() -> None:
    assert summary([result(seed=1), result("VIOLATED", seed=2), result(seed=3)]) == [
        "3 trials, the worst VIOLATED",
        "    1 VIOLATED     seeds 2",
        "    2 HELD         seeds 1, 3",
    ]


def test_trials_of_several_files_are_summed_up_by_file_with_what_was_expected() -> None:
    results = [
        of("a.yaml", "HELD"),
        of("a.yaml", "INCONCLUSIVE", seed=2),
        of("far/b.yaml", "VIOLATED", expect="VIOLATED"),
        of("c.yaml", "HELD", expect="VIOLATED"),
    ]
    assert summary(results, by_file=True) == [
        "4 trials of 3 files, the worst VIOLATED",
        "  a.yaml        1 INCONCLUSIVE seeds 2  expected HELD",
        "  a.yaml        1 HELD         seeds 1",
        "  far/b.yaml    1 VIOLATED     seeds 1",
        "  c.yaml        1 HELD         seeds 1  expected VIOLATED",
    ]


def test_what_was_not_run_is_said() -> None:
    left_out = [replace(plan(seed=seed), file=Path(file)) for file, seed in (("a.yaml", 2), ("b.yaml", 1))]
    assert summary([of("a.yaml", "VIOLATED")], left_out, by_file=True) == [
        "3 trials of 2 files, the worst VIOLATED",
        "  a.yaml    1 VIOLATED     seeds 1  expected HELD",
        "  a.yaml    1 not run      seeds 2",
        "  b.yaml    1 not run      seeds 1",
    ]
    assert summary([result(seed=1)], left_out[:1])[2:] == ["    1 not run      seeds 2"]


def test_a_trial_on_one_line_names_its_file_and_what_was_expected() -> None:
    assert verdict_line(of("a.yaml", "INCONCLUSIVE", expect="VIOLATED")) == (
        "INCONCLUSIVE a.yaml · seed 1 · expected VIOLATED: san.lose did not bite · reports/runs/20261122-191512-4711"
    )


def test_of_a_plan_that_ran_again_is_told_how_often_it_was_violated_and_on_which_ios() -> None:
    def again(verdict: Verdict, same: str) -> TrialResult:
        found = result(verdict)
        fault = replace(found.faults[0], evidence={"same_io_as_before": same} if same else {})
        return replace(found, plan=replace(found.plan, inputs=Path("inputs.json")), faults=(fault,))

    assert came_again([again("VIOLATED", "yes"), again("HELD", "no, it was write 3"), again("VIOLATED", "yes")]) == [
        "  VIOLATED in 2 of 3 trials of this plan",
        "  faults at an I/O fell on the same one as before in 2 of 3 cases",
    ]
    assert came_again([again("HELD", ""), again("HELD", "")]) == ["  VIOLATED in 0 of 2 trials of this plan"]
    assert came_again([again("HELD", "")]) == []
    assert came_again([result(), result()]) == [], "an experiment is drawn anew for each trial"

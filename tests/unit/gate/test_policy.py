"""Policies as files: what is taken, and that all that is wrong is told at once, each with its place and a remedy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from chaos.errors import SourceError, UsageError
from chaos.experiment.loader import write_plan
from chaos.gate.policy import Counterexample, Experiment, Policy, load_policy
from chaos.preflight.opening import open_experiment

ROOT = Path(__file__).parents[3]
EXPERIMENTS = ROOT / "experiments"
WHOLE = f"""
policy: release
why: nothing that was acknowledged is lost
loss_probability_max: 0.05
confidence: 0.95
test: sequential
minutes: 240
strata:
  disk:
    experiments: [{EXPERIMENTS}/power_cut.yaml, {EXPERIMENTS}/disk_io_error.yaml]
    trials: 100
  process:
    experiments: {EXPERIMENTS}/kill_gateway.yaml
    trials: 50
    loss_probability_max: 0.1
searches:
  promised: {{experiment: {EXPERIMENTS}/search/minimal.yaml, trials: 20, minutes: 5}}
regression: {{recover_seconds_factor_max: 2}}
"""


def loaded(folder: Path, text: str = WHOLE) -> Policy:
    file = folder / "release.yaml"
    file.write_text(text)
    return load_policy(file)[0]


def problems(folder: Path, text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(SourceError) as caught:
        loaded(folder, text)
    return [(each.line, each.message, each.hint) for each in caught.value.problems]


def test_a_policy_names_strata_searches_and_what_is_asked_of_them(tmp_path: Path) -> None:
    policy = loaded(tmp_path)
    disk, process = policy.strata
    assert [each.file.name for each in disk.experiments] == ["power_cut.yaml", "disk_io_error.yaml"]
    assert (disk.trials, disk.loss_probability_max, disk.stack) == (100, 0.05, "minimal")
    assert (process.trials, process.loss_probability_max) == (50, 0.1)
    assert policy.searches[0].minutes == 5
    assert policy.test == "sequential"
    assert policy.planted == 30
    assert policy.inconclusive_share_max == 0.1
    assert policy.regression.recover_seconds_factor_max == 2
    assert [len(each) for each in policy.stacks.values()] == [3]


def test_everything_wrong_with_the_shape_is_told_at_once(tmp_path: Path) -> None:
    wrong = WHOLE.replace("sequential", "wald").replace("confidence: 0.95", "confidence: 95").replace("why", "because")
    found = problems(tmp_path, wrong)
    assert [line for line, _, _ in found] == [3, 5, 6]
    assert "unknown key 'because'" in found[0][1]
    assert "less than 1" in found[1][1]
    assert "exact" in found[2][2]


def test_everything_wrong_with_what_it_names_is_told_at_once(tmp_path: Path) -> None:
    text = (
        WHOLE.replace("trials: 100", "trials: 40")
        .replace("kill_gateway.yaml", "power_cut_fsync_off.yaml")
        .replace("disk_io_error", "no_such_file")
        .replace("search/minimal", "no_search_either")
    )
    found = problems(tmp_path, text)
    assert len(found) == 4
    told = " ".join(message for _, message, _ in found)
    assert "40 trials cannot bound a loss at 0.05" in told
    assert "power_cut_fsync_off.yaml expects VIOLATED" in told
    assert told.count("no such file") == 2
    assert next(hint for _, message, hint in found if "40 trials" in message).startswith("82 can")


def test_a_stratum_has_one_stack(tmp_path: Path) -> None:
    (only,) = problems(tmp_path, WHOLE.replace("disk_io_error", "redis/power_cut"))
    assert only[0] == 10
    assert "another stack" in only[1]


def test_an_experiment_that_shows_a_bug_can_be_asked_of_the_stack_without_it(tmp_path: Path) -> None:
    text = WHOLE.replace("kill_gateway.yaml", "power_cut_fsync_off.yaml\n    variables: {}")
    policy = loaded(tmp_path, text)
    assert policy.strata[1].experiments[0].plan(1).variables == {}
    assert policy.strata[1].stack == policy.strata[0].stack


def test_an_image_is_given_to_every_stack_that_has_the_service_and_to_no_other(tmp_path: Path) -> None:
    file, redis = tmp_path / "release.yaml", f"{EXPERIMENTS}/redis/power_cut.yaml"
    file.write_text(WHOLE.replace("searches:", f"  redis: {{experiments: {redis}, trials: 90}}\nsearches:"))
    policy, stacks = load_policy(file, {"gateway": "gateway:2"})
    assert stacks["minimal"].stack.services["gateway"].image == "gateway:2"
    assert [each.experiments[0].plan(1).images for each in policy.strata] == [{"gateway": "gateway:2"}] * 2 + [{}]
    assert policy.searches[0].experiment.images == {"gateway": "gateway:2"}
    with pytest.raises(UsageError, match=r"no stack of .*release\.yaml has a service gatewy"):
        load_policy(file, {"gatewy": "gateway:2"})


def test_experiments_can_be_asked_of_another_stack_that_they_then_share(tmp_path: Path) -> None:
    files = [ROOT / "fixtures/minimal/compose.yaml", ROOT / "fixtures/minimal/carrier.yaml"]
    named = f"stack: [{files[0]}, {files[1]}]"
    text = WHOLE.replace("    trials: 100", f"    {named}\n    trials: 100").replace(
        "    trials: 50", f"    {named}\n    trials: 50"
    )
    policy = loaded(tmp_path, text)
    assert [each.stack for each in policy.strata] == ["minimal", "minimal"]
    assert policy.strata[0].experiments[0].plan(1).stack == tuple(files)


def test_a_stack_with_other_settings_is_another_stack(tmp_path: Path) -> None:
    text = WHOLE.replace("kill_gateway.yaml", "kill_gateway.yaml\n    variables: {PG_FSYNC: 'on'}")
    assert [each.stack for each in loaded(tmp_path, text).strata] == ["minimal", "minimal-2"]


def test_each_trial_of_an_experiment_is_drawn_from_its_seed(tmp_path: Path) -> None:
    experiment = loaded(tmp_path).strata[0].experiments[0]
    assert experiment.plan(7) == experiment.plan(7) != experiment.plan(8)


def test_counterexamples_beside_the_policy_are_found_without_being_named(tmp_path: Path) -> None:
    kept = tmp_path / "counterexamples" / "first"
    kept.mkdir(parents=True)
    text = (EXPERIMENTS / "power_cut.yaml").read_text()
    (kept / "kept.yaml").write_text(text.replace("../fixtures", str(ROOT / "fixtures")))
    shutil.copy(ROOT / "fixtures/minimal/compose.yaml", kept / "compose.yaml")
    assert loaded(tmp_path).counterexamples == (Counterexample(Experiment(kept / "kept.yaml"), 1),)
    for came_again, times in ((5, 1), (2, 6), (0, 10)):
        (kept / "counterexample.json").write_text(f'{{"came_again": {came_again}, "measured": 5}}')
        assert loaded(tmp_path).counterexamples[0].times == times
    assert loaded(tmp_path, f"{WHOLE}counterexamples: []\n").counterexamples == ()


def test_a_counterexample_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    (only,) = problems(tmp_path, f"{WHOLE}counterexamples: [gone.yaml]\n")
    assert "no such file" in only[1]


def test_each_stratum_asks_for_the_mix_as_it_says_whatever_another_one_of_the_same_experiment_says(
    tmp_path: Path,
) -> None:
    text = WHOLE.replace("power_cut.yaml", "kill_gateway.yaml").replace(
        "    trials: 100", "    trials: 100\n    require_mix: false"
    )
    disk, process = loaded(tmp_path, text).strata
    assert disk.experiments[0].file == process.experiments[0].file
    assert [each.experiments[0].plan(1).checks.require_mix for each in (disk, process)] == [False, True]


def test_a_plan_is_no_experiment_of_a_stratum_since_each_of_its_trials_would_be_the_same_draw(tmp_path: Path) -> None:
    [plan] = open_experiment(EXPERIMENTS / "kill_gateway.yaml", 7).plans
    write_plan(plan, tmp_path / "plan.yaml")
    ((line, message, hint),) = problems(tmp_path, WHOLE.replace(f"{EXPERIMENTS}/kill_gateway.yaml", "plan.yaml"))
    assert "is a plan, so all of its trials would be the same draw" in message
    assert "counterexamples" in hint
    assert line == 13


def test_of_a_folder_of_counterexamples_what_is_unfinished_is_told_and_what_is_hidden_is_left_out(
    tmp_path: Path,
) -> None:
    for name in ("first", ".lost-0003"):
        (tmp_path / "counterexamples" / name).mkdir(parents=True)
        (tmp_path / "counterexamples" / name / "kept.yaml").write_text("experiment: kept\nschedule: []\n")
    (only,) = problems(tmp_path, WHOLE)
    assert "stack" in only[1]

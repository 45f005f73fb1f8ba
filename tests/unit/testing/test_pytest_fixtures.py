"""Tests that people write: fixtures for a trial, properties, needs, trials that are tried again or left."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from chaos.errors import Terminated
from chaos.experiment.plan import Target, Trigger
from tests.unit.testing.fakes import Trials

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[3]
STEADY = f"""\
experiment: steady
stack: {ROOT}/fixtures/minimal/compose.yaml
workload: {{users: 3, operations: 100}}
search: {{faults: [process.kill]}}
"""


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester) -> Trials:
    """An experiment that is really opened, on a stack that is never started."""
    fakes = Trials()
    fakes.stand_in(monkeypatch, opens_for_real=True)
    pytester.mkdir("experiments")
    pytester.path.joinpath("steady.yml.txt").write_text(STEADY)
    return fakes


def ran(pytester: pytest.Pytester, body: str, *arguments: str) -> pytest.RunResult:
    pytester.makepyfile("import chaos, pytest\nfrom chaos import plans\n" + textwrap.dedent(body))
    return pytester.runpytest_inprocess(*arguments)


CUT = """
    def test_a_power_cut_loses_nothing(stack, devices, faults, history):
        stack.of("steady.yml.txt", seed=7)
        devices.work(users=5, operations=200)
        faults.strike("disk.power_cut", {"array": "core"}, at={"acknowledged": 100})
        history.record()
"""


def test_a_test_says_what_its_trial_is_and_has_it_run(trials: Trials, pytester: pytest.Pytester) -> None:
    ran(pytester, CUT).assert_outcomes(passed=1)

    [plan] = trials.plans
    assert (plan.experiment, plan.seed, plan.expect) == ("steady", 7, "HELD")
    assert (plan.workload.users, plan.workload.operations, plan.workload.devices_per_user) == (5, 200, 2)
    [fault] = plan.schedule
    assert (fault.fault, fault.target, fault.at) == (
        "disk.power_cut",
        Target("array", "core"),
        Trigger(acknowledged=100),
    )
    assert "ready_seconds_max" not in plan.limits.stated, "limits that nobody stated may grow"


@pytest.mark.parametrize("verdict", ["VIOLATED", "INCONCLUSIVE"])
def test_another_verdict_fails_the_test_with_the_block_and_no_traceback(
    trials: Trials, pytester: pytest.Pytester, verdict: str
) -> None:
    trials.verdicts = [verdict]  # type: ignore[list-item]
    run = ran(pytester, CUT, "--junitxml=junit.xml")

    run.assert_outcomes(failed=1)
    run.stdout.fnmatch_lines([f"{verdict}*", "*again:  holdfast run reports/runs/20261122-191512-7/plan.yaml"])
    run.stdout.no_fnmatch_line("*history.record()*")
    junit = pytester.path.joinpath("junit.xml").read_text()
    assert f'<property name="verdict" value="{verdict}"' in junit
    assert '<property name="run_dir" value="reports/runs/20261122-191512-7"' in junit


def test_an_assertion_of_the_tests_own_is_shown_with_the_block_of_its_last_trial(
    trials: Trials, pytester: pytest.Pytester
) -> None:
    trials.verdicts = ["VIOLATED"]
    run = ran(
        pytester,
        """
        def test_x(stack, history):
            stack.of("steady.yml.txt")
            assert history.record(expect=None).verdict != "VIOLATED", "my own words"
        def test_without_a_trial():
            assert False
        """,
    )
    run.assert_outcomes(failed=2)
    run.stdout.fnmatch_lines(["*my own words*", "*the last trial of this test*", "VIOLATED*", "*again:  holdfast run*"])
    assert run.stdout.str().count("the last trial of this test") == 1


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("devices.work(user=5)", "a workload has no 'user'; did you mean users?"),
        ('devices.work(users="many")', "*users*"),
        ('faults.strike("disk.powr_cut", {"array": "core"}, at={"seconds": 1})', "*did you mean disk.power_cut?*"),
        ('faults.strike("disk.power_cut", {"array": "cor"}, at={"seconds": 1})', "*the stack has no array 'cor'*"),
        ('faults.strike("disk.power_cut", {}, at={"seconds": 1})', "*a target has one key*"),
        ('faults.strike("disk.power_cut", {"array": "core"}, at={"second": 1})', "*a trigger is one of seconds,*"),
        ("history.read()", "*nothing was recorded; call history.record() first"),
    ],
)
def test_what_is_wrong_is_told_before_anything_runs(
    trials: Trials, pytester: pytest.Pytester, said: str, told: str
) -> None:
    run = ran(
        pytester,
        f"""
        def test_x(stack, devices, faults, history):
            stack.of("steady.yml.txt")
            {said}
            history.record()
        """,
    )
    run.assert_outcomes(failed=1)
    run.stdout.fnmatch_lines([f"E *{told}*"])
    assert trials.plans == []


def test_sigterm_within_a_trial_of_a_test_ends_the_session_with_143(trials: Trials, pytester: pytest.Pytester) -> None:
    trials.breaks = Terminated()
    assert ran(pytester, CUT).ret == 143


def test_a_trial_without_an_experiment_says_how_to_name_one(trials: Trials, pytester: pytest.Pytester) -> None:
    run = ran(pytester, "def test_x(history): history.record()")
    run.stdout.fnmatch_lines(['E *no experiment is named; begin with stack.of("FILE")'])


def test_what_a_test_said_is_forgotten_with_each_trial_so_that_hypothesis_can_draw_it(
    trials: Trials, pytester: pytest.Pytester
) -> None:
    run = ran(
        pytester,
        """
        from hypothesis import given, strategies as st

        @plans.trials(3)
        @given(at=st.integers(20, 80))
        def test_no_power_cut_loses_a_record(stack, devices, faults, history, at):
            stack.of("steady.yml.txt")
            faults.strike("disk.power_cut", {"array": "core"}, at={"acknowledged": at})
            history.record()
        """,
        "-p",
        "no:cacheprovider",
    )
    run.assert_outcomes(passed=1)
    assert len(trials.plans) == 3
    assert [len(plan.schedule) for plan in trials.plans] == [1, 1, 1]
    assert len({plan.schedule[0].at for plan in trials.plans}) > 1


PROPERTY = """
    @chaos.property("steady.yml.txt", trials=4)
    def test_no_drawn_schedule_loses_a_record(trial, tmp_path):
        assert trial.verdict == "HELD"
"""


def test_a_property_draws_trials_and_a_loss_fails_it_with_the_block(trials: Trials, pytester: pytest.Pytester) -> None:
    ran(pytester, PROPERTY).assert_outcomes(passed=1)
    assert len(trials.plans) == 4
    assert {fault.fault for plan in trials.plans for fault in plan.schedule} == {"process.kill"}
    assert all(plan.actions is not None for plan in trials.plans)

    trials.verdict = "VIOLATED"
    run = ran(pytester, PROPERTY)
    run.assert_outcomes(failed=1)
    run.stdout.fnmatch_lines(["VIOLATED*", "*again:  holdfast run *"])
    run.stdout.no_fnmatch_line("*UnexpectedVerdictError*")


def test_a_property_shows_its_own_assertion_too(trials: Trials, pytester: pytest.Pytester) -> None:
    trials.verdict = "INCONCLUSIVE"
    run = ran(pytester, PROPERTY)
    run.assert_outcomes(failed=1)
    run.stdout.fnmatch_lines(["*assert*'INCONCLUSIVE' == 'HELD'*", "*the last trial of this test*"])


def test_a_property_of_which_no_trial_proves_anything_is_not_green(trials: Trials, pytester: pytest.Pytester) -> None:
    lenient = PROPERTY.replace('assert trial.verdict == "HELD"', "pass")
    trials.verdict = "INCONCLUSIVE"
    run = ran(pytester, lenient)
    run.assert_outcomes(failed=1)
    run.stdout.fnmatch_lines(["none of the 4 trials that were drawn is HELD; the last of them:", "*INCONCLUSIVE*"])

    trials.verdicts = ["INCONCLUSIVE", "HELD"]
    ran(pytester, lenient).assert_outcomes(passed=1)


def test_an_image_that_is_given_is_in_every_trial(trials: Trials, pytester: pytest.Pytester) -> None:
    (pytester.path / "experiments" / "steady.yaml").write_text(STEADY)
    pytester.makepyfile(test_property="import chaos\n" + textwrap.dedent(PROPERTY))
    ran(pytester, CUT, "--holdfast-image=db=postgres:17", ".").assert_outcomes(passed=3)

    assert len(trials.plans) == 6
    assert all(plan.images == {"db": "postgres:17"} for plan in trials.plans)


def test_a_wrong_option_is_told_and_nothing_is_run(trials: Trials, pytester: pytest.Pytester) -> None:
    for wrong, told in {
        "--holdfast-image=postgres:17": "*--holdfast-image: 'postgres:17' is no image of a service; write SERVICE=REF*",
        "--holdfast-retries=-1": "*--holdfast-retries is 0 or more; seen: -1*",
        "--holdfast-keep=-2": "*--holdfast-keep is 0 or more; seen: -2.0*",
    }.items():
        run = ran(pytester, CUT, wrong)
        assert run.ret == pytest.ExitCode.USAGE_ERROR
        run.stderr.fnmatch_lines([told])
    assert trials.plans == []


def test_an_inconclusive_trial_is_tried_again_as_often_as_it_may_be_and_that_is_told(
    trials: Trials, pytester: pytest.Pytester
) -> None:
    (pytester.path / "experiments" / "steady.yaml").write_text(STEADY)
    trials.verdicts = ["INCONCLUSIVE", "INCONCLUSIVE", "HELD"]
    run = pytester.runpytest_inprocess("experiments", "--holdfast-retries=2")

    run.assert_outcomes(passed=1)
    assert len({plan.seed for plan in trials.plans}) == 1
    assert len(trials.plans) == 3
    line = "experiments/steady.yaml::steady was INCONCLUSIVE and was tried again: san.lose did not bite"
    run.stdout.fnmatch_lines(["*= holdfast =*", line, line])


def test_a_trial_that_was_tried_again_is_told_though_the_next_one_broke_off(
    trials: Trials, pytester: pytest.Pytester
) -> None:
    (pytester.path / "experiments" / "steady.yaml").write_text(STEADY)
    trials.verdicts = ["INCONCLUSIVE"]
    trials.breaks_from = 2
    run = pytester.runpytest_inprocess("experiments", "--holdfast-retries=2")

    run.assert_outcomes(errors=1)
    run.stdout.fnmatch_lines(
        ["*= holdfast =*", "experiments/steady.yaml::steady was INCONCLUSIVE and was tried again: *"]
    )


@pytest.mark.parametrize(
    ("verdicts", "retries", "trials_run"),
    [
        (["INCONCLUSIVE"], 0, 1),
        (["VIOLATED"], 3, 1),
        (["INCONCLUSIVE", "VIOLATED"], 3, 2),
        (["INCONCLUSIVE"] * 3, 2, 3),
    ],
)
def test_no_other_verdict_is_tried_again_and_not_for_ever(
    trials: Trials, pytester: pytest.Pytester, verdicts: list[str], retries: int, trials_run: int
) -> None:
    trials.verdicts = verdicts  # type: ignore[assignment]
    ran(pytester, CUT, f"--holdfast-retries={retries}").assert_outcomes(failed=1)
    assert len(trials.plans) == trials_run


def test_an_inconclusive_trial_that_is_expected_is_not_tried_again(trials: Trials, pytester: pytest.Pytester) -> None:
    trials.verdicts = ["INCONCLUSIVE"]
    ran(pytester, CUT.replace("record()", 'record(expect="INCONCLUSIVE")'), "--holdfast-retries=2").assert_outcomes(
        passed=1
    )
    assert len(trials.plans) == 1


def test_the_stack_of_a_failed_trial_is_left_and_how_to_look_at_it_is_told(
    trials: Trials, pytester: pytest.Pytester
) -> None:
    trials.verdicts = ["VIOLATED"]
    run = ran(pytester, CUT, "--holdfast-keep=15")
    run.stdout.fnmatch_lines(["*= holdfast =*", "*::test_a_power_cut_loses_nothing: the stack runs on for 900 s"])

    ran(pytester, CUT, "--holdfast-keep=15").stdout.no_fnmatch_line("*runs on*")


NEEDS = """
    @pytest.mark.holdfast_needs("san.lose", "loop")
    def test_x(): pass
"""


def test_a_test_says_what_the_host_must_be_able_to(
    trials: Trials, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran(pytester, NEEDS, "--strict-markers").assert_outcomes(passed=1)

    trials.missing = ("loop",)
    run = ran(pytester, NEEDS, "-rs")
    run.assert_outcomes(skipped=1)
    run.stdout.fnmatch_lines(["*this host cannot run it: loop: no loop device (modprobe loop)*"])
    monkeypatch.setenv("HOLDFAST_REQUIRED", "1")
    ran(pytester, NEEDS).assert_outcomes(errors=1)


def test_a_need_that_nobody_knows_is_an_error(trials: Trials, pytester: pytest.Pytester) -> None:
    run = ran(pytester, NEEDS.replace("san.lose", "san.loose"))
    run.assert_outcomes(errors=1)
    run.stdout.fnmatch_lines(["*san.loose: neither a fault nor a line of `holdfast doctor`; the lines are loop*"])


def test_under_xdist_each_worker_runs_trials_of_its_own_and_what_they_tell_arrives(
    trials: Trials, pytester: pytest.Pytester
) -> None:
    for name in ("one", "two", "three", "four"):
        (pytester.path / "experiments" / f"{name}.yaml").write_text(STEADY.replace("steady", name))
    pytester.makeconftest(
        f"""
        import sys
        sys.path.insert(0, {str(ROOT)!r})
        import pytest
        from tests.unit.testing.fakes import Trials

        @pytest.hookimpl(tryfirst=True)
        def pytest_sessionstart(session):
            fakes = Trials()
            fakes.verdict = "INCONCLUSIVE"
            fakes.stand_in(pytest.MonkeyPatch(), opens_for_real=True)
        """
    )
    run = pytester.runpytest_subprocess("experiments", "-n", "2", "--holdfast-retries=1", "--junitxml=junit.xml")

    run.assert_outcomes(failed=4)
    run.stdout.fnmatch_lines_random(
        [f"experiments/{name}.yaml::{name} was INCONCLUSIVE and was tried again: *" for name in ("one", "two", "three")]
    )
    assert pytester.path.joinpath("junit.xml").read_text().count('name="tried again"') == 4

"""GO, NO-GO or no decision; and that a GO is wrong no more often than the policy says."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from chaos.gate import counted
from chaos.gate.counted import Counted, bound_of, trials_left
from chaos.gate.decide import EXIT_CODES, Decision, decide
from chaos.gate.policy import Counterexample, Experiment, Policy
from chaos.gate.statistics import sensitivity_limit, upper_limit
from tests.unit.gate.samples import SEARCH, STACK, held, planted, policy, trials


def test_bounds_that_are_reached_are_a_go() -> None:
    decision = decide(policy(), [*planted(), *held(60)])
    assert decision.outcome == "GO"
    assert decision.reasons == (
        "disk: a trial loses an acknowledged record with at most 6.8 %, by 60 clean trials; at most 10 % wanted",
    )


@pytest.mark.parametrize(
    "loss",
    [
        Counted("stratum", "disk", 61, 7, "VIOLATED", "1 record is lost"),
        Counted("counterexample", "kept.yaml", 1, 7, "VIOLATED", "1 record is lost"),
        Counted("search", "promised", 1, 7, "VIOLATED", "1 record is lost"),
        Counted("planted", STACK, 31, 7, "VIOLATED", planted="u/r", seen=True, beside="1 record is lost"),
    ],
    ids=lambda loss: loss.part,
)
def test_one_loss_anywhere_is_a_no_go(loss: Counted) -> None:
    decision = decide(policy(), [*planted(), *held(20), loss])
    assert decision.outcome == "NO-GO"
    assert len(decision.reasons) == 1, "and not what is missing since it ended"
    seed = "" if loss.part == "search" else ", seed 7"
    assert decision.reasons[0].endswith(f"trial {loss.number}{seed}: 1 record is lost")


def test_a_planted_loss_that_is_seen_is_no_loss_of_the_service() -> None:
    assert decide(policy(), [*planted(), *held(60)]).outcome == "GO"


def test_without_a_planted_loss_there_is_no_go() -> None:
    decision = decide(policy(), held(60))
    assert decision.outcome == "NO DECISION"
    assert "no loss was planted on the stack minimal" in decision.reasons[0]


def test_fewer_planted_losses_than_wanted_are_no_go() -> None:
    assert "29 of 30 losses were planted" in decide(policy(), [*planted(29, 29), *held(60)]).reasons[0]


def test_too_few_clean_trials_are_no_go_and_the_number_that_would_do_is_told() -> None:
    decision = decide(policy(), [*planted(), *held(39)])
    assert decision.outcome == "NO DECISION"
    assert decision.reasons == ("disk: 39 clean trials bound a loss at 10.3 %, at most 10 % wanted: 40 can do that",)


def test_what_is_seen_half_of_the_time_needs_more_trials() -> None:
    assert decide(policy(), [*planted(15), *held(60)]).outcome == "NO DECISION"


@pytest.mark.parametrize("outcome", ["INCONCLUSIVE", "crashed"])
def test_more_than_a_tenth_inconclusive_in_a_stratum_is_no_decision(
    outcome: Literal["INCONCLUSIVE", "crashed"],
) -> None:
    fits = [*planted(), *held(54), *trials([outcome] * 6)]
    assert decide(policy(), fits).outcome == "GO"
    more = decide(policy(), [*fits, *trials([outcome])])
    assert more.outcome == "NO DECISION"
    assert more.reasons == ("disk: 7 of 61 trials are inconclusive, at most 10 % wanted",)


def test_every_stratum_must_reach_its_bound() -> None:
    decision = decide(policy("disk", "process"), [*planted(), *held(60), *held(20, "process")])
    assert decision.outcome == "NO DECISION"
    assert [each.split(":")[0] for each in decision.reasons] == ["process"]


def test_a_search_bounds_nothing_and_must_have_had_a_trial_that_counts() -> None:
    asked = policy(searches=(SEARCH,))
    found = [Counted("search", "promised", i, 1, "HELD") for i in range(500)]
    assert decide(asked, [*planted(), *held(60), *found]).outcome == "GO"
    assert decide(asked, [*planted(), *held(60)]).reasons == ("the search promised has no trial that counts",)
    assert decide(asked, [*planted(), *held(39), *found]).outcome == "NO DECISION"


def test_every_counterexample_must_be_held() -> None:
    asked = policy(
        counterexamples=(Counterexample(Experiment(Path("a.yaml")), 1), Counterexample(Experiment(Path("b.yaml")), 2))
    )
    lines = [*planted(), *held(60), Counted("counterexample", "a.yaml", 1, 1, "HELD")]
    unsure, sure = (Counted("counterexample", "b.yaml", 1, 1, each) for each in ("INCONCLUSIVE", "HELD"))
    assert decide(asked, [*lines, sure, unsure]).reasons == ("the counterexample b.yaml was HELD 1 of 2 times",)
    assert decide(asked, [*lines, sure, sure]).outcome == "GO"


def test_trials_of_different_images_decide_nothing() -> None:
    lines = [*planted(), *held(60)]
    lines[0] = replace(lines[0], images={"db": "sha256:a"})
    assert decide(policy(), [*lines[:-1], replace(lines[-1], images={"db": "sha256:a"})]).outcome == "GO"
    decision = decide(policy(), [*lines[:-1], replace(lines[-1], images={"db": "sha256:b"})])
    assert decision.reasons == ("minimal: 2 different images of db ran in one gate; begin a new one",)


def test_a_regression_is_a_no_go() -> None:
    assert decide(policy(), [*planted(), *held(60)], ["recovery takes twice as long"]).outcome == "NO-GO"


def test_each_outcome_has_the_exit_code_of_the_verdict_that_it_is_like() -> None:
    assert EXIT_CODES == {"GO": 0, "NO-GO": 1, "NO DECISION": 2}


def test_an_exact_test_runs_all_its_trials_and_a_sequential_one_stops_at_the_bound() -> None:
    lines = [*planted(), *held(10)]
    (stratum,) = policy().strata
    assert trials_left(policy(), bound_of(policy(), stratum, lines)) == 50
    early = policy(test="sequential")
    assert trials_left(early, bound_of(early, stratum, lines)) == 30
    assert trials_left(early, bound_of(early, stratum, [*planted(), *held(40)])) == 0
    assert trials_left(early, bound_of(early, stratum, [*planted(20), *held(10)])) == 50, "the budget is the end of it"
    assert trials_left(policy(), bound_of(policy(), stratum, [*lines, *trials(["VIOLATED"])])) == 0


def gate(asked: Policy, draw: random.Random, losses: dict[str, float], sensitivity: float) -> Decision:
    """One gate of a stack that loses in so many trials of each stratum, and where so many losses are seen."""
    seen = sum(draw.random() < sensitivity for _ in range(asked.planted))
    lines = planted(seen, asked.planted)
    for stratum in asked.strata:
        shown = losses[stratum.name] * sensitivity
        while left := trials_left(asked, bound_of(asked, stratum, lines)):
            for _ in range(left):
                unsure = draw.random() < 0.04
                loses = draw.random() < shown
                outcome: Literal["HELD", "VIOLATED", "INCONCLUSIVE"]
                outcome = "VIOLATED" if loses else "INCONCLUSIVE" if unsure else "HELD"
                lines += trials([outcome], stratum.name)
                if loses:
                    return decide(asked, lines)
    return decide(asked, lines)


def wrong_gos(test: Literal["exact", "sequential"], sensitivity: float) -> tuple[Policy, int]:
    """Of 1,000 gates of a stack that loses just more often than the policy allows, those that say GO."""
    asked = policy("process", "disk", test=test)
    trials_max = 43 if test == "exact" else 80  # so few that most gates that lose nothing reach the bound
    asked = replace(asked, strata=tuple(replace(each, trials=trials_max) for each in asked.strata))
    draw = random.Random(f"{test} {sensitivity}")
    bad = {"disk": 0.0, "process": 0.1000001}
    return asked, sum(gate(asked, draw, bad, sensitivity).outcome == "GO" for _ in range(1000))


@pytest.mark.parametrize("test", ["exact", "sequential"])
@pytest.mark.parametrize("sensitivity", [1.0, 0.8])
def test_of_a_thousand_gates_no_more_give_a_wrong_go_than_the_policy_says(
    test: Literal["exact", "sequential"], sensitivity: float
) -> None:
    assert wrong_gos(test, sensitivity)[1] <= 50


def test_gates_of_a_stack_that_loses_nothing_say_go() -> None:
    asked, draw = policy("disk", "process", test="sequential"), random.Random(1)
    none = {"disk": 0.0, "process": 0.0}
    assert sum(gate(asked, draw, none, 1.0).outcome == "GO" for _ in range(100)) > 90


@pytest.mark.parametrize("mistake", ["not divided", "half of the bound"])
def test_a_mistake_in_the_bound_gives_more_wrong_gos_than_that(monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    factor = 1.0 if mistake == "not divided" else 0.5

    def limit(clean: int, sensitivity: float, confidence: float) -> float:
        return upper_limit(0, clean, confidence) * factor

    monkeypatch.setattr(counted, "loss_limit", limit)
    monkeypatch.setattr(
        counted, "trials_needed", lambda most, *rest: next(n for n in range(999) if limit(n, 1.0, 0.95) <= most)
    )
    assert wrong_gos("sequential", 0.7)[1] > 50


def test_a_stratum_whose_own_experiments_hide_losses_is_not_bounded_by_what_others_show() -> None:
    asked = policy("disk", "process")
    hidden = [replace(each, seen=each.number % 2 == 1) for each in planted()]  # experiments take turns
    disk, process = (bound_of(asked, each, [*hidden, *held(60), *held(60, "process")]) for each in asked.strata)
    assert disk.sensitivity.limit == sensitivity_limit(15, 30, 0.95)
    assert process.sensitivity.limit == 0
    assert process.limit == 1
    few = [replace(each, seen=each.number not in (2, 4)) for each in planted()]
    (_, process) = (bound_of(asked, each, few) for each in asked.strata)
    assert process.sensitivity.limit == sensitivity_limit(13, 15, 0.95) < sensitivity_limit(28, 30, 0.95)

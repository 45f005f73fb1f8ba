"""What is drawn can be run, follows from its seed, and keeps to what may be drawn."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.errors import UsageError
from chaos.experiment.loader import load_plan, write_plan
from chaos.experiment.plan import Plan, ScheduledFault, Search, Target, Trigger
from chaos.faults import catalogue, known_faults
from chaos.preflight.opening import open_experiment
from chaos.preflight.targets import check_targets
from chaos.search.space import narrower, space_of
from chaos.search.strategies import PRIORS, UNIFORM, Drawn, Shares, drawn_plans, examples, told
from chaos.search.tried import place_of
from chaos.stack.spec import Stack

MINIMAL = open_experiment(Path("experiments/power_cut.yaml"), 1)
SYNCSTACK = open_experiment(Path("experiments/syncstack/sidekick_2009.yaml"), 1)


def plan_of(stack: Stack, **search: object) -> Plan:
    plan = (MINIMAL if stack is MINIMAL.stack else SYNCSTACK).plans[0]
    return replace(plan, schedule=(), search=Search(**search))  # type: ignore[arg-type]


@pytest.mark.parametrize("stack", [MINIMAL.stack, SYNCSTACK.stack], ids=["minimal", "syncstack"])
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_every_drawn_plan_is_valid_on_its_stack_and_survives_its_file(
    stack: Stack, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    drawn = data.draw(drawn_plans(plan_of(stack), stack))
    assert 1 <= len(drawn.plan.schedule) <= 3
    check_targets(drawn.plan, stack)
    file = tmp_path_factory.mktemp("drawn") / "plan.yaml"
    write_plan(drawn.plan, file)
    assert load_plan(file, catalogue()).schedule == drawn.plan.schedule


@pytest.mark.parametrize("stack", [MINIMAL.stack, SYNCSTACK.stack], ids=["minimal", "syncstack"])
def test_every_fault_that_can_strike_a_stack_is_in_its_space(stack: Stack) -> None:
    names = {each.fault.name for each in space_of(stack, Search())}
    carrier = {name for name in known_faults() if name.startswith("carrier.")}
    assert names == known_faults().keys() - (set() if stack.carrier else carrier)


def test_a_target_that_means_the_same_is_there_once() -> None:
    cuts = [each.target for each in space_of(MINIMAL.stack, Search(("disk.power_cut",)))]
    assert Counter(str(each) for each in cuts).most_common(1)[0][1] == 1
    assert Target("array", "core") in cuts
    assert Target("role", "database") not in cuts  # one service, and it never moves


def test_draws_follow_from_their_seed_and_another_seed_draws_others() -> None:
    strategy = drawn_plans(plan_of(MINIMAL.stack), MINIMAL.stack)
    assert examples(strategy, 20, 3) == examples(strategy, 20, 3)
    assert examples(strategy, 20, 3) != examples(strategy, 20, 4)


def test_only_what_may_be_drawn_is_drawn_and_the_schedule_that_is_given_happens_as_well() -> None:
    given_ = ScheduledFault("process.kill", Target("service", "db"), Trigger(acknowledged=9))
    plan = replace(plan_of(MINIMAL.stack, faults=("disk.power_cut", "network.*"), events=2), schedule=(given_,))
    drawn = examples(drawn_plans(plan, MINIMAL.stack), 60, 5)
    assert all(each.plan.schedule[0] == given_ for each in drawn)
    assert {len(each.plan.schedule) for each in drawn} == {2, 3}
    names = {fault.fault for each in drawn for fault in each.plan.schedule[1:]}
    assert names == {"disk.power_cut", "network.partition"}


def test_what_may_be_drawn_but_strikes_nothing_is_told() -> None:
    with pytest.raises(UsageError, match=r"none of the faults carrier\.\* can strike minimal; name others"):
        drawn_plans(plan_of(MINIMAL.stack, faults=("carrier.*",)), MINIMAL.stack)


def test_a_partition_comes_first_far_more_often_than_chance_would_have_it() -> None:
    plan = plan_of(SYNCSTACK.stack, faults=("network.*", "process.kill"), events=2)
    first = Counter[bool]()
    for drawn in examples(drawn_plans(plan, SYNCSTACK.stack), 400, 11):
        found = drawn.plan.schedule
        kinds = {each.fault for each in found}
        at = {each.fault: each.at.acknowledged for each in found}
        if len(kinds) == 2 and all(at.values()):
            first[at["network.partition"] <= at["process.kill"]] += 1  # type: ignore[operator]
    assert first[True] > 2 * first[False] > 0


def test_a_narrower_target_is_one_that_its_fault_can_strike() -> None:
    arrays = Target("arrays", ("core", "media"))
    cut = ScheduledFault("disk.power_cut", arrays, Trigger(acknowledged=1))
    assert [str(each) for each in narrower(cut, MINIMAL.stack)] == ["core", "media", "pgdata", "photos"]
    lost = replace(cut, fault="san.lose")
    assert [str(each) for each in narrower(lost, MINIMAL.stack)] == ["core", "media"]
    alone = replace(cut, target=Target("lun", "pgdata"))
    assert [*narrower(alone, MINIMAL.stack)] == []


def test_a_drawn_plan_shows_its_schedule_in_words() -> None:
    fault = ScheduledFault("san.lose", Target("array", "core"), Trigger(acknowledged=1200), None, {"mode": "fail"})
    assert told(fault) == "san.lose core at ack 1,200, mode fail"
    assert repr(Drawn(replace(MINIMAL.plans[0], schedule=(fault,)), ())) == f"Drawn({told(fault)})"


def test_the_place_of_a_fault_is_the_roles_that_it_reaches_however_its_target_is_written() -> None:
    for target in (Target("lun", "pgdata"), Target("array", "core"), Target("service", "db")):
        cut = ScheduledFault("disk.power_cut", target, Trigger(acknowledged=1))
        assert place_of(cut, MINIMAL.stack) == "database"
    down = ScheduledFault("carrier.down", Target("carrier", True), Trigger(acknowledged=1))
    assert place_of(down, SYNCSTACK.stack) == "carrier"


def test_of_faults_of_which_any_one_is_survived_a_schedule_has_at_most_one_on_one_array_or_disk() -> None:
    promise = Search(("process.*",), ("san.lose", "disk.lose"), 3)
    plans = examples(drawn_plans(replace(plan_of(SYNCSTACK.stack), search=promise), SYNCSTACK.stack), 60, 5)
    schedules = [each.plan.schedule for each in plans]
    lost = [[each for each in schedule if each.fault.endswith(".lose")] for schedule in schedules]
    assert {len(each) for each in lost} == {0, 1}
    assert {len(each[0].target.names) for each in lost if each} == {1}
    assert {len(schedule) for schedule in schedules} == {1, 2, 3}


def test_the_priors_draw_power_cuts_more_often_and_without_them_all_faults_are_drawn_alike() -> None:
    def drawn(shares: Shares) -> Counter[str]:
        plans = drawn_plans(plan_of(MINIMAL.stack, events=1), MINIMAL.stack, shares)
        return Counter(each.plan.schedule[0].fault for each in examples(plans, 300, 5))

    names = {each.fault.name for each in space_of(MINIMAL.stack, Search())}
    alike = 300 / len(names)
    assert drawn(PRIORS)["disk.power_cut"] > 2 * alike
    counted = drawn(UNIFORM)
    assert counted.keys() == names
    assert max(counted.values()) < 2 * alike, "draws do not come in bunches"

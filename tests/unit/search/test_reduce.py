"""A case is made smaller with few executions, and never loses what it shows."""

from __future__ import annotations

import asyncio
import random
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.experiment.plan import ScheduledFault, Target, Trigger, Workload
from chaos.search.reduce import Case, OutOfBudget, Reducer, minimised, part_of
from chaos.workload.actions import draw_by_user

LOAD = Workload(users=8, devices_per_user=2, operations=160)
ACTIONS = draw_by_user(LOAD, range(8))


def event(number: int, **more: object) -> ScheduledFault:
    at = Trigger(acknowledged=number + 40)
    return ScheduledFault("disk.slow", Target("array", f"a{number}"), at, **more)  # type: ignore[arg-type]


def nowhere(fault: ScheduledFault) -> Iterator[Target]:
    return iter(())


@given(st.integers(1, 14), st.data())
def test_what_is_left_shows_it_and_none_of_it_can_be_left_out(count: int, data: st.DataObject) -> None:
    guilty = data.draw(st.sets(st.integers(0, count - 1), min_size=1, max_size=4))

    async def shows(part: Sequence[int]) -> bool:
        return guilty <= set(part)

    assert set(asyncio.run(minimised(range(count), shows))) == guilty


def test_two_faults_among_twelve_are_found_with_few_executions() -> None:
    taken = []
    for seed in range(40):
        chance = random.Random(seed)
        guilty = set(chance.sample(range(12), 2))
        executions = 0

        async def shows(part: Sequence[int], guilty: set[int] = guilty) -> bool:
            nonlocal executions
            executions += 1
            return guilty <= set(part)

        assert set(asyncio.run(minimised(range(12), shows))) == guilty
        taken.append(executions)
    assert statistics.median(taken) <= 30


def test_events_users_and_operations_that_are_not_needed_go() -> None:
    """Lost is a record of user 5 when a1 and a4 are struck, by their first acknowledgements that are not flushed."""

    async def shows(case: Case) -> bool:
        struck = {each.target.names[0] for each in case.schedule}
        return {"a1", "a4"} <= struck and any(each.device // 2 == 5 for each in case.actions)

    case = Case(tuple(event(i, for_seconds=1.0, parameters={"latency_ms": 9}) for i in range(6)), ACTIONS)
    best = asyncio.run(Reducer(case, shows, nowhere, 2).reduce())
    assert [each.target.named for each in best.schedule] == ["a1", "a4"]
    assert all(each.for_seconds is None and not each.parameters for each in best.schedule)
    assert all(each.at.acknowledged == 1 for each in best.schedule)
    assert {device // 2 for device in best.devices} == {5}
    assert len(best.actions) == 1


def test_a_step_whose_step_before_is_left_out_comes_when_that_one_would_have() -> None:
    first, other = event(1), event(9)
    second, third = (
        ScheduledFault("disk.hang", Target("array", name), Trigger(seconds_after_previous=wait))
        for name, wait in (("b", 2.0), ("c", 3.0))
    )
    whole = (first, second, third, other)
    assert part_of(whole, range(4)) == whole
    assert part_of(whole, (1, 2)) == (replace(second, at=first.at), third)
    assert part_of(whole, (0, 2)) == (first, replace(third, at=second.at))
    assert part_of(whole, (2, 3)) == (replace(third, at=first.at), other)


def test_a_trigger_that_is_needed_late_stays_late_in_what_is_left() -> None:
    async def shows(case: Case) -> bool:
        first = case.schedule[0].at.acknowledged
        return first is not None and first > case.writes // 4

    best = asyncio.run(Reducer(Case((event(80),), ACTIONS), shows, nowhere, 2).reduce())
    assert asyncio.run(shows(best))
    assert len({device // 2 for device in best.devices}) == 1


def test_a_narrower_target_is_taken_where_it_is_enough() -> None:
    def luns(fault: ScheduledFault) -> Iterator[Target]:
        return iter([Target("lun", "x"), Target("lun", "y")] if fault.target.key == "array" else [])

    async def shows(case: Case) -> bool:
        return case.schedule[0].target.named in ("a0", "y")

    best = asyncio.run(Reducer(Case((event(0),), ACTIONS), shows, luns, 2).reduce())
    assert best.schedule[0].target == Target("lun", "y")


@pytest.mark.parametrize("executions", [0, 1, 5, 11])
def test_the_best_so_far_is_kept_when_time_is_up(executions: int) -> None:
    left = executions

    async def shows(case: Case) -> bool:
        nonlocal left
        if not left:
            raise OutOfBudget
        left -= 1
        return any(each.target.named == "a2" for each in case.schedule)

    case = Case(tuple(map(event, range(6))), ACTIONS)
    best = asyncio.run(Reducer(case, shows, nowhere, 2).reduce())
    assert any(each.target.named == "a2" for each in best.schedule)
    assert len(best.schedule) <= (6 if not executions else 3)

"""Whole plans drawn by Hypothesis over the four faults: the correct stack keeps what it acknowledged, and the loss
of the unsafe one is found.

Hypothesis generates and does not shrink: a trial is not exactly repeatable, and takes seconds. It looks at a
failing plan a second time, so what a plan came to is remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, find, given, seed, settings
from hypothesis import strategies as st

from chaos.experiment.plan import Parameter, Plan, ScheduledFault, Target, Trigger, Verdict
from tests.integration.plans import CORE, GATEWAY, MEDIA, plan_of, run_one

pytestmark = [pytest.mark.engine, pytest.mark.long]
SEED = 3
"""Draws the same plans each time; a derandomized Hypothesis would draw others after every edit of a test."""
ONCE = settings(
    derandomize=False,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)

ARRAYS = st.sampled_from([CORE, MEDIA])
OPERATIONS = st.lists(st.sampled_from(["read", "write", "flush"]), min_size=1, unique=True)
IO_ERROR: st.SearchStrategy[Mapping[str, Parameter]] = st.fixed_dictionaries(
    {"operations": OPERATIONS}, optional={"times": st.integers(1, 50)}
)
NOTHING: st.SearchStrategy[Mapping[str, Parameter]] = st.just({})
FAULTS: Mapping[str, tuple[st.SearchStrategy[Target], st.SearchStrategy[Mapping[str, Parameter]]]] = {
    "disk.power_cut": (ARRAYS, NOTHING),
    "disk.io_error": (ARRAYS, IO_ERROR),
    "process.kill": (st.sampled_from([GATEWAY, Target("role", "database")]), NOTHING),
    "process.recreate": (st.sampled_from([GATEWAY, Target("role", "database")]), NOTHING),
    "san.lose": (ARRAYS, NOTHING),
}
TRIGGERS = st.one_of(
    st.integers(40, 160).map(lambda count: Trigger(acknowledged=count)),
    st.floats(0.2, 0.8).map(lambda seconds: Trigger(seconds=round(seconds, 3))),
)


@st.composite
def schedules(draw: st.DrawFn) -> tuple[ScheduledFault, ...]:
    """One to three different faults, each anywhere in the load."""
    names = draw(st.lists(st.sampled_from(sorted(FAULTS)), min_size=1, max_size=3, unique=True))
    return tuple(
        ScheduledFault(
            name,
            draw(FAULTS[name][0]),
            draw(TRIGGERS),
            draw(st.sampled_from([None, 0.2, 0.5])) if name != "san.lose" else None,
            draw(FAULTS[name][1]),
        )
        for name in names
    )


def exceeds_the_redundancy(plan: Plan) -> bool:
    """An array that is gone for good takes the only copy with it: that loss is nobody's bug."""
    return any(fault.fault == "san.lose" for fault in plan.schedule)


@pytest.fixture
def verdict_of(tmp_path: Path) -> Callable[[Plan], Verdict]:
    known: dict[str, Verdict] = {}

    def run(plan: Plan) -> Verdict:
        key = repr((plan, plan.variables))
        if key not in known:
            known[key] = run_one(plan, tmp_path).verdict
        return known[key]

    return run


def test_no_drawn_plan_makes_the_correct_stack_lose_what_it_holds_redundantly(
    verdict_of: Callable[[Plan], Verdict],
) -> None:
    @seed(SEED)
    @settings(ONCE, max_examples=4)
    @given(schedules())
    def holds(schedule: tuple[ScheduledFault, ...]) -> None:
        plan = plan_of(*schedule, name="drawn")
        assert verdict_of(plan) != "VIOLATED" or exceeds_the_redundancy(plan), plan

    holds()


def test_drawn_plans_find_the_loss_of_a_database_without_fsync(verdict_of: Callable[[Plan], Verdict]) -> None:
    plans = schedules().map(lambda schedule: plan_of(*schedule, name="drawn", variables={"PG_FSYNC": "off"}))
    found = find(
        plans,
        lambda plan: not exceeds_the_redundancy(plan) and verdict_of(plan) == "VIOLATED",
        settings=settings(ONCE, max_examples=20),
        random=Random(SEED),
    )
    assert any(fault.fault.startswith("disk.") and fault.target == CORE for fault in found.schedule), found

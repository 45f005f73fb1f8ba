"""How long a stack may take until it serves: what its health checks ask for, and what the experiment states."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.experiment.loader import load, load_plan, write_plan
from chaos.experiment.plan import Limits
from chaos.faults import catalogue
from chaos.stack.patience import asked_for, patience_warnings, with_patience
from chaos.stack.spec import Condition, Healthcheck, Service, Stack


def slow(name: str, start_period: float, retries: int = 3, interval: float = 10.0, **needs: Condition) -> Service:
    check = Healthcheck(("true",), interval, 5.0, retries, start_period)
    return Service(name, healthcheck=check, depends_on=needs)


def stack_of(*services: Service) -> Stack:
    front = services[0].name
    return Stack("unit", Path("compose.yaml"), {each.name: each for each in services}, {}, (), (front, 1))


def test_a_limit_that_grew_with_the_compose_file_grows_once_more_with_the_image() -> None:
    before, whole = stack_of(slow("db", 120)), stack_of(slow("db", 300))
    once = with_patience(Limits(), before)
    assert with_patience(once, whole, before) == with_patience(Limits(), whole)
    assert with_patience(once, whole) == once, "for all that is known it was stated so"
    stated = Limits(ready_seconds_max=77)
    assert with_patience(stated, whole, before).ready_seconds_max == 77


def test_a_limit_that_nobody_stated_grows_with_the_health_check() -> None:
    grown = with_patience(Limits(), stack_of(slow("db", 120)))
    assert (grown.ready_seconds_max, grown.recover_seconds_max, grown.converge_seconds_max) == (150, 150, 150)
    assert grown.door_seconds_max == Limits().door_seconds_max
    assert with_patience(Limits(), stack_of(slow("db", 1, 1))).seconds == Limits().seconds, "never shorter"
    assert with_patience(Limits(), stack_of(Service("db"))).seconds == Limits().seconds
    assert with_patience(Limits(), stack_of(slow("db", 80_000))).ready_seconds_max == 3600
    assert with_patience(Limits(ready_seconds_max=5), stack_of(slow("db", 120))).ready_seconds_max == 5, "in Python"


def test_a_stated_limit_wins_with_a_warning_where_it_is_shorter() -> None:
    stated = Limits(ready_seconds_max=100, recover_seconds_max=151, stated=frozenset({"ready_seconds_max"}))
    grown = with_patience(stated, stack_of(slow("db", 120)))
    assert (grown.ready_seconds_max, grown.recover_seconds_max) == (100, 151)
    [line] = patience_warnings(stated, stack_of(slow("db", 120)))
    assert line.startswith(
        "limits.ready_seconds_max 100 is shorter than the 150 s that the health check of db may take"
    )
    assert patience_warnings(Limits(), stack_of(slow("db", 120))) == []
    assert patience_warnings(stated, stack_of(slow("db", 70))) == []


@pytest.mark.parametrize(
    ("condition", "asked"), [("service_healthy", 150 + 40), ("service_started", 150)], ids=["after", "beside"]
)
def test_times_add_up_along_a_chain_where_one_waits_for_the_other_s_health(condition: Condition, asked: float) -> None:
    gateway, beside = slow("gateway", 10, db=condition), slow("beside", 20)
    assert asked_for(stack_of(gateway, slow("db", 120), beside))[0] == asked
    through = Service("proxy", depends_on={"gateway": "service_healthy"})
    assert asked_for(stack_of(through, gateway, slow("db", 120)))[0] == asked


def test_a_job_in_between_adds_nothing_but_what_it_waits_for_does() -> None:
    job = Service("job", depends_on={"db": "service_healthy"})
    gateway = slow("gateway", 10, job="service_completed_successfully")
    assert asked_for(stack_of(gateway, job, slow("db", 120))) == (190, ("db", "gateway"))


def test_a_plan_knows_what_was_stated_and_its_file_states_what_holds(tmp_path: Path) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_text("experiment: e\nstack: compose.yaml\nlimits: {ready_seconds_max: 60}\n")
    limits = load(file, 1, catalogue()).limits
    assert limits.stated == {"ready_seconds_max"}
    plan = load(file, 1, catalogue())
    grown = with_patience(plan.limits, stack_of(slow("db", 120)))
    write_plan(type(plan)(**{**vars(plan), "limits": grown}), tmp_path / "plan.yaml")
    again = load_plan(tmp_path / "plan.yaml", catalogue()).limits
    assert (again, again.recover_seconds_max) == (grown, 150)
    assert with_patience(again, stack_of(slow("db", 500))) == grown, "a plan is run as it was drawn"

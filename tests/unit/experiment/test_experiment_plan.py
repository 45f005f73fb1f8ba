from __future__ import annotations

import string
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaos.experiment.drivers import DriverChoice
from chaos.experiment.loader import load_plan, write_plan
from chaos.experiment.plan import Checks, Limits, Parameter, Plan, RecordType, ScheduledFault, Target, Trigger, Workload
from chaos.experiment.schema import PHASES
from tests.unit.experiment.samples import Catalogue

NAMES = st.text(string.ascii_letters + string.digits + "_.-", min_size=1, max_size=12).map(lambda text: "a" + text)
AWKWARD = st.sampled_from(["1e5", "0o17", "089", "null", "true", "off", "no", "1.0", "07", "e", "0x1"])
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\t"), max_size=40)
SHARES = st.floats(0, 0.4)
PATHS = st.lists(NAMES | AWKWARD, min_size=1, max_size=4).map(lambda parts: Path("/", *parts))


@st.composite
def record_types(draw: st.DrawFn) -> RecordType:
    least, most = sorted(draw(st.lists(st.integers(200, 1_000_000), min_size=2, max_size=2)))
    return RecordType(draw(NAMES | AWKWARD), least, most)


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    least, most = sorted(draw(st.lists(st.integers(1_000, 16_000_000), min_size=2, max_size=2)))
    return Workload(
        users=draw(st.integers(1, 500)),
        operations=draw(st.integers(1000, 100_000)),
        rate_per_second=draw(st.floats(0.1, 10_000)),
        updates=draw(SHARES),
        deletes=draw(SHARES),
        photos=draw(st.floats(0, 1)),
        photo_bytes_min=least,
        photo_bytes_max=most,
        types=draw(st.lists(record_types(), max_size=3, unique_by=lambda each: each.name).map(tuple)),
    )


TRIGGERS = st.one_of(
    st.floats(0, 3600).map(lambda seconds: Trigger(seconds=seconds)),
    st.integers(1, 1000).map(lambda count: Trigger(acknowledged=count)),
    st.sampled_from(PHASES).map(lambda phase: Trigger(phase=phase)),
)
PARAMETERS: st.SearchStrategy[dict[str, Parameter]] = st.fixed_dictionaries(
    {},
    optional={
        "operations": st.lists(st.sampled_from(["read", "write", "flush"]), min_size=1, unique=True),
        "times": st.none() | st.integers(1, 1000),
        "sectors": st.none() | st.fixed_dictionaries({"first": st.integers(0, 2**40), "count": st.integers(0, 2**40)}),
    },
)
FAULTS = st.one_of(
    st.builds(
        ScheduledFault,
        fault=st.just("disk.io_error"),
        target=st.builds(Target, st.just("lun"), NAMES | AWKWARD),
        at=TRIGGERS,
        for_seconds=st.none() | st.floats(0, 3600),
        parameters=PARAMETERS,
    ).filter(lambda fault: not (fault.at.phase and fault.for_seconds is not None)),
    st.builds(
        ScheduledFault,
        fault=st.just("process.kill"),
        target=st.builds(Target, st.just("role"), NAMES | AWKWARD),
        at=TRIGGERS,
    ),
    st.builds(ScheduledFault, fault=st.just("carrier.down"), target=st.just(Target("carrier", True)), at=TRIGGERS),
)
OPTIONS = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT | AWKWARD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | AWKWARD, inner, max_size=3),
)
DRIVERS = st.builds(
    DriverChoice, st.sampled_from(["http", "driver:Mine"]), st.dictionaries(NAMES | AWKWARD, OPTIONS, max_size=3)
)
PLANS = st.builds(
    Plan,
    experiment=NAMES | AWKWARD,
    why=TEXT,
    stack=st.lists(PATHS, min_size=1, max_size=3).map(tuple),
    seed=st.integers(0, 2**63 - 1),
    workload=workloads(),
    schedule=st.lists(FAULTS, max_size=4).map(tuple),
    checks=st.builds(Checks, minimum_acknowledged=st.integers(1, 1000), require_mix=st.booleans()),
    limits=st.builds(Limits, ready_seconds_max=st.floats(0.001, 3600)),
    expect=st.sampled_from(["HELD", "VIOLATED", "INCONCLUSIVE"]),
    driver=st.none() | DRIVERS,
    driver_folder=st.none() | PATHS,
    profiles=st.lists(NAMES | AWKWARD, max_size=3).map(tuple),
    plants_loss=st.booleans(),
    variables=st.dictionaries(st.sampled_from(["A", "B_2", "no", "null"]), TEXT | AWKWARD, max_size=3),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PLANS)
def test_a_plan_that_is_written_reads_back_as_an_equal_one(tmp_path: Path, faults: Catalogue, plan: Plan) -> None:
    path = tmp_path / "plan.yaml"
    write_plan(plan, path)
    assert load_plan(path, faults) == plan


def test_a_plan_and_its_stack_can_be_moved_together(tmp_path: Path, faults: Catalogue) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    (old / "runs").mkdir(parents=True)
    plan = Plan("a", "", (old / "stack.yaml",), 1, Workload(), (), Checks(), Limits())
    write_plan(plan, old / "runs/plan.yaml")
    old.rename(new)
    assert load_plan(new / "runs/plan.yaml", faults).stack == (new / "stack.yaml",)

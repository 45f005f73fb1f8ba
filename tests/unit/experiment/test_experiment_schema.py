from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaos.errors import SourceError, UsageError
from chaos.experiment import plan, schema
from chaos.experiment.loader import load, load_plan, load_trials, write_plan
from chaos.experiment.plan import Target, Trigger
from chaos.experiment.schema import SEED_MAX
from tests.unit.experiment.samples import FORMS, GOOD, Catalogue, Write


def refusal(path: Path, faults: Catalogue) -> str:
    with pytest.raises(SourceError) as caught:
        load(path, 1, faults)
    return str(caught.value)


def test_an_experiment_becomes_a_plan(written: Write, faults: Catalogue) -> None:
    path = written(GOOD)
    made = load(path, 7, faults)
    assert (made.experiment, made.seed, made.expect) == ("power_cut", 7, "HELD")
    assert made.stack == (path.resolve().parent / "stack/compose.yaml",)
    assert (made.workload.users, made.workload.operations, made.workload.devices_per_user) == (20, 800, 2)
    (fault,) = made.schedule
    assert (fault.fault, fault.target, fault.at) == (
        "disk.power_cut",
        Target("array", "core"),
        Trigger(acknowledged=400),
    )


def test_an_unknown_fault_is_shown_as_the_documentation_promises(written: Write, faults: Catalogue) -> None:
    assert refusal(written(GOOD.replace("disk.power_cut", "disk.powr_cut")), faults) == (
        "experiment.yaml:6:12: unknown fault 'disk.powr_cut'\n"
        "    6 |   - fault: disk.powr_cut\n"
        "      |            ^ did you mean disk.power_cut? "
        "`holdfast doctor` lists the faults that this host can do"
    )


def test_all_problems_come_at_once_in_the_order_of_the_file(written: Write, faults: Catalogue) -> None:
    text = (
        GOOD.replace("users: 20", "usres: 20")
        .replace("array: core", "service: gateway")
        .replace("operations: 800", "operations: many")
    )
    assert refusal(written(text + "expect: HOLD\n"), faults) == (
        "experiment.yaml:4:12: unknown key 'usres'\n"
        "    4 | workload: {usres: 20, operations: many}\n"
        "      |            ^ did you mean users?\n"
        "experiment.yaml:4:35: operations should be a whole number, not 'many'\n"
        "    4 | workload: {usres: 20, operations: many}\n"
        "      |                                   ^\n"
        "experiment.yaml:7:14: disk.power_cut cannot strike a service\n"
        "    7 |     target: {service: gateway}\n"
        "      |              ^ its target is array or lun\n"
        "experiment.yaml:9:9: expect should be 'HELD', 'VIOLATED' or 'INCONCLUSIVE', not 'HOLD'\n"
        "    9 | expect: HOLD\n"
        "      |         ^ did you mean HELD?"
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("checks: {rpo_seconds: -1}", "rpo_seconds should be greater than or equal to 0, not '-1'"),
        ("checks: {sessions: lax}", "sessions should be 'report' or 'strict', not 'lax'"),
        (
            "checks: {minimum_acknowledged: 0}",
            "minimum_acknowledged should be greater than or equal to 1, not '0'",
        ),
        ("checks: {minimum_acknowledged: 801}", "minimum_acknowledged 801 is more than the 800 operations"),
        ("limits: {ready_seconds_max: .inf}", "ready_seconds_max should be a number, not '.inf'"),
        ("limits: {ready_seconds_max: 1e9}", "ready_seconds_max should be less than or equal to 3600"),
        ("limits: {ready_seconds_max: true}", "ready_seconds_max should be a number, not 'true'"),
        ("driver: htp", "unknown driver 'htp'"),
        ("profiles: spare", "profiles should be a list, not 'spare'"),
        ("variables: {A: [b]}", "A should be text, not a list"),
        ("stak: x", "unknown key 'stak'"),
    ],
)
def test_a_wrong_value_is_refused_by_name(written: Write, faults: Catalogue, line: str, message: str) -> None:
    assert f"experiment.yaml:9:{line.index(':') + 1}"[:18] in (said := refusal(written(GOOD + line), faults))
    assert message in said


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            "fault: san.lose, target: {array: core}, at: {flush: 120, of: pgdata, side: before}",
            "at: {flush: ...} needs the LUN whose I/Os are counted",
        ),
        (
            "fault: disk.power_cut, target: {array: core}, at: {flush: 12, write: 3, lun: pgdata}",
            "at needs exactly one key",
        ),
        (
            "fault: disk.power_cut, target: {array: core}, at: {seconds: 3, lun: pgdata, when: before}",
            "lun and when belong to flush or write",
        ),
        ("fault: disk.power_cut, target: {array: core}, at: {flush: 0, lun: pgdata}", "this should be 1 to 10000000"),
        (
            "fault: disk.power_cut, target: {array: core}, at: {flush: 2, lun: pgdata, when: while}",
            "when should be 'before' or 'after', not 'while'",
        ),
        (
            "fault: process.kill, target: {service: db}, at: {write: 2, lun: pgdata}",
            "process.kill cannot strike at a write: only faults of LUNs are carried out where I/Os are served",
        ),
        ("fault: san.lose, target: {array: core}, at: {seconds: 1, phase: load}", "at needs exactly one key"),
        ("fault: san.lose, target: {array: core}, at: {phase: lod}", "unknown phase 'lod'"),
        ("fault: san.lose, target: {array: core}, at: {seconds: [3, 2]}", "the range [3, 2] is empty"),
        (
            "fault: san.lose, target: {array: core}, at: {seconds: [1, 2, 3]}",
            "a number or a range [least, most]",
        ),
        ("fault: san.lose, target: {array: core}, at: {seconds: -1}", "this should be 0 to 3600"),
        (
            "fault: san.lose, target: {array: core}, at: {acknowledged: 801}",
            "acknowledgement 801 never comes",
        ),
        (
            "fault: disk.power_cut, target: {array: core}, at: {phase: heal}, for_seconds: 3",
            "for_seconds has no effect on a fault of the phase heal",
        ),
        ("fault: san.lose, target: {array: core}", "the key 'at' is missing here"),
        ("fault: san.lose, target: core, at: {seconds: 1}", "target should be a mapping, not 'core'"),
        ("fault: san.lose, target: {}, at: {seconds: 1}", "a target needs exactly one key"),
        ("fault: san.lose, target: {arry: core}, at: {seconds: 1}", "unknown key 'arry'"),
        (
            "fault: san.lose, target: {array: core}, at: {seconds: 1}, often: 3",
            "san.lose has no such parameter",
        ),
        (
            "fault: disk.io_error, target: {lun: a}, at: {seconds: 1}, times: 0",
            "times should be 1 to 1000, not '0'",
        ),
        (
            "fault: disk.io_error, target: {lun: a}, at: {seconds: 1}, times: x",
            "times should be a whole number",
        ),
        (
            "fault: disk.io_error, target: {lun: a}, at: {seconds: 1}, operations: [raed]",
            "unknown operations 'raed'",
        ),
        (
            "fault: disk.io_error, target: {lun: a}, at: {seconds: 1}, operations: read",
            "operations should be a list",
        ),
        (
            "fault: disk.io_error, target: {lun: a}, at: {seconds: 1}, sectors: {first: 1}",
            "sectors should be {first: n",
        ),
        ("fault: 7, target: {lun: a}, at: {seconds: 1}", "fault should be text, not '7'"),
    ],
)
def test_a_wrong_fault_is_refused_by_name(written: Write, faults: Catalogue, entry: str, message: str) -> None:
    text = GOOD[: GOOD.index("  - fault")] + f"  - {{{entry}}}\n"
    assert message in refusal(written(text), faults)


def test_a_parameter_that_may_be_without_bound_takes_null(written: Write, faults: Catalogue) -> None:
    entry = "  - {fault: disk.io_error, target: {lun: a}, at: {seconds: 1}, times: null, operations: [read]}\n"
    made = load(written(GOOD[: GOOD.index("  - fault")] + entry), 1, faults)
    assert made.schedule[0].parameters == {"times": None, "operations": ["read"]}


def test_variables_are_kept_as_they_are_written(written: Write, faults: Catalogue) -> None:
    made = load(written(GOOD + "variables: {A: off, B: 1.10, C: true, D: 0x10}\n"), 1, faults)
    assert made.variables == {"A": "off", "B": "1.10", "C": "true", "D": "0x10"}


def test_the_same_seed_draws_the_same_and_every_draw_is_within_its_range(written: Write, faults: Catalogue) -> None:
    ranged = GOOD.replace("acknowledged: 400", "acknowledged: [300, 500]")
    path = written(ranged + "    for_seconds: [1, 2.5]\n")
    plans = [load(path, seed, faults) for seed in range(40)]
    assert plans == [load(path, seed, faults) for seed in range(40)]
    counts = [made.schedule[0].at.acknowledged or 0 for made in plans]
    assert all(300 <= count <= 500 for count in counts)
    assert len(set(counts)) > 20
    assert all(1 <= (made.schedule[0].for_seconds or 0) <= 2.5 for made in plans)


def test_every_trial_of_an_experiment_is_drawn_anew_as_with_the_next_seed(written: Write, faults: Catalogue) -> None:
    path = written(GOOD.replace("acknowledged: 400", "acknowledged: [300, 500]"))
    drawn = load_trials(path, 5, 6, faults)
    assert drawn == [load(path, seed, faults) for seed in range(5, 11)]
    assert len({made.schedule[0].at.acknowledged for made in drawn}) > 3
    assert [made.seed for made in load_trials(path, SEED_MAX - 1, 2, faults)] == [SEED_MAX - 1, SEED_MAX]
    with pytest.raises(UsageError, match=f"use 0 to {SEED_MAX - 2}"):
        load_trials(path, SEED_MAX - 1, 3, faults)


def test_every_trial_of_a_plan_is_that_plan_its_seed_included(written: Write, faults: Catalogue) -> None:
    path = written(GOOD.replace("experiment: power_cut", "plan: power_cut\nseed: 3"))
    assert load_trials(path, None, 3, faults) == [load(path, None, faults)] * 3


def test_a_trigger_at_an_io_is_drawn_and_stands_in_the_plan(written: Write, faults: Catalogue, tmp_path: Path) -> None:
    ranged = GOOD.replace("{acknowledged: 400}", "{flush: [10, 500], lun: pgdata}")
    triggers = [load(written(ranged), seed, faults).schedule[0].at for seed in range(20)]
    assert len({at.flush for at in triggers}) > 10
    assert all(at == Trigger(flush=at.flush, lun="pgdata", when="after") for at in triggers)
    drawn = load(written(ranged), 3, faults)
    write_plan(drawn, tmp_path / "plan.yaml")
    assert load(tmp_path / "plan.yaml", None, faults) == drawn
    text = ranged.replace("experiment: power_cut", "plan: power_cut\nseed: 3")
    assert "a plan has no ranges left to draw" in refusal(written(text), faults)


def test_one_more_fault_leaves_the_draws_of_the_others_alone(written: Write, faults: Catalogue) -> None:
    ranged = GOOD.replace("acknowledged: 400", "acknowledged: [300, 500]")
    alone = load(written(ranged), 5, faults).schedule
    both = load(written(ranged + "  - {fault: san.lose, target: {array: core}, at: {seconds: [0, 9]}}\n"), 5, faults)
    assert both.schedule[:1] == alone


def test_without_a_seed_one_is_drawn(written: Write, faults: Catalogue) -> None:
    path = written(GOOD)
    assert len({load(path, None, faults).seed for _ in range(5)}) > 1


def test_a_seed_that_is_none_is_refused(written: Write, faults: Catalogue) -> None:
    with pytest.raises(UsageError, match="seed -1 is out of range"):
        load(written(GOOD), -1, faults)


def test_a_plan_refuses_another_seed_and_a_range(written: Write, faults: Catalogue) -> None:
    text = GOOD.replace("experiment: power_cut", "plan: power_cut\nseed: 3")
    assert load(written(text), 3, faults).seed == 3
    with pytest.raises(UsageError, match="drawn with seed 3, not 4"):
        load(written(text), 4, faults)
    with pytest.raises(SourceError, match="a plan has no ranges left to draw"):
        load_plan(written(text.replace("400", "[300, 400]")), faults)


def test_the_models_have_the_fields_and_defaults_of_the_plan() -> None:
    for model, made in (
        (schema.ChecksModel(), plan.Checks()),
        (schema.LimitsModel(), plan.Limits()),
    ):
        assert model.model_dump() == {each.name: getattr(made, each.name) for each in fields(made) if each.compare}
    assert schema.WorkloadModel().model_dump() == {**plan.Workload().settings, "types": {}}
    assert {each.name for each in fields(plan.Workload)} == schema.WorkloadModel.model_fields.keys()


def test_the_json_schema_describes_what_a_user_writes() -> None:
    made = schema.json_schema(FORMS)
    assert made["title"] == "Holdfast experiment"
    assert set(made["required"]) == {"experiment", "stack"}
    assert made["additionalProperties"] is False
    assert {"type": "string"} in made["properties"]["stack"]["anyOf"]
    seconds = made["$defs"]["TriggerModel"]["properties"]["seconds"]
    assert {"type": "number"} in seconds["anyOf"]


WORDS: st.SearchStrategy[object] = st.sampled_from(
    [
        "core",
        "san.lose",
        "disk.io_error",
        0,
        -1,
        1,
        400,
        10**30,
        0.5,
        True,
        None,
        [],
        {},
        [1, 2],
        "",
        "strict",
        "HELD",
    ]
)
KEYS = st.sampled_from(
    [
        "fault",
        "target",
        "at",
        "array",
        "seconds",
        "acknowledged",
        "flush",
        "operations",
        "sectors",
        "for_seconds",
        "experiment",
        "plan",
        "seed",
        "stack",
        "workload",
        "users",
        "schedule",
        "checks",
        "variables",
        "<<",
        "x",
    ]
)
ANYTHING = st.recursive(
    WORDS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=15
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(KEYS, ANYTHING, max_size=7))
def test_whatever_the_file_says_loading_ends_in_a_plan_or_in_a_usage_error(
    written: Write, faults: Catalogue, content: dict[str, object]
) -> None:
    path = written(json.dumps({"experiment": "a", "stack": "b"} | content))
    with suppress(UsageError):
        load(path, 1, faults)

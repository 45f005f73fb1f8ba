"""Scripts of several steps: one entry of a schedule, several faults of the plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.errors import SourceError
from chaos.experiment import schema
from chaos.experiment.loader import load, load_draft, load_plan, write_plan
from chaos.experiment.plan import ScheduledFault, Target, Trigger
from tests.unit.experiment.samples import FORMS, GOOD, Catalogue, Write

HEAD = GOOD.partition("schedule:")[0]
SCRIPT = f"""{HEAD}schedule:
  - target: {{array: core}}
    at: {{acknowledged: [100, 130]}}
    steps:
      - {{fault: disk.io_error, times: 3, for_seconds: [1, 2]}}
      - {{wait_seconds: [3, 5]}}
      - {{fault: disk.power_cut, target: {{lun: pgdata}}, for_seconds: 1}}
      - fault: san.lose
  - fault: process.kill
    target: {{service: db}}
    at: {{seconds: 60}}
"""
CORE = Target("array", "core")


def refused(path: Path, faults: Catalogue) -> list[tuple[int, int, str]]:
    with pytest.raises(SourceError) as caught:
        load(path, 1, faults)
    return [(each.line, each.column, each.message) for each in caught.value.problems]


def test_the_steps_of_a_script_are_faults_each_after_the_one_before_it(written: Write, faults: Catalogue) -> None:
    first, second, third, other = load(written(SCRIPT), 7, faults).schedule
    assert (first.fault, first.target, first.parameters) == ("disk.io_error", CORE, {"times": 3})
    assert first.at.acknowledged in range(100, 131)
    assert first.for_seconds is not None
    assert 1 <= first.for_seconds <= 2
    assert (second.fault, second.target, second.for_seconds) == ("disk.power_cut", Target("lun", "pgdata"), 1.0)
    assert second.at.seconds_after_previous is not None
    assert 3 <= second.at.seconds_after_previous <= 5
    assert third == ScheduledFault("san.lose", CORE, Trigger(seconds_after_previous=0.0))
    assert other.at == Trigger(seconds=60.0)


def test_the_plan_of_a_script_says_each_step_in_full_and_is_read_back(
    written: Write, faults: Catalogue, tmp_path: Path
) -> None:
    made = load(written(SCRIPT), 7, faults)
    write_plan(made, tmp_path / "plan.yaml")
    text = (tmp_path / "plan.yaml").read_text()
    assert "steps" not in text
    assert text.count("array: core") == 2
    assert text.count("seconds_after_previous:") == 2
    assert load_plan(tmp_path / "plan.yaml", faults).schedule == made.schedule


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (Trigger(seconds_after_previous=2.5), "2.5 s after the fault before it"),
        (Trigger(seconds_after_previous=0.0), "right after the fault before it"),
    ],
)
def test_a_trigger_after_the_fault_before_it_is_told_in_words(at: Trigger, text: str) -> None:
    assert str(at) == text


def test_what_is_wrong_in_a_step_is_told_at_its_place(written: Write, faults: Catalogue) -> None:
    text = SCRIPT.replace("times: 3", "time: 3").replace("fault: san.lose", "fault: san.loose")
    assert refused(written(text.replace("[3, 5]", "[5, 3]")), faults) == [
        (9, 32, "unknown key 'time': disk.io_error has no such parameter"),
        (10, 24, "the range [5, 3] is empty"),
        (12, 16, "unknown fault 'san.loose'"),
    ]


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("5", "steps should be a list of faults, not '5'"),
        ("[]", "steps should be a list of faults, not a list"),
        ("[{wait_seconds: 1}, {fault: san.lose}]", "a wait stands between two faults"),
        ("[{fault: san.lose}, {wait_seconds: 1}]", "a wait stands between two faults"),
        (
            "[{fault: san.lose}, {wait_seconds: 1}, {wait_seconds: 2}, {fault: san.lose}]",
            "a wait stands between two faults",
        ),
        (
            "[{fault: san.lose, at: {seconds: 1}}]",
            "a step has no `at` of its own: the first has that of the script, each other one comes after it",
        ),
        ("[{fault: san.lose}], for_seconds: 3", "unknown key 'for_seconds' beside steps"),
    ],
)
def test_a_script_that_says_something_else_is_refused(
    written: Write, faults: Catalogue, steps: str, message: str
) -> None:
    entry = f"schedule: [{{target: {{array: core}}, at: {{seconds: 1}}, steps: {steps}}}]\n"
    assert [said for *_, said in refused(written(HEAD + entry), faults)] == [message]


@pytest.mark.parametrize(
    ("entries", "what"),
    [
        ("[{at: {seconds_after_previous: 1}, FAULT}]", "none"),
        ("[{at: {phase: heal}, FAULT}, {at: {seconds_after_previous: 1}, FAULT}]", "one of the phase heal"),
        ("[{target: {array: core}, at: {phase: heal}, steps: [{FAULT}, {FAULT}]}]", "one of the phase heal"),
    ],
)
def test_what_comes_after_another_fault_needs_one_of_the_load(
    written: Write, faults: Catalogue, entries: str, what: str
) -> None:
    text = f"{HEAD}schedule: {entries.replace('FAULT', 'fault: san.lose, target: {array: core}')}\n"
    assert [said for *_, said in refused(written(text), faults)] == [
        f"seconds_after_previous comes after a fault of the load, and there is {what} before this one"
    ]


def test_the_draft_of_a_file_that_is_refused_has_the_targets_of_steps(written: Write, faults: Catalogue) -> None:
    draft = load_draft(written(SCRIPT.replace("times: 3", "times: none")), faults)
    assert draft is not None
    assert [(each.fault, each.target.named) for each in draft[0].schedule] == [
        ("disk.io_error", "core"),
        ("disk.power_cut", "pgdata"),
        ("san.lose", "core"),
        ("process.kill", "db"),
    ]


def test_the_json_schema_knows_scripts() -> None:
    made = schema.json_schema(FORMS)
    entries = made["properties"]["schedule"]["items"]["anyOf"]
    assert {"$ref": "#/$defs/ScriptModel"} in entries
    script = made["$defs"]["ScriptModel"]
    assert (set(script["properties"]), set(script["required"])) == ({"target", "at", "steps"}, {"at", "steps"})

"""The life story of a record, line by line: who wrote it, who saw it, what struck, what each door read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaos.history.events import Act, Back, Event, FaultEvent, Note, PhaseEvent, Row, Send
from tests.unit.checks.one_owner import create, judgement, sent, twice

S = 1_000_000_000
Line = tuple[float, str, str]
FIRST = create(1, 6 * S)
BEGUN = PhaseEvent("load", 5 * S, "begun")
DOOR = "a fresh device read everything"


def fresh(*shown: Act) -> list[Event]:
    """A door that was read 100 s after the load had begun."""
    return [*twice(1, "fresh", 105 * S - 3, *shown)]


DAMAGED = fresh(replace(FIRST, hash="0" * 16))
"""What makes a story of the record, whatever became of its writes."""


def story(tmp_path: Path, *events: Event, record: str = "r-1", **changes: Any) -> list[Line]:
    """(seconds after the load began, what, detail) of each line."""
    found = judgement(tmp_path, BEGUN, *events, **changes)
    (told,) = (each.story for each in found.records if each.record == record)
    return [(line.t_seconds_from_load_begin, line.what, line.detail) for line in told]


def read(op: int, t: int, *rows: Row) -> list[Event]:
    """Another phone asks for everything, and has its answer at `t`."""
    return [Act(op, t - 1, "d-2#1", "d-2", "u-1", "sync"), Send(op, 1, t - 1), Back(op, 1, t, "ok", rows=rows)]


def test_a_story_tells_in_seconds_after_the_load_began_what_happened(tmp_path: Path) -> None:
    update = create(2, 7 * S, kind="update", device="d-3", session="d-3#1")
    shown = Row("r-1", "u-1", "w-2", update.hash, "row-1")
    struck = FaultEvent(0, 5 * S + 9, "disk.power_cut", "core", "injected")
    load = [
        struck,
        *sent(FIRST), *sent(update, "info"),
        *read(8, 8 * S, shown), *read(9, 17 * S // 2, shown),
        replace(struck, t=9 * S, happened="healed", bit=True, evidence={"failed_writes": 3, "closed": 1}),
        Note("runbook", 4 * S, "no usable backup;\n  initialised empty"),
    ]  # fmt: skip
    assert story(tmp_path, *load, *fresh(), faults=("disk.power_cut",)) == [
        (-1.0, "runbook", "no usable backup; initialised empty"),
        (9e-9, "disk.power_cut core", "failed_writes 3, closed 1"),
        (1.0, "d-1 created it", "acknowledged at 1.000 s, version w-1"),
        (2.0, "d-3 updated it", "given up at 2.000 s, unknown, version w-2"),
        (3.5, "d-2 saw it last", "version w-2"),
        (4.0, "disk.power_cut core healed", ""),
        (100.0, DOOR, "not there"),
    ]


def test_without_any_fault_the_cold_restart_is_told_between_what_was_read_before_and_after_it(tmp_path: Path) -> None:
    restart = [PhaseEvent("cold restart", 110 * S, happened) for happened in ("begun", "ended")]
    reset = twice(4, "reset:d-1", 120 * S - 3)
    assert story(tmp_path, *sent(FIRST), *fresh(FIRST), *restart, *reset) == [
        (1.0, "d-1 created it", "acknowledged at 1.000 s"),
        (100.0, DOOR, "there, version w-1"),
        (105.0, "cold restart of all services", ""),
        (115.0, "reset:d-1 was read", "not there"),
    ]


def test_versions_are_named_only_where_there_are_several(tmp_path: Path) -> None:
    made: Line = (1.0, "d-1 created it", "acknowledged at 1.000 s")
    assert story(tmp_path, *sent(FIRST), *fresh()) == [made, (100.0, DOOR, "not there")]
    again = replace(FIRST, op=2, t=7 * S, device="d-3", session="d-3#1")
    pushed: Line = (2.0, "d-3 created it", "acknowledged at 2.000 s")
    assert story(tmp_path, *sent(FIRST), *sent(again), *fresh()) == [made, pushed, (100.0, DOOR, "not there")]


Try = tuple[str | None, str, str]
"""The end of an attempt, if it had one: outcome, who answered, and why."""


@pytest.mark.parametrize(
    ("tries", "told"),
    [
        ([], "never sent"),
        ([("ok", "", "")], "acknowledged at 2.500 s"),
        ([("ok", "gateway-1", "")], "acknowledged by gateway-1 at 2.500 s"),
        (
            [("degraded", "gateway-1", "one copy only")],
            "acknowledged by gateway-1 at 2.500 s with a warning: one copy only",
        ),
        ([("fail", "gateway-1", "412")], "refused by gateway-1 at 2.500 s: 412"),
        ([("fail", "", "")], "refused at 2.500 s"),
        ([("info", "", "no answer in 2 s")], "given up at 2.500 s, unknown: no answer in 2 s"),
        ([(None, "", "")], "sent at 2.000 s, no answer ever came"),
        ([("info", "", "reset"), ("ok", "gateway-2", "")], "acknowledged by gateway-2 at 3.500 s, in 2 attempts"),
        ([("ok", "gateway-1", ""), ("info", "", "reset")], "acknowledged by gateway-1 at 2.500 s, in 2 attempts"),
        ([("ok", "gateway-1", ""), ("ok", "gateway-2", "")], "acknowledged by gateway-1 at 2.500 s, in 2 attempts"),
        (
            [("degraded", "", "slow"), ("info", "", "reset")],
            "acknowledged at 2.500 s with a warning: slow, in 2 attempts",
        ),
        ([("fail", "", "503"), ("fail", "", "503"), ("fail", "", "412")], "refused at 4.500 s: 412, in 3 attempts"),
        ([("info", "", "reset"), (None, "", "")], "sent at 3.000 s, no answer ever came, in 2 attempts"),
        ([("info", "", "reset"), ("fail", "gateway-1", "503")], "given up at 2.500 s, unknown: reset, in 2 attempts"),
    ],
)
def test_of_several_attempts_the_one_that_tells_what_is_known_of_the_write_is_told(
    tries: list[Try], told: str, tmp_path: Path
) -> None:
    events: list[Event] = [FIRST]
    for n, (outcome, by, why) in enumerate(tries, 1):
        events.append(Send(1, n, 6 * S + n * S))
        if outcome is not None:
            events.append(Back(1, n, 6 * S + n * S + S // 2, outcome, by=by, why=why))  # type: ignore[arg-type]
    assert story(tmp_path, *events, *DAMAGED)[0] == (1.0, "d-1 created it", told)


def test_a_write_that_waited_in_an_outbox_is_told_with_the_time_of_the_act_and_of_the_answer_and_with_its_base(
    tmp_path: Path,
) -> None:
    waited: list[Event] = [
        create(2, 7 * S, kind="update", base="w-1"),
        Send(2, 1, 12 * S),
        Back(2, 1, 13 * S, "ok", by="gateway-1"),
    ]
    assert story(tmp_path, *sent(FIRST), *waited, *fresh())[:2] == [
        (1.0, "d-1 created it", "acknowledged at 1.000 s, version w-1"),
        (2.0, "d-1 updated it", "acknowledged by gateway-1 at 8.000 s, version w-2 on w-1"),
    ]


def test_a_damaged_copy_that_a_read_of_the_load_showed_is_told_in_the_story_of_its_record(tmp_path: Path) -> None:
    acts = [FIRST, create(2, 6 * S, "r-2"), create(3, 6 * S, "r-3")]
    rows = [Row(act.record, "u-1", act.write, f"{act.op}" * 16) for act in acts]
    of_nothing = Row("r-2", "u-1", "", "9" * 16)
    load = [event for act in acts for event in sent(act)]
    assert story(tmp_path, *load, *read(8, 8 * S, *rows), *read(9, 9 * S, of_nothing), *fresh(), record="r-2") == [
        (1.0, "d-1 created it", "acknowledged at 1.000 s"),
        (3.0, "d-2 read it", "w-2, hash 2222222222222222"),
        (4.0, "d-2 read it", "no version, hash 9999999999999999"),
        (100.0, DOOR, "not there"),
    ]


def fault(index: int, happened: Any, t: int, target: str = "core", **evidence: int) -> FaultEvent:
    return FaultEvent(index, t * S, NAMES[index], target, happened, bit=True, evidence=evidence)


NAMES = ("process.kill", "network.partition", "disk.lose", "process.pause")


def test_a_fault_is_told_with_the_evidence_of_its_own_end_and_one_that_never_came_is_not(tmp_path: Path) -> None:
    events = [
        fault(0, "injected", 10, killed=1),
        fault(0, "healed", 11, killed=2),
        fault(1, "missed", 12),
        fault(2, "injected", 13, target=""),
        fault(3, "injected", 14, paused=7),
        fault(3, "healed", 15, seconds=1),
        fault(2, "lasting", 16, closed=5),
    ]
    told = story(tmp_path, *sent(FIRST), *events, *fresh(), faults=NAMES)
    assert told[1:-1] == [
        (5.0, "process.kill core", "killed 2"),
        (6.0, "process.kill core healed", ""),
        (8.0, "disk.lose", "closed 5"),
        (9.0, "process.pause core", "paused 7, seconds 1"),
        (10.0, "process.pause core healed", ""),
    ]


def numbered(count: int) -> list[Event]:
    """What makes so many lines between a create and a door."""
    return [Note("fsck", (10 + n) * S, f"step {n}") for n in range(count)]


def of_notes(*steps: int) -> list[Line]:
    return [(5.0 + n, "fsck", f"step {n}") for n in steps]


@pytest.mark.parametrize(
    ("notes", "left_out"),
    [(38, []), (39, []), (40, [(24.0, "...", "2 lines left out")]), (82, [(24.0, "...", "44 lines left out")])],
)
def test_of_a_long_story_the_first_and_the_last_twenty_lines_are_told(
    notes: int, left_out: list[Line], tmp_path: Path
) -> None:
    made, *told, gone = story(tmp_path, *sent(FIRST), *numbered(notes), *DAMAGED)
    assert (made[1], gone[1]) == ("d-1 created it", DOOR)
    first = 19 if left_out else notes
    assert told == [*of_notes(*range(first)), *left_out, *of_notes(*range(max(first, notes - 19), notes))]


@pytest.mark.parametrize(
    ("door", "told"),
    [
        ("fresh", DOOR),
        ("cache d-7", "d-7 synced, its cache was read"),
        ("reset d-7", "d-7 was reset and read everything"),
        ("replica db", "replica db was read"),
    ],
)
def test_a_door_is_told_in_words_with_what_was_there(door: str, told: str, tmp_path: Path) -> None:
    two = [create(2, 7 * S, kind="update", base="w-1"), create(3, 7 * S, kind="update", base="w-1")]
    load = [event for act in (FIRST, *two) for event in sent(act)]
    assert story(tmp_path, *load, *twice(1, door, 105 * S - 3, *two))[-1] == (
        100.0, told, "there, version w-2 and w-3"
    )  # fmt: skip
    damaged = [replace(FIRST, hash=digit * 16) for digit in "01"]
    assert story(tmp_path, *sent(FIRST), *twice(1, door, 105 * S - 3, *damaged))[-1] == (
        100.0, told, "there, corrupted and duplicated"
    )  # fmt: skip

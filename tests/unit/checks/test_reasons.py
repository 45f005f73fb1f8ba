"""What a verdict says, to the number."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaos.history.events import CANARY_OWNER, Act, Back, DoorRead, Event, FaultEvent, Note, Row, Send
from tests.unit.checks.one_owner import closer_look, create, door, judgement, sent, twice

A, B, C = (create(op, 10 * op, f"r-{op}") for op in (1, 2, 3))
LOAD = [event for act in (A, B, C) for event in sent(act)]  # acknowledged at 12, 22 and 32


def reasons(tmp_path: Path, *events: Event, **changes: Any) -> list[str]:
    _, found = closer_look(tmp_path, *events, **changes)
    assert found.reason == found.reasons[0] == "the check is blind: only 0 of 2 canaries were planted"
    return [reason for reason in found.reasons[1:] if "at every door" not in reason]


def shown(*acts: Act) -> list[DoorRead]:
    return twice(1, "fresh", 100, *acts)


def synced(t: int, *rows: Row, owner: str = "u-1") -> list[Event]:
    act = Act(90, t, "d-2#1", "d-2", owner, "sync")
    return [act, Send(90, 1, t), Back(90, 1, t + 1, "ok", rows=rows)]


def struck(t: int) -> list[FaultEvent]:
    fault = FaultEvent(0, t, "san.lose", "core", "injected", phase="converge")
    return [fault, replace(fault, t=t + 1, happened="healed", bit=True)]


@pytest.mark.parametrize(
    ("t", "kept", "said"),
    [
        (22, (B, C), "1 of 2 records acknowledged before san.lose are lost"),
        (22, (C,), "2 of 2 records acknowledged before san.lose are lost"),
        (22, (B,), "1 of 2 records acknowledged before san.lose are lost, and 1 later ones"),
        (22, (), "2 of 2 records acknowledged before san.lose are lost, and 1 later ones"),
        (22, (A, B), "1 of 3 acknowledged records are lost"),
        (21, (A, C), "1 of 3 acknowledged records are lost"),
        (32, (A, C), "1 of 3 records acknowledged before san.lose are lost"),
    ],
)
def test_what_is_lost_is_counted_among_what_was_acknowledged_before_the_first_fault(
    t: int, kept: tuple[Act, ...], said: str, tmp_path: Path
) -> None:
    assert reasons(tmp_path, *LOAD, *struck(t), *shown(*kept), faults=("san.lose",)) == [said]


def test_of_several_faults_the_first_tells_what_was_acknowledged_before(tmp_path: Path) -> None:
    later = [replace(event, index=1, fault="process.kill") for event in struck(40)]
    faults = ("san.lose", "process.kill")
    said = ["1 of 2 records acknowledged before san.lose are lost"]
    assert reasons(tmp_path, *LOAD, *struck(22), *later, *shown(B, C), faults=faults) == said


def test_what_was_deleted_need_not_be_there_and_is_not_counted(tmp_path: Path) -> None:
    removed = sent(create(4, 40, "r-3", kind="delete", hash="", base="w-3"))
    assert reasons(tmp_path, *LOAD, *removed, *shown(B)) == ["1 of 2 acknowledged records are lost"]
    assert reasons(tmp_path, *LOAD, *removed, *shown(A, B)) == []
    later = [*sent(create(4, 40, "r-3", kind="delete", hash="", base="w-3"), "info"), *shown(B)]
    assert reasons(tmp_path, *LOAD, *later, minimum_acknowledged=0)[0] == "1 of 2 acknowledged records are lost"


def test_what_was_lost_before_it_was_deleted_is_counted(tmp_path: Path) -> None:
    """A phone had the delete in its outbox when the fresh device read, and sent it afterwards."""
    removed = create(4, 40, "r-1", kind="delete", hash="", base="w-1")
    later: list[Event] = [removed, Send(4, 1, 150), Back(4, 1, 152, "ok")]
    assert reasons(tmp_path, *LOAD, *later, *shown(B, C)) == ["1 of 3 acknowledged records are lost"]


def test_other_classes_are_counted_one_record_is_and_two_are(tmp_path: Path) -> None:
    def damaged(*acts: Act) -> list[Event]:
        return [
            replace(e, rows=tuple(_damaged(row) if row.write in {a.write for a in acts} else row for row in e.rows))
            for e in shown(A, B, C)
            if isinstance(e, DoorRead)
        ]

    assert reasons(tmp_path, *LOAD, *damaged(A)) == ["1 record is corrupted"]
    assert reasons(tmp_path, *LOAD, *damaged(A, C)) == ["2 records are corrupted"]


def _damaged(row: Row) -> Row:
    return replace(row, hash="0" * 16)


def test_the_worst_class_comes_first_and_within_it_the_oldest_record(tmp_path: Path) -> None:
    rows = (Row("r-3", "u-1", "w-3", "0" * 16, "row-3"), Row("r-1", "u-1", "w-1", "0" * 16, "row-1"))
    reads = [replace(door(1, "fresh", n, 100 + 2 * n), rows=rows) for n in (1, 2)]
    stray = tuple(replace(row, record="r-9", write="w-9") for row in rows[:1])
    found = judgement(tmp_path, *LOAD, *(replace(read, rows=(*rows, *stray)) for read in reads))
    assert [(each.record, each.classes) for each in found.records] == [
        ("r-2", ("lost",)), ("r-1", ("corrupted",)), ("r-3", ("corrupted",)), ("r-9", ("phantom",)),
    ]  # fmt: skip
    assert [each.type for each in found.records] == ["todo", "todo", "todo", ""]


def test_a_record_is_as_old_as_its_first_operation(tmp_path: Path) -> None:
    newer = sent(create(4, 40, "r-1", kind="update", base="w-1"))
    found = judgement(tmp_path, *LOAD, *newer, *shown())
    assert [each.record for each in found.records] == ["r-1", "r-2", "r-3"]


def test_the_life_stories_of_three_hundred_records_are_told(tmp_path: Path) -> None:
    acts = [create(op, op, f"r-{op}") for op in range(1, 303)]
    found = judgement(tmp_path, *(event for act in acts for event in sent(act)), *twice(1, "fresh", 1000))
    assert (len(found.records), found.records_total) == (300, 302)


def test_a_service_that_does_not_serve_and_data_that_nothing_protects_are_told_in_the_words_of_their_notes(
    tmp_path: Path,
) -> None:
    notes = [
        Note("copies", 50, "db on one array"),
        Note("unrecoverable", 60, "db exits with code 1"),
        Note("unprotected", 70, "one array has it all"),
        Note("role", 80, "primary: nobody"),
    ]
    assert reasons(tmp_path, *LOAD, *notes, *shown(A, B, C)) == [
        "the service does not serve after the runbook: db exits with code 1",
        "what was acknowledged is not protected: one array has it all",
    ]


@pytest.mark.parametrize("owner", ["u-a", "u-z"])
def test_whatever_the_owner_is_called_what_is_lost_or_misplaced_counts(owner: str, tmp_path: Path) -> None:
    theirs = [create(op, 10 * op, f"r-{op}", owner=owner) for op in (1, 2)]
    load = [event for act in theirs for event in sent(act)]
    reads = [replace(read, owner=owner) for read in shown(theirs[0])]
    assert reasons(tmp_path, *load, *reads) == ["1 of 2 acknowledged records are lost"]
    stray = Row("r-9", owner, "w-9", "0" * 16, "row-9")
    whole = [replace(read, owner=owner) for read in shown(*theirs)]
    assert reasons(tmp_path, *load, *synced(80, stray, owner=owner), *whole) == ["1 record is phantom"]
    # A user's record at the canaries' door, and a canary at a user's.
    planted = create(8, 80, "canary-a", owner=CANARY_OWNER)
    for reader, strange in ((CANARY_OWNER, theirs[0]), (owner, planted)):
        misplaced = [replace(read, owner=reader) for read in twice(1, "fresh", 200, strange)]
        assert "1 record is misattributed" in reasons(tmp_path, *load, *sent(planted), *misplaced), reader


def test_what_canaries_readers_find_of_canaries_is_no_finding(tmp_path: Path) -> None:
    stray = create(9, 9, "canary-c", owner=CANARY_OWNER)
    rows = (Row(stray.record, CANARY_OWNER, stray.write, stray.hash, "row-9"),)
    load = [*LOAD, *synced(80, *rows, owner=CANARY_OWNER), *shown(A, B, C)]
    reads = [replace(read, owner=CANARY_OWNER) for read in twice(1, "fresh", 200, stray)]
    assert reasons(tmp_path, *load, *reads) == []


@pytest.mark.parametrize(("step", "name"), [(1, "fresh"), (2, "cache d-1")])
def test_a_phantom_is_told_whether_or_not_an_acknowledged_write_builds_on_it(
    step: int, name: str, tmp_path: Path
) -> None:
    never_sent = create(4, 40, "r-4")
    on_it = create(5, 50, "r-4", kind="update", base="w-4")
    for building in ([], sent(on_it)):
        reads = twice(step, name, 100, A, B, C, never_sent)
        assert reasons(tmp_path, *LOAD, never_sent, *building, *reads) == ["1 record is phantom"]


@pytest.mark.parametrize(
    ("acknowledged", "unknown", "thin"),
    [(4, 1, False), (3, 1, True), (8, 2, False), (7, 2, True)],
)
def test_a_fifth_of_the_operations_may_be_unknown(
    acknowledged: int, unknown: int, *, thin: bool, tmp_path: Path
) -> None:
    acts = [create(op, 10, f"r-{op}") for op in range(acknowledged + unknown)]
    load = [event for n, act in enumerate(acts) for event in sent(act, "ok" if n < acknowledged else "info")]
    said = f"{unknown} of {acknowledged + unknown} operations are unknown, at most 20% wanted"
    assert reasons(tmp_path, *load, *shown(*acts)) == ([said] if thin else [])


@pytest.mark.parametrize(("least", "wanted"), [(0, 0), (3, 0), (4, 4)])
def test_the_minimum_is_enough_and_one_is_the_least(least: int, wanted: int, tmp_path: Path) -> None:
    said = [f"3 operations were acknowledged, at least {wanted} wanted"] if wanted else []
    assert reasons(tmp_path, *LOAD, *shown(A, B, C), minimum_acknowledged=least) == said
    nothing = reasons(tmp_path, *shown(), minimum_acknowledged=least)
    assert nothing == [f"0 operations were acknowledged, at least {max(1, least)} wanted"]


def test_doors_that_could_not_be_read_or_kept_changing_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    failed = replace(door(2, "cache d-1", 1, 110), outcome="fail", why="timed out")
    silent = replace(door(2, "cache d-2", 1, 120), outcome="fail")
    changing = door(4, "reset d-1", 1, 130, A, B, C)
    assert reasons(tmp_path, *LOAD, *shown(A, B, C), failed, silent, changing) == [
        "2 of 4 doors could not be read, the first is cache d-1 of u-1: timed out",
        "1 of 4 doors kept changing, the first is reset d-1 of u-1",
    ]
    assert judgement(tmp_path, *LOAD, failed, silent, changing).anomalies == {
        "unreadable": 2, "not-quiescent": 1, "never-read": 3,
    }  # fmt: skip
    assert reasons(tmp_path, *LOAD) == ["no final read was made"]


def test_doors_are_counted_whether_or_not_their_owner_needs_a_closer_look(tmp_path: Path) -> None:
    failed = replace(door(2, "cache d-1", 1, 110), outcome="fail", why="timed out")
    other = replace(failed, door="cache d-2", owner="u-2", why="refused")
    clean = create(4, 40, "r-4", owner="u-3", device="d-3")
    doors = ((1, "fresh"), (2, "cache d-3"), (4, "reset d-3"))
    plain = [replace(read, owner="u-3") for step, name in doors for read in twice(step, name, 100, clean)]
    assert reasons(tmp_path, *LOAD, *sent(clean), *shown(A, B, C), failed, other, *plain) == [
        "2 of 6 doors could not be read, the first is cache d-1 of u-1: timed out"
    ]

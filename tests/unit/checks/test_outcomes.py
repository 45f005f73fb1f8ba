"""What is told of the unknown, the degraded and the overwritten, and what the final reads covered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaos.checks.conditions.coverage import not_read
from chaos.history.events import Act, Back, Event, Row, Send
from tests.unit.checks.one_owner import closer_look, create, door, judgement, sent, twice

FIRST = create(1, 10)
LATER = create(2, 20, kind="update")
REMOVED = create(2, 20, kind="delete", hash="", base="w-1")
MADE = sent(FIRST)


def told(tmp_path: Path, *events: Event, **changes: Any) -> Mapping[str, int]:
    return judgement(tmp_path, *events, **changes).reported


def seen(*shown: Act, t: int = 50) -> list[Event]:
    rows = tuple(Row(a.record, a.owner, a.write, a.hash, "row-1") for a in shown)
    return [Act(90, t, "d-2#1", "d-2", "u-1", "sync"), Send(90, 1, t), Back(90, 1, t + 1, "ok", rows=rows)]


@pytest.mark.parametrize(
    ("outcome", "applied", "not_applied"),
    [("info", "info-applied", "info-not-applied"), ("degraded", "degraded-kept", "degraded-erased")],
)
def test_what_became_of_an_unknown_write_is_told_as_far_as_a_final_read_shows_it(
    outcome: str, applied: str, not_applied: str, tmp_path: Path
) -> None:
    load = [*MADE, *sent(LATER, outcome)]
    assert told(tmp_path, *load, *twice(1, "fresh", 100, LATER)) == {applied: 1}
    assert told(tmp_path, *load, *twice(1, "fresh", 100, FIRST)) == {not_applied: 1}
    assert told(tmp_path, *load, *twice(2, "cache d-1", 100, LATER)) == {applied: 1}
    assert told(tmp_path, *sent(FIRST, outcome), *twice(1, "fresh", 100, FIRST)) == {applied: 1}
    assert told(tmp_path, *sent(FIRST, outcome), *twice(1, "fresh", 100)) == {not_applied: 1}
    # A read of the load proves it as well, whatever came after it.
    after = sent(create(3, 60, kind="update"))
    last = create(3, 60, kind="update")
    assert told(tmp_path, *load, *seen(LATER), *after, *twice(1, "fresh", 100, last)) == {applied: 1}


def test_what_became_of_an_unknown_delete_is_told_by_the_absence_of_the_record(tmp_path: Path) -> None:
    load = [*MADE, *sent(REMOVED, "info")]
    assert told(tmp_path, *load, *twice(1, "fresh", 100)) == {"info-applied": 1}
    assert told(tmp_path, *load, *twice(1, "fresh", 100, FIRST)) == {"info-not-applied": 1}
    # Where the record must be there its absence is a loss, and no work of a delete on another version.
    elsewhere = create(3, 15, kind="update", base="w-1")
    lost = [*MADE, *sent(elsewhere), *sent(REMOVED, "info"), *twice(1, "fresh", 100)]
    assert told(tmp_path, *lost) == {"info-not-applied": 1}
    # What is there is damaged, but it is there.
    damaged = [*load, *twice(1, "fresh", 100, replace(FIRST, hash="0" * 16))]
    assert judgement(tmp_path, *damaged).anomalies["corrupted"] == 1
    assert told(tmp_path, *damaged) == {"info-not-applied": 1}


@pytest.mark.parametrize(("acted", "late"), [(21, 0), (22, 0), (23, 1)])
def test_an_unknown_write_is_late_if_it_replaced_one_that_began_after_it_was_given_up(
    acted: int, late: int, tmp_path: Path
) -> None:
    after = sent(create(3, acted, kind="update"), t=40)
    load = [*MADE, *sent(LATER, "info", t=22), *after]
    assert told(tmp_path, *load, *twice(1, "fresh", 100, LATER)).get("late-effect", 0) == late
    assert told(tmp_path, *load, *twice(1, "fresh", 100, create(3, acted, kind="update"))) == {"info-not-applied": 1}
    removed = create(2, 20, kind="delete", hash="")
    load = [*MADE, *sent(removed, "info", t=22), *after]
    assert told(tmp_path, *load, *twice(1, "fresh", 100)).get("late-effect", 0) == late


@pytest.mark.parametrize(("acted", "late"), [(20, 0), (21, 1)])
def test_an_unknown_write_that_was_never_answered_was_given_up_when_it_was_acted(
    acted: int, late: int, tmp_path: Path
) -> None:
    after = sent(create(3, acted, kind="update"), t=40)
    load = [*MADE, *sent(LATER, None), *after, *twice(1, "fresh", 100, LATER)]
    assert told(tmp_path, *load).get("late-effect", 0) == late


def test_nothing_is_late_that_came_before_unknown_ones_only_or_where_something_is_wrong(tmp_path: Path) -> None:
    later = sent(create(3, 60, kind="update"), "info")
    assert "late-effect" not in told(tmp_path, *MADE, *sent(LATER, "info"), *later, *twice(1, "fresh", 100, LATER))
    acknowledged = sent(create(3, 60, kind="update"))
    two = [create(2, 20, kind="update"), create(2, 20, kind="update")]
    found = judgement(tmp_path, *MADE, *sent(LATER, "info"), *acknowledged, *twice(1, "fresh", 100, *two))
    assert found.anomalies["duplicated"] == 1
    assert "late-effect" not in found.reported


@pytest.mark.parametrize("write", ["w-3", "w-0"])
def test_the_names_of_writes_say_nothing_about_their_order(write: str, tmp_path: Path) -> None:
    after = sent(create(3, 30, kind="update", write=write))
    load = [*MADE, *sent(LATER, "info", t=22), *after, *twice(1, "fresh", 100, LATER)]
    assert told(tmp_path, *load)["late-effect"] == 1


def test_only_what_may_have_made_what_a_final_read_found_is_late(tmp_path: Path) -> None:
    unconditional = replace(REMOVED, base=None)
    replaced = create(3, 30, kind="update")
    load = [*MADE, *sent(unconditional, "info", t=22), *sent(replaced)]
    assert told(tmp_path, *load, *twice(1, "fresh", 100, replaced)) == {"info-not-applied": 1}
    load = [*MADE, *sent(LATER, "info", t=22), *sent(create(3, 30, kind="delete", hash=""))]
    assert told(tmp_path, *load, *twice(1, "fresh", 100)) == {"info-not-applied": 1}


def test_without_keys_an_attempt_whose_answer_was_lost_may_be_late_though_the_next_was_acknowledged(
    tmp_path: Path,
) -> None:
    again = [*sent(LATER, "info", t=22), Send(2, 2, 23), Back(2, 2, 24, "ok")]
    load = [*MADE, *again, *sent(create(3, 30, kind="update")), *twice(1, "fresh", 100, LATER)]
    assert told(tmp_path, *load, idempotency="none") == {"info-applied": 1, "late-effect": 1}
    assert told(tmp_path, *load) == {}
    assert judgement(tmp_path, *load).anomalies["lost"] == 1


def test_a_door_that_shows_other_damage_each_time_proves_nothing_about_an_unknown_delete(tmp_path: Path) -> None:
    corrupted = door(1, "fresh", 1, 100, replace(FIRST, hash="0" * 16))
    torn = replace(corrupted.rows[0], stamps=(("u-1", "r-1", "w-0"),))
    changed = replace(corrupted, round=2, invoked=102, t=103, rows=(torn,))
    found = judgement(tmp_path, *MADE, *sent(replace(REMOVED, base=None), "info"), corrupted, changed)
    assert found.anomalies == {"not-quiescent": 1, "never-read": 1}
    assert found.reported == {"info-not-applied": 1}


def test_what_last_writer_wins_overwrote_is_every_acknowledged_write_on_one_base_but_one(tmp_path: Path) -> None:
    def overwritten(*outcomes: str) -> int:
        updates = [create(op, 20 + op, kind="update", base="w-1") for op in range(2, 2 + len(outcomes))]
        load = [event for act, outcome in zip(updates, outcomes, strict=True) for event in sent(act, outcome, t=40)]
        return told(tmp_path, *MADE, *load, policy="last-writer-wins").get("policy-overwritten", 0)

    assert overwritten("ok") == 0
    assert overwritten("ok", "ok") == 1
    assert overwritten("ok", "info", "ok", "ok") == 2
    assert overwritten("ok", "fail") == 0
    assert told(tmp_path, *MADE, *sent(LATER), *sent(create(3, 30, kind="update")), policy="last-writer-wins") == {}


def test_operations_are_counted_by_outcome_and_what_was_never_sent_has_failed(tmp_path: Path) -> None:
    parts = [sent(create(op, 10, f"r-{op}"), outcome) for op, outcome in enumerate(("ok", "info", "fail", "degraded"))]
    load = [*(event for part in parts for event in part), create(9, 10, "r-9")]
    assert judgement(tmp_path, *load).operations == {"ok": 1, "info": 1, "fail": 2, "degraded": 1}


READ = {(1, "fresh"), (2, "cache d-1"), (2, "cache d-2"), (4, "reset d-1"), (4, "reset d-2"), (4, "replica db")}


@pytest.mark.parametrize("missing", sorted(READ))
def test_an_owner_was_read_once_a_fresh_device_every_device_and_every_copy_were(missing: tuple[int, str]) -> None:
    assert not_read(["d-2", "d-1"], ["replica db"], READ) == ""
    assert not_read(["d-2", "d-1"], ["replica db"], READ - {missing}) == missing[1]
    for step in (0, 8):
        elsewhere = {(step, missing[1])}
        assert not_read(["d-2", "d-1"], ["replica db"], READ - {missing} | elsewhere) == missing[1]


def test_of_several_gaps_the_first_one_is_told(tmp_path: Path) -> None:
    assert not_read(["d-2", "d-1"], ["replica db"], {(1, "fresh")}) == "cache d-1"
    assert not_read(["d-2", "d-1"], [], {(1, "fresh"), (2, "cache d-1"), (2, "cache d-2")}) == "reset d-1"
    other = create(2, 20, "r-2")
    load = [*MADE, *sent(other), *sent(create(3, 30, "r-3"), "info")]
    found = judgement(tmp_path, *load, *twice(1, "fresh", 100, FIRST))
    assert (found.covered, found.coverable) == (0, 2)
    assert "2 of 2 acknowledged records were not read at every door, the first gap is cache d-1 of u-1" in found.reasons


@pytest.mark.parametrize("owner", ["u-2", "u-z"])
def test_the_records_of_one_owner_are_covered_though_those_of_another_are_not(owner: str, tmp_path: Path) -> None:
    mine = [*MADE, *twice(1, "fresh", 100, FIRST), *twice(2, "cache d-1", 110, FIRST)]
    theirs = [create(op, 20, f"r-{op}", owner=owner, device="d-2") for op in (2, 3, 4)]
    fresh = [replace(read, owner=owner) for read in twice(1, "fresh", 120, *theirs)]
    load = [*mine, *twice(4, "reset d-1", 130, FIRST), *(event for act in theirs for event in sent(act)), *fresh]
    found = judgement(tmp_path, *load)
    assert closer_look(tmp_path, *load) == (set(), found)
    assert (found.covered, found.coverable) == (1, 4)
    assert found.anomalies == {"never-read": 3}
    said = f"3 of 4 acknowledged records were not read at every door, the first gap is cache d-2 of {owner}"
    assert said in found.reasons


def test_a_device_is_read_for_its_owner_whether_or_not_what_it_changed_needs_a_closer_look(tmp_path: Path) -> None:
    other = create(2, 20, "r-2", device="d-2")
    for unknown in (FIRST, other):
        load = [event for act in (FIRST, other) for event in sent(act, "info" if act is unknown else "ok")]
        reads = [*twice(1, "fresh", 100, FIRST, other), *twice(2, "cache d-1", 110, FIRST, other)]
        closer, found = closer_look(tmp_path, *load, *reads)
        assert closer == {unknown.record}
        assert (found.covered, found.coverable) == (0, 1)
        assert any("the first gap is cache d-2 of u-1" in reason for reason in found.reasons)

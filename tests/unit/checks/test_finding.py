"""The facts of a finding: which version, who vouched for it, which read shows what is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaos.checks.finding import Finding
from chaos.checks.story import AnomalousRecord
from chaos.history.events import Act, Back, Event, PhaseEvent, Row, Send
from tests.unit.checks.one_owner import create, door, judgement, sent, twice

S = 1_000_000_000
FIRST = create(1, 6 * S)
BEGUN = PhaseEvent("load", 5 * S, "begun")


def found(tmp_path: Path, *events: Event, **changes: Any) -> AnomalousRecord:
    (record,) = judgement(tmp_path, BEGUN, *events, **changes).records
    return record


def fresh(*shown: Act) -> list[Event]:
    return [*twice(1, "fresh", 105 * S - 3, *shown)]


def acknowledged(act: Act, t: int, by: str = "gateway-1") -> list[Event]:
    return [act, Send(act.op, 1, act.t + 1), Back(act.op, 1, t, "ok", by=by)]


def test_a_loss_names_the_last_acknowledged_version_who_vouched_for_it_and_the_first_read_without_it(
    tmp_path: Path,
) -> None:
    update = create(2, 7 * S, kind="update", base="w-1", device="d-2", session="d-2#1")
    record = found(tmp_path, *acknowledged(FIRST, 13 * S // 2), *acknowledged(update, 8 * S), *fresh())
    assert record.finding == Finding(
        "lost", "w-2", "update", "d-2", 2.0, "acknowledged", 3.0, "gateway-1", "fresh", 100.0, "missing", (), ("lost",)
    )


def test_an_older_version_in_its_place_is_named_and_its_line_is_as_wrong_as_a_missing_one(tmp_path: Path) -> None:
    update = create(2, 7 * S, kind="update", base="w-1")
    record = found(tmp_path, *acknowledged(FIRST, 13 * S // 2), *acknowledged(update, 8 * S), *fresh(FIRST))
    assert (record.finding.write, record.finding.found, record.finding.versions) == ("w-2", "version", ("w-1",))
    assert (record.story[-1].detail, record.story[-1].mark) == ("there, version w-1 in place of w-2", "wrong")
    missing = found(tmp_path, *acknowledged(FIRST, 13 * S // 2), *fresh())
    assert (missing.story[-1].detail, missing.story[-1].mark) == ("not there", "wrong")


def test_of_what_came_back_the_delete_counts_and_nothing_must_be_there(tmp_path: Path) -> None:
    delete = create(2, 7 * S, kind="delete", base="w-1", hash="")
    record = found(tmp_path, *acknowledged(FIRST, 13 * S // 2), *acknowledged(delete, 8 * S), *fresh(FIRST))
    assert record.classes == ("resurrected",)
    assert (record.finding.write, record.finding.kind, record.finding.since) == ("w-2", "delete", 3.0)
    assert record.story[-1].detail == "there, version w-1, and nothing must be there"


def test_what_a_read_alone_had_shown_says_which_phone_saw_it(tmp_path: Path) -> None:
    shown = Row("r-1", "u-1", "w-1", FIRST.hash, "row-1")
    read: list[Event] = [
        Act(8, 8 * S - 1, "d-2#1", "d-2", "u-1", "sync"),
        Send(8, 1, 8 * S - 1),
        Back(8, 1, 8 * S, "ok", rows=(shown,)),
    ]
    record = found(tmp_path, *sent(FIRST, "info"), *read, *fresh())
    assert record.classes[0] == "seen-then-lost"
    assert (record.finding.standing, record.finding.since, record.finding.by) == ("shown", 3.0, "d-2")


def test_a_refused_write_that_is_there_tells_who_refused_it(tmp_path: Path) -> None:
    record = found(tmp_path, FIRST, Send(1, 1, 6 * S + 1), Back(1, 1, 7 * S, "fail", by="gateway-2"), *fresh(FIRST))
    assert record.classes == ("aborted-visible",)
    assert (record.finding.standing, record.finding.since, record.finding.by) == ("refused", 2.0, "gateway-2")


def test_a_door_that_differs_while_another_one_of_its_step_is_right_is_marked_alone(tmp_path: Path) -> None:
    doors = [*twice(4, "reset d-1", 105 * S, FIRST), *twice(4, "reset d-2", 106 * S)]
    record = found(tmp_path, *sent(FIRST), *doors)
    assert record.classes == ("lost-on-node",)
    assert record.finding.right_elsewhere
    assert (record.finding.door, record.finding.found) == ("reset d-2", "missing")
    assert [line.mark for line in record.story] == ["", "", "wrong"]


def test_doors_that_are_each_allowed_and_disagree_are_marked(tmp_path: Path) -> None:
    # An update without an answer may have taken effect or not, and not both at once.
    update = create(2, 7 * S, kind="update", base="w-1")
    newer, older = door(4, "reset d-1", 1, 105 * S, update), door(4, "reset d-2", 1, 110 * S, FIRST)
    doors = [newer, replace(newer, round=2, invoked=115 * S, t=115 * S + 1, settled=True)]
    doors += [older, replace(older, round=2, invoked=111 * S, t=111 * S + 1, settled=True)]
    record = found(tmp_path, *sent(FIRST), *sent(update, "info"), *sorted(doors, key=lambda each: each.t))
    assert record.classes[0] == "lost-on-node"
    assert "wrong" in {line.mark for line in record.story}


@pytest.mark.parametrize("users", [1, 2])
def test_how_many_users_have_such_a_record_is_counted(users: int, tmp_path: Path) -> None:
    second = create(2, 7 * S, "r-2", owner=f"u-{users}", device="d-9", session="d-9#1")
    doors = [*fresh(), *(replace(each, owner="u-2") for each in twice(1, "fresh", 105 * S) if users == 2)]
    judged = judgement(tmp_path, BEGUN, *sent(FIRST), *sent(second), *doors)
    assert (judged.records_total, judged.owners_total) == (2, users)

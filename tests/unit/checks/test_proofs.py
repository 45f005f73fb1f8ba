"""What final reads and reads of the load prove, and what that makes of the doors after them, case by case."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaos.checks.explain import explain_record
from chaos.history.events import Act, Back, Event, Policy, Row, Send
from chaos.history.reader import read_history
from tests.unit.checks.one_owner import after_a_loss, anomalies, closer_look, create, door, loss, recorded, sent, twice

FIRST = create(1, 10)
MADE = sent(FIRST)


def update(op: int, t: int, base: str | None = "w-1") -> Act:
    return create(op, t, kind="update", base=base)


def delete(op: int, t: int, base: str | None = "w-1") -> Act:
    return create(op, t, kind="delete", hash="", base=base)


def told(t: int, act: Act) -> list[Event]:
    """A read of another phone showed a version."""
    row = Row(act.record, act.owner, act.write, act.hash, "row-r-1")
    op = 1000 + t
    return [Act(op, t, "d-2#1", "d-2", "u-1", "read"), Send(op, 1, t), Back(op, 1, t + 1, "ok", rows=(row,))]


# -- what an absence proves -----------------------------------------------------------------------------------


def test_a_delete_that_a_door_proves_and_an_update_acknowledged_since_are_a_lost_update(tmp_path: Path) -> None:
    unknown = [*MADE, *sent(delete(2, 20), "info")]
    since = [*twice(1, "fresh", 100), *sent(update(3, 150))]
    later = [*twice(2, "cache d-1", 200), *twice(4, "reset d-1", 300)]
    assert anomalies(tmp_path, *unknown, *twice(1, "fresh", 100), *later) == set()
    assert anomalies(tmp_path, *unknown, *since, *later) == {"lost-update"}
    assert anomalies(tmp_path, *unknown, *since) == {"lost-update"}, "though no door comes after it"
    there = [*twice(2, "cache d-1", 200, update(3, 150)), *twice(4, "reset d-1", 300, update(3, 150))]
    assert anomalies(tmp_path, *unknown, *since, *there) == {"lost-update"}
    assert anomalies(tmp_path, *unknown, *sent(update(3, 50)), *twice(1, "fresh", 100)) == {"lost"}
    told_why = "\n".join(explain_record(read_history(recorded(tmp_path, *unknown, *since)), ("u-1", "r-1")))
    assert "r-1 of u-1: lost-update" in told_why


def test_whichever_of_two_unknown_deletes_an_absence_proves_the_record_must_not_come_back(tmp_path: Path) -> None:
    unknown = [*MADE, *sent(delete(2, 20), "info"), *sent(delete(3, 30), "info")]
    fresh = twice(1, "fresh", 100)
    assert anomalies(tmp_path, *unknown, *fresh, *twice(4, "reset d-1", 200)) == set()
    assert anomalies(tmp_path, *unknown, *fresh, *twice(4, "reset d-1", 200, FIRST)) == {"seen-then-lost"}
    assert anomalies(tmp_path, *unknown, *fresh, *sent(update(4, 150))) == {"lost-update"}


@pytest.mark.parametrize("policy", ["reject", "keep-both"])
@pytest.mark.parametrize("refused", [2, 3])
def test_of_two_deletes_that_may_explain_an_absence_the_one_that_is_refused_later_does_not(
    policy: Policy, refused: int, tmp_path: Path
) -> None:
    answers = {2: "info", 3: "info", refused: "fail"}
    unknown = [*MADE, *(e for op in (2, 3) for e in sent(delete(op, 10 * op, "w-1"), answers[op], t=150))]
    fresh = twice(1, "fresh", 100)
    assert anomalies(tmp_path, *unknown, *fresh, policy=policy) == set()
    found = anomalies(tmp_path, *unknown, *fresh, *twice(4, "reset d-1", 200, FIRST), policy=policy)
    assert found in ({"seen-then-lost"}, {"resurrected"})


def test_a_delete_on_a_version_that_was_not_the_last_explains_no_absence(tmp_path: Path) -> None:
    """So it was the other one, and an update on the last version is one too many."""
    unknown = [*MADE, *sent(update(2, 20)), *sent(delete(3, 30), "info"), *sent(delete(4, 40, "w-2"), "info")]
    fresh = twice(1, "fresh", 100)
    assert anomalies(tmp_path, *unknown, *fresh) == set()
    assert anomalies(tmp_path, *unknown, *fresh, *sent(update(5, 150, "w-2"))) == {"lost-update"}


def test_an_absence_after_another_one_proves_another_delete(tmp_path: Path) -> None:
    one, other = sent(delete(2, 20, None), "info"), sent(delete(4, 160, None), "info")
    again = update(3, 150, None)
    load = [*MADE, *one, *twice(1, "fresh", 100), *sent(again), *other, *twice(4, "reset d-1", 200)]
    assert anomalies(tmp_path, *load, *twice(5, "copy", 300)) == set()
    assert anomalies(tmp_path, *load, *twice(5, "copy", 300, again)) == {"seen-then-lost"}


def test_what_one_round_alone_did_not_find_proves_nothing(tmp_path: Path) -> None:
    load = [*MADE, *sent(delete(2, 20), "info")]
    changing = [door(1, "fresh", 1, 100, FIRST), door(1, "fresh", 2, 102, settled=False)]
    assert anomalies(tmp_path, *load, *changing, *twice(4, "reset d-1", 200, FIRST)) == set()
    # Nor where a delete on another version could not have been it at all.
    stale = [*MADE, *sent(update(2, 20)), *sent(delete(3, 30), "info")]
    changing = [door(1, "fresh", 1, 100, update(2, 20)), door(1, "fresh", 2, 102, settled=False)]
    assert anomalies(tmp_path, *stale, *changing, *twice(4, "reset d-1", 200, update(2, 20))) == set()


def test_a_delete_that_is_answered_during_the_doors_is_known_by_an_absence_before(tmp_path: Path) -> None:
    removed = delete(2, 150)
    load = [*MADE, *twice(1, "fresh", 100, FIRST), removed, Send(2, 1, 151)]
    answered: list[Event] = [*twice(4, "reset d-1", 200), Back(2, 1, 305, "ok"), *twice(5, "copy", 300, FIRST)]
    assert anomalies(tmp_path, *load, *answered) == {"seen-then-lost"}


def test_under_keep_both_a_version_that_vanished_must_not_come_back_beside_the_other(tmp_path: Path) -> None:
    two = [*MADE, *sent(update(2, 20)), *sent(update(3, 21))]
    load = [*two, *sent(delete(4, 30, "w-2"), "info")]
    one_left, both = twice(1, "fresh", 100, update(3, 21)), (update(2, 20), update(3, 21))
    assert anomalies(tmp_path, *load, *one_left, *twice(4, "reset d-1", 200, both[1]), policy="keep-both") == set()
    assert anomalies(tmp_path, *load, *one_left, *twice(4, "reset d-1", 200, *both), policy="keep-both") == {
        "resurrected"
    }


def test_under_keep_both_a_version_that_stood_beside_another_one_is_known(tmp_path: Path) -> None:
    load = [*MADE, *sent(update(2, 20)), *sent(update(3, 21), "info")]
    both = twice(1, "fresh", 100, update(2, 20), update(3, 21))
    assert anomalies(tmp_path, *load, *both, policy="keep-both") == set()
    alone = twice(4, "reset d-1", 200, update(2, 20))
    assert anomalies(tmp_path, *load, *alone, policy="keep-both") == set()
    assert anomalies(tmp_path, *load, *both, *alone, policy="keep-both") == {"seen-then-lost"}


# -- attempts that a read has shown ---------------------------------------------------------------------------


def tried_twice(t: int) -> list[Event]:
    """The first attempt had no answer; the second one left at `t` and was acknowledged."""
    return [FIRST, Send(1, 1, 11), Send(1, 2, t), Back(1, 2, t + 1, "ok")]


def test_an_attempt_that_a_read_showed_before_the_next_one_left_cannot_come_late_as_well(tmp_path: Path) -> None:
    later, old = sent(update(2, 50, None)), twice(1, "fresh", 100, FIRST)
    for idempotency in ("keyed", "none"):
        shown = [*tried_twice(30), *told(20, FIRST), *later]
        assert anomalies(tmp_path, *shown, *old, idempotency=idempotency) == {"lost"}
        assert (
            anomalies(tmp_path, *shown, *twice(1, "fresh", 100, update(2, 50, None)), idempotency=idempotency) == set()
        )
    for t in (20, 30):  # the read may have shown either of them
        assert anomalies(tmp_path, *tried_twice(t), *told(29, FIRST), *later, *old, idempotency="none") == set()
    assert anomalies(tmp_path, *tried_twice(31), *told(29, FIRST), *later, *old, idempotency="none") == {"lost"}


def test_a_delete_that_a_read_showed_before_it_was_tried_again_cannot_come_late_as_well(tmp_path: Path) -> None:
    removed = delete(2, 20, None)
    load: list[Event] = [
        *MADE,
        removed,
        Send(2, 1, 21),
        Send(2, 2, 40),
        Back(2, 2, 41, "ok"),
        *sent(update(3, 50, None)),
    ]
    gone: list[Event] = [
        Act(90, 29, "d-2#1", "d-2", "u-1", "sync"),
        Send(90, 1, 29),
        Back(90, 1, 30, "ok", gone=("r-1",)),
    ]
    assert anomalies(tmp_path, *load, *twice(1, "fresh", 100), idempotency="none") == set()
    assert anomalies(tmp_path, *load, *gone, *twice(1, "fresh", 100), idempotency="none") == {"lost"}


def test_a_session_is_owed_what_came_after_an_attempt_that_a_read_had_shown(tmp_path: Path) -> None:
    later = update(2, 50, None)
    own = replace(later, session="d-2#1", device="d-2")
    shown = [*tried_twice(30), *sent(own)]
    old = told(60, FIRST)
    there = twice(1, "fresh", 100, later)
    strict: dict[str, Any] = {"idempotency": "none", "sessions": "strict"}
    assert anomalies(tmp_path, *shown, *old, *there, **strict) == set(), "it may have come late"
    assert anomalies(tmp_path, *shown, *told(20, FIRST), *old, *there, **strict) == {"stale"}


# -- doors of one step ----------------------------------------------------------------------------------------


def test_a_refused_delete_does_not_excuse_doors_that_disagree(tmp_path: Path) -> None:
    load = [*MADE, *sent(delete(2, 20, None), t=40), *sent(update(3, 21, None), t=40)]
    doors = [*twice(4, "reset d-1", 100, update(3, 21, None)), *twice(4, "reset d-2", 200)]
    assert anomalies(tmp_path, *load, *doors) == {"lost-on-node"}
    assert anomalies(tmp_path, *load, *sent(delete(4, 30, None), "fail"), *doors) == {"lost-on-node"}
    assert anomalies(tmp_path, *load, *sent(delete(4, 30, None), "info"), *doors) == set()


def test_without_keys_a_further_attempt_may_take_effect_between_two_doors(tmp_path: Path) -> None:
    second = update(2, 10, None)
    tries: list[Event] = [second, Send(2, 1, 11), Send(2, 2, 20), Back(2, 2, 21, "ok")]
    doors = [*twice(4, "reset d-1", 100, FIRST), *twice(4, "reset d-2", 200, second)]
    assert anomalies(tmp_path, *MADE, *tries, *doors, idempotency="none") == set()
    assert anomalies(tmp_path, *MADE, *tries, *doors) == {"lost-on-node"}


def tried(act: Act, *tries: tuple[int, int, str]) -> list[Event]:
    """A write with requests that left, were answered, and how."""
    events: list[Event] = [act]
    for number, (left, back, outcome) in enumerate(tries, 1):
        events += [Send(act.op, number, left), Back(act.op, number, back, outcome)]  # type: ignore[arg-type]
    return events


def test_what_replaced_another_version_than_the_one_a_door_showed_came_before_that_door(tmp_path: Path) -> None:
    second, third = update(2, 11, None), update(3, 101, None)
    load = [*MADE, *tried(second, (12, 30, "ok")), *twice(4, "reset d-1", 100, second)]
    since = [*tried(third, (103, 110, "ok")), *twice(4, "reset d-2", 200, third)]
    for idempotency in ("keyed", "none"):
        # The deleted version was there until the delete came, or it came before the door, which then lacked both.
        for kind in (delete(4, 103), update(4, 103)):
            other = tried(kind, (104, 105, "ok"))
            assert anomalies(tmp_path, *load, *other, *since, idempotency=idempotency) == {"lost-on-node"}
            closer, found = closer_look(tmp_path, *load, *other, *since, idempotency=idempotency)
            assert (closer, set(found.anomalies) & {"lost-on-node"}) == ({"r-1"}, {"lost-on-node"})
        same = tried(delete(4, 103, "w-2"), (104, 105, "ok"))
        assert anomalies(tmp_path, *load, *same, *since, idempotency=idempotency) == set()
        unknown = tried(delete(4, 103), (104, 105, "info"))
        assert anomalies(tmp_path, *load, *unknown, *since, idempotency=idempotency) == set()


def test_a_late_request_excuses_no_door_that_showed_what_had_been_replaced_until_then(tmp_path: Path) -> None:
    """The delete needs the version that the first door showed to be there; the second request may come at any time."""
    late = tried(FIRST, (11, 12, "info"), (12, 13, "ok"))
    stray, other = update(2, 10, None), update(3, 20, None)
    load = [*late, *sent(stray, "info"), *sent(other), *twice(1, "fresh", 50, stray)]
    doors = [*twice(4, "reset d-1", 100, other), *twice(4, "reset d-2", 200, FIRST)]
    assert anomalies(tmp_path, *load, *doors, idempotency="none") == set()
    removed = tried(delete(4, 90, "w-2"), (110, 111, "ok"))
    assert anomalies(tmp_path, *load, *removed, *doors, idempotency="none") == {"lost-on-node"}


def test_a_write_whose_effect_a_door_showed_does_not_come_once_more_because_it_was_refused_and_tried_again(
    tmp_path: Path,
) -> None:
    """It had taken effect at the first door; so the second one is out of date, whatever the service answered."""
    for policy in ("reject", "last-writer-wins"):
        for act, shown in ((delete(2, 43), ()), (update(2, 43), (update(2, 43),))):
            tries = tried(act, (90, 120, "fail"), (200, 201, "ok"))
            doors = [*twice(4, "reset d-1", 150, FIRST), *twice(4, "reset d-2", 250, *shown)]
            for idempotency in ("keyed", "none"):
                same: dict[str, Any] = {"policy": policy, "idempotency": idempotency}
                assert anomalies(tmp_path, *MADE, *tries, *doors, **same) == set()
                fresh = twice(1, "fresh", 100, *shown)
                assert anomalies(tmp_path, *MADE, *tries, *fresh, *doors, **same) == {"lost-on-node"}


def test_a_delete_acted_after_a_door_does_not_explain_what_that_door_lacked(tmp_path: Path) -> None:
    """Until then the version was there that it deleted, so the door that lacked all of them was out of date."""
    removed, stray, kept = delete(2, 10), update(3, 10, None), update(4, 10, None)
    load = [*MADE, *tried(removed, (11, 30, "ok")), *sent(stray, "info"), *tried(kept, (11, 30, "ok"))]
    doors = [*twice(4, "reset d-1", 100), *twice(4, "reset d-2", 200, stray)]
    assert anomalies(tmp_path, *load, *doors) == set()
    assert anomalies(tmp_path, *load, *tried(delete(5, 120, "w-4"), (121, 130, "ok")), *doors) == {"lost-on-node"}


def test_without_keys_a_version_may_be_replaced_that_a_late_request_brought_back_between_two_doors(
    tmp_path: Path,
) -> None:
    once, again = tried(FIRST, (11, 30, "ok")), tried(FIRST, (11, 30, "ok"), (13, 14, "info"))
    removed, late = tried(delete(2, 10, None), (11, 30, "ok")), sent(update(3, 21), "info")
    first = twice(4, "reset d-1", 100)
    doors = [*first, *twice(4, "reset d-2", 200, update(3, 21))]
    assert anomalies(tmp_path, *again, *removed, *late, *doors, idempotency="none") == set()
    assert anomalies(tmp_path, *once, *removed, *late, *doors, idempotency="none") == {"lost-on-node"}
    # The request that brought it back is not at hand a second time.
    doors = [*first, *twice(4, "reset d-2", 200, FIRST)]
    assert anomalies(tmp_path, *again, *removed, *doors, idempotency="none") == set()
    since = tried(update(3, 90), (91, 110, "ok"))
    assert anomalies(tmp_path, *again, *removed, *since, *doors, idempotency="none") == {"lost-on-node"}


def test_a_late_request_and_the_delete_after_it_that_a_door_proves_come_one_after_the_other(tmp_path: Path) -> None:
    second, stray = update(2, 20, None), update(4, 15, None)
    load = [*tried(FIRST, (11, 12, "ok"), (13, 14, "info")), *sent(second), *sent(stray, "info")]
    removed = sent(delete(3, 21), "info")
    doors = [*twice(4, "reset d-1", 100), *twice(4, "reset d-2", 200, stray)]
    assert anomalies(tmp_path, *load, *removed, *doors, idempotency="none") == set()
    assert anomalies(tmp_path, *load, *doors, idempotency="none") == {"lost-on-node"}


def test_what_one_cache_showed_and_an_acknowledged_write_replaced_is_gone_from_the_next_one(tmp_path: Path) -> None:
    second = update(2, 20)
    load = [*MADE, *sent(second, "info"), *twice(2, "cache d-1", 100, second)]
    removed = tried(delete(3, 101, "w-2"), (103, 104, "ok"))
    assert anomalies(tmp_path, *load, *removed, *twice(2, "cache d-2", 200)) == set()


def test_under_keep_both_only_what_replaced_it_takes_a_version_from_one_door_to_the_next(tmp_path: Path) -> None:
    one, stray, new = update(2, 20), update(3, 90), update(4, 120)
    refused = tried(stray, (91, 110, "fail"), (300, 301, "ok"))
    load, first = [*MADE, *sent(one), *refused], twice(4, "reset d-1", 100, one, stray)
    without = [*first, *twice(4, "reset d-2", 200, one)]
    unrelated, behind = sent(delete(5, 30), "info"), sent(delete(5, 104, "w-3"), "info")
    for idempotency in ("keyed", "none"):
        same: dict[str, Any] = {"policy": "keep-both", "idempotency": idempotency}
        assert anomalies(tmp_path, *load, *without, **same) == {"lost-on-node"}
        assert anomalies(tmp_path, *load, *unrelated, *without, **same) == {"lost-on-node"}
        assert anomalies(tmp_path, *load, *behind, *without, **same) == set()
        another = [*first, *sent(new), *twice(4, "reset d-2", 200, one, new)]
        assert anomalies(tmp_path, *load, *another, **same) == {"lost-on-node"}, "though a new one is there"
        came = [*twice(4, "reset d-1", 100, one), *sent(new), *twice(4, "reset d-2", 200, one, new)]
        assert anomalies(tmp_path, *load, *came, **same) == set()


def test_under_keep_both_what_had_taken_effect_before_a_door_does_not_come_since(tmp_path: Path) -> None:
    tries = tried(FIRST, (20, 120, "fail"), (200, 201, "ok"))
    doors = [*twice(4, "reset d-1", 150), *twice(4, "reset d-2", 250, FIRST)]
    assert anomalies(tmp_path, *tries, *doors, policy="keep-both") == set()
    assert anomalies(tmp_path, *tries, *twice(1, "fresh", 50, FIRST), *doors, policy="keep-both") == {"lost-on-node"}
    # Nor what was answered before the delete was even acted with which the door may lack the version before.
    slow = [door(4, "reset d-1", 1, 100), replace(door(4, "reset d-1", 2, 102), t=120)]
    new, removed = update(2, 90), sent(delete(3, 110), "info")
    doors = [*slow, *twice(4, "reset d-2", 200, new)]
    for answered, expected in ((115, set()), (105, {"lost-on-node"})):
        load = [*MADE, *tried(new, (91, answered, "ok")), *removed]
        assert anomalies(tmp_path, *load, *doors, policy="keep-both") == expected


# -- a declared loss ------------------------------------------------------------------------------------------


def test_a_contradiction_from_before_a_declared_loss_is_not_excused_by_it(tmp_path: Path) -> None:
    two = [*sent(update(2, 80)), *sent(update(3, 90))]
    doors = twice(1, "fresh", 300, FIRST)
    assert after_a_loss(tmp_path, *MADE, *sent(update(2, 80)), *loss(FIRST), *doors) == set()
    assert after_a_loss(tmp_path, *MADE, *two, *loss(FIRST), *doors) == {"lost-update"}


def test_after_a_declared_loss_an_absence_proves_a_delete_of_what_was_made_since(tmp_path: Path) -> None:
    new = create(5, 250, "r-2")
    removed = create(6, 260, "r-2", kind="delete", hash="", base="w-5")
    made = [*MADE, *loss(FIRST), *sent(new), *sent(removed, "info"), *twice(1, "fresh", 300, FIRST)]
    assert after_a_loss(tmp_path, *made, *twice(4, "reset d-1", 400, FIRST)) == set()
    assert after_a_loss(tmp_path, *made, *twice(4, "reset d-1", 400, FIRST, new)) == {"seen-then-lost"}
    # What the loss may have undone a phone may push back.
    old = [*MADE, *sent(delete(2, 60), "info"), *loss(FIRST), *twice(1, "fresh", 300)]
    assert after_a_loss(tmp_path, *old, *twice(4, "reset d-1", 400, FIRST)) == set()


# -- columns --------------------------------------------------------------------------------------------------


def test_a_version_that_the_first_round_of_a_door_showed_before_it_was_sent_is_looked_at_closely(
    tmp_path: Path,
) -> None:
    late: list[Event] = [update(2, 20), Send(2, 1, 102), Back(2, 1, 103, "ok")]
    rounds = [door(1, "fresh", 1, 100, update(2, 20)), door(1, "fresh", 2, 104, update(2, 20))]
    closer, found = closer_look(tmp_path, *MADE, *late[:1], rounds[0], *late[1:], rounds[1])
    assert closer == {"r-1"}
    assert "phantom" in found.anomalies


def test_a_write_that_a_delete_overlaps_is_looked_at_closely_where_the_last_writer_wins(tmp_path: Path) -> None:
    doors = twice(1, "fresh", 100, update(3, 21))
    overlapping = [*MADE, *sent(delete(2, 20), t=30), *sent(update(3, 21), t=40), *doors]
    assert closer_look(tmp_path, *overlapping, policy="last-writer-wins")[0] == {"r-1"}
    apart = [*MADE, *sent(delete(2, 15), t=20), *sent(update(3, 21), t=40), *doors]
    assert closer_look(tmp_path, *apart, policy="last-writer-wins")[0] == set()

"""What a door's rows prove of a record, case by case: the class, and where nothing is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from chaos.history.events import Act, Back, Event, Row, Send
from tests.unit.checks.one_owner import anomalies, closer_look, create, door, judgement, sent, twice

FIRST = create(1, 10)
LATER = create(2, 20, kind="update", base="w-1")
MADE = sent(FIRST)


def delete(op: int, t: int, base: str | None = "w-1") -> Act:
    return create(op, t, kind="delete", hash="", base=base)


def row_of(act: Act, row: str = "row-r-1") -> Row:
    return Row(act.record, act.owner, act.write, act.hash, row)


def rows(*shown: Row, step: int = 1, t: int = 100) -> list[Event]:
    """A door that showed these rows in two rounds."""
    return [replace(door(step, "fresh", number, t + 2 * number), rows=shown) for number in (1, 2)]


def told(op: int, t: int, *shown: Act | Row) -> list[Event]:
    """A read of another phone during the load."""
    sync = Act(op, t, "d-2#1", "d-2", "u-1", "sync")
    rows = tuple(each if isinstance(each, Row) else row_of(each) for each in shown)
    return [sync, Send(op, 1, t), Back(op, 1, t + 1, "ok", rows=rows)]


# -- absence --------------------------------------------------------------------------------------------------


def test_that_a_cache_lacks_a_record_does_not_prove_that_an_unknown_delete_took_effect(tmp_path: Path) -> None:
    load = [*MADE, *sent(delete(2, 20), "info")]
    back = twice(4, "reset d-1", 200, FIRST)
    assert anomalies(tmp_path, *load, *twice(2, "cache d-1", 100), *back) == set()
    fresh = twice(1, "fresh", 100)
    assert anomalies(tmp_path, *load, *fresh, *back) == {"seen-then-lost"}
    assert anomalies(tmp_path, *load, *back, *fresh) == {"seen-then-lost"}, "whichever is told first"
    assert anomalies(tmp_path, *load, *twice(3, "reset d-1", 100), *back) == {"seen-then-lost"}


def test_that_a_door_lacks_a_record_which_may_not_have_been_made_proves_no_delete(tmp_path: Path) -> None:
    load = [*sent(FIRST, "info"), *sent(delete(2, 20), "info")]
    assert anomalies(tmp_path, *load, *twice(1, "fresh", 100), *twice(4, "reset d-1", 200, FIRST)) == set()


def test_a_record_whose_absence_two_deletes_may_explain_may_come_back(tmp_path: Path) -> None:
    """A read does not tell which of them took effect, nor how late the other one may."""
    made = [*MADE, *sent(delete(2, 20, None), "info"), *sent(delete(3, 21, None), "info")]
    late = sent(create(4, 22, kind="update"), "info")
    reads = [*twice(1, "fresh", 100), *twice(4, "reset d-1", 200, create(4, 22, kind="update"))]
    assert anomalies(tmp_path, *made, *late, *reads) == set()


def gone(t: int) -> list[Event]:
    """A read that returned at `t` reported the record deleted."""
    sync = Act(91, t - 1, "d-2#1", "d-2", "u-1", "sync")
    return [sync, Send(91, 1, t - 1), Back(91, 1, t, "ok", gone=("r-1",))]


def test_once_a_read_reported_a_record_deleted_it_must_not_come_back_whichever_delete_it_was(tmp_path: Path) -> None:
    there = twice(1, "fresh", 100, FIRST)
    one = [*MADE, *sent(delete(2, 20), "info")]
    assert anomalies(tmp_path, *one, *there) == set()
    assert anomalies(tmp_path, *one, *gone(50), *there) == {"seen-then-lost"}
    # A second delete leaves it open which of them it was; either way the record had gone.
    assert anomalies(tmp_path, *one, *sent(delete(3, 30), "info"), *gone(50), *there) == {"seen-then-lost"}
    assert anomalies(tmp_path, *one, *sent(delete(3, 30), "fail"), *gone(50), *there) == {"seen-then-lost"}
    assert anomalies(tmp_path, *one, delete(3, 30), *gone(50), *there) == {"seen-then-lost"}
    assert anomalies(tmp_path, *one, *gone(50), *sent(delete(3, 49), "info"), *there) == {"seen-then-lost"}
    assert anomalies(tmp_path, *one, *gone(50), *sent(delete(3, 60), "info"), *there) == {"seen-then-lost"}
    assert anomalies(tmp_path, *one, *gone(50), *sent(delete(3, 48), "info"), *there) == {"seen-then-lost"}


# -- rows that are not whole ----------------------------------------------------------------------------------


def test_a_row_with_the_write_id_of_a_delete_is_corrupted(tmp_path: Path) -> None:
    removed = delete(2, 20)
    assert anomalies(tmp_path, *MADE, *sent(removed), *rows(row_of(removed))) == {"corrupted"}


def test_a_row_under_the_name_of_another_record_of_its_owner_is_misattributed(tmp_path: Path) -> None:
    other = create(2, 20, "r-2")
    load = [*MADE, *sent(other)]
    assert anomalies(tmp_path, *load, *rows(row_of(FIRST), row_of(other))) == set()
    swapped = replace(row_of(other), record="r-1")
    assert anomalies(tmp_path, *load, *rows(swapped, row_of(other, "row-2"))) == {"misattributed"}
    unknown = replace(row_of(other), record="r-9")
    assert anomalies(tmp_path, *load, *rows(row_of(FIRST), row_of(other), unknown)) == {"misattributed", "duplicated"}


def test_a_row_of_another_user_at_our_door_is_misattributed_whole_as_it_is(tmp_path: Path) -> None:
    theirs = replace(create(2, 20, "r-2"), owner="u-2")
    load = [*MADE, *sent(theirs)]
    assert anomalies(tmp_path, *load, *rows(row_of(FIRST), row_of(theirs, "row-2"))) == {"misattributed"}
    ours_by_name = replace(row_of(theirs, "row-2"), owner="u-1")
    assert anomalies(tmp_path, *load, *rows(row_of(FIRST), ours_by_name)) == {"misattributed"}


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        ([("u-1", "r-1", "w-9")], "torn"),
        ([("u-1", "r-1", "w-1"), ("u-1", "r-1", "w-9")], "torn"),
        ([("u-1", "r-1", "w-1"), ("u-1", "r-9", "w-9")], "misattributed"),
        ([("u-9", "r-1", "w-1")], "misattributed"),
    ],
)
def test_a_mixed_row_is_torn_if_all_of_it_is_the_records_own(
    stamps: list[tuple[str, str, str]], expected: str, tmp_path: Path
) -> None:
    mixed = replace(row_of(FIRST), hash="0" * 16, stamps=tuple(stamps))
    assert anomalies(tmp_path, *MADE, *rows(mixed)) == {expected}


def test_a_damaged_row_beside_the_right_one_is_a_row_too_many(tmp_path: Path) -> None:
    damaged = replace(row_of(FIRST, "row-twin"), hash="0" * 16)
    assert anomalies(tmp_path, *MADE, *rows(row_of(FIRST), damaged)) == {"corrupted", "duplicated"}
    assert anomalies(tmp_path, *MADE, *rows(damaged)) == {"corrupted"}


def test_two_versions_that_may_each_be_there_must_not_be_there_together(tmp_path: Path) -> None:
    load = [*MADE, *sent(LATER, "info")]
    assert anomalies(tmp_path, *load, *rows(row_of(FIRST))) == set()
    assert anomalies(tmp_path, *load, *rows(row_of(LATER))) == set()
    assert anomalies(tmp_path, *load, *rows(row_of(FIRST), row_of(LATER, "row-2"))) == {"duplicated"}


def test_one_row_of_the_server_told_twice_is_one_row_and_two_versions_in_it_are_two(tmp_path: Path) -> None:
    """Pages of a list may overlap; an index that was torn may have an old and a new version of one row."""
    load = [*MADE, *sent(LATER)]
    new, old = row_of(LATER), row_of(FIRST)
    assert new.row == old.row
    assert anomalies(tmp_path, *load, *rows(new, new)) == set()
    assert anomalies(tmp_path, *load, *rows(new, old)) == {"duplicated"}
    assert anomalies(tmp_path, *load, *rows(old, new)) == {"duplicated"}
    _, looked = closer_look(tmp_path, *load, *rows(new, old))
    assert "duplicated" in looked.anomalies


def test_of_a_version_too_many_the_story_names_the_right_one(tmp_path: Path) -> None:
    reads = rows(row_of(FIRST, "row-twin"), row_of(LATER))
    (record,) = judgement(tmp_path, *MADE, *sent(LATER), *reads).records
    assert record.story[-1].detail == "there, version w-2"


def test_of_a_version_that_must_not_be_there_the_story_names_it(tmp_path: Path) -> None:
    (record,) = judgement(tmp_path, *MADE, *sent(LATER), *rows(row_of(FIRST))).records
    assert record.story[-1].detail == "there, version w-1 in place of w-2"
    (record,) = judgement(tmp_path, *MADE, *rows(replace(row_of(FIRST), hash="0" * 16))).records
    assert record.story[-1].detail == "there, corrupted"


# -- versions that must not be there --------------------------------------------------------------------------


def test_a_try_that_was_made_after_the_read_does_not_excuse_that_a_refused_one_was_there(tmp_path: Path) -> None:
    update = create(2, 20, kind="update", base="w-1")
    again: list[Event] = [update, Send(2, 1, 21), Back(2, 1, 22, "fail"), Send(2, 2, 300), Back(2, 2, 301, "ok")]
    for idempotency in ("keyed", "none"):
        found = anomalies(tmp_path, *MADE, *again, *rows(row_of(update)), idempotency=idempotency)
        assert found == {"aborted-visible"}
        both = rows(row_of(FIRST), row_of(update, "row-2"))
        found = anomalies(tmp_path, *MADE, *again, *both, idempotency=idempotency, policy="keep-both")
        assert found == {"aborted-visible"}


def test_what_waited_in_an_outbox_and_was_never_sent_is_a_phantom(tmp_path: Path) -> None:
    waiting = create(2, 20, kind="update", base="w-1")
    assert anomalies(tmp_path, *MADE, waiting, *twice(2, "cache d-1", 100, waiting)) == {"phantom"}
    assert anomalies(tmp_path, *MADE, waiting, *rows(row_of(waiting))) == {"phantom"}


def test_an_older_version_after_a_delete_is_resurrected_and_after_an_update_lost(tmp_path: Path) -> None:
    assert anomalies(tmp_path, *MADE, *sent(delete(2, 20)), *rows(row_of(FIRST))) == {"resurrected"}
    assert anomalies(tmp_path, *MADE, *sent(LATER), *rows(row_of(FIRST))) == {"lost"}


def test_an_older_version_is_seen_then_lost_where_only_a_read_proves_the_newer_one(tmp_path: Path) -> None:
    load = [*MADE, *sent(LATER, "info"), *told(90, 50, LATER)]
    assert anomalies(tmp_path, *load, *rows(row_of(FIRST))) == {"seen-then-lost"}
    assert anomalies(tmp_path, *load, *rows(row_of(LATER))) == set()
    assert anomalies(tmp_path, *load, *rows()) == {"lost"}


def test_an_older_version_is_seen_then_lost_where_only_a_read_proves_that_it_is_older(tmp_path: Path) -> None:
    """Both are acknowledged, but the first one late: without the read it might have been the last."""
    one, two = create(2, 20, kind="update"), create(3, 30, kind="update")
    load = [*MADE, *sent(one, t=40), *sent(two, t=35)]
    assert anomalies(tmp_path, *load, *rows(row_of(one))) == set()
    assert anomalies(tmp_path, *load, *told(90, 24, one), *rows(row_of(one))) == {"seen-then-lost"}


def test_an_unknown_write_in_the_place_of_an_acknowledged_one_on_the_same_version_is_a_lost_update(
    tmp_path: Path,
) -> None:
    kept, stray = create(2, 20, kind="update", base="w-1"), create(3, 21, kind="update", base="w-1")
    assert anomalies(tmp_path, *MADE, *sent(kept), *sent(stray, "info"), *rows(row_of(stray))) == {"lost-update"}
    # A cache is no proof that it took effect; what it shows is out of date, or built on what was replaced.
    cached = twice(2, "cache d-1", 100, stray)
    assert anomalies(tmp_path, *MADE, *sent(kept), *sent(stray, "info"), *cached) == {"lost-update"}
    base, on_it = create(4, 12, kind="update", base="w-1"), create(5, 13, kind="update", base="w-4")
    load = [*MADE, *sent(base, "info"), *sent(on_it, "info"), *sent(kept)]
    assert anomalies(tmp_path, *load, *twice(2, "cache d-1", 100, on_it)) == {"lost"}


# -- doors that keep changing ---------------------------------------------------------------------------------


def test_of_a_door_that_keeps_changing_only_what_both_rounds_showed_is_proven(tmp_path: Path) -> None:
    damaged = replace(row_of(FIRST), hash="0" * 16)
    one, other = door(1, "fresh", 1, 100), door(1, "fresh", 2, 104)

    def rounds(before: tuple[Row, ...], after: tuple[Row, ...]) -> list[Event]:
        return [replace(one, rows=before), replace(other, rows=after, settled=False)]

    assert anomalies(tmp_path, *MADE, *rounds((damaged,), (damaged, damaged))) == {"corrupted"}
    assert anomalies(tmp_path, *MADE, *rounds((damaged,), ())) == set()
    assert anomalies(tmp_path, *MADE, *rounds((), (damaged,))) == set()
    assert anomalies(tmp_path, *MADE, *rounds((), ())) == {"lost"}


def test_a_door_that_failed_at_last_still_proves_what_it_showed_before(tmp_path: Path) -> None:
    failed = replace(door(1, "fresh", 2, 104), outcome="fail", settled=False, why="timed out")
    found = judgement(tmp_path, *MADE, door(1, "fresh", 1, 100), failed)
    assert found.anomalies["lost"] == 1
    assert found.anomalies["unreadable"] == 1


def test_a_door_that_could_never_be_read_hides_no_other(tmp_path: Path) -> None:
    failed = replace(door(1, "fresh", 1, 100), outcome="fail", why="timed out")
    assert anomalies(tmp_path, *MADE, failed, *twice(4, "reset d-1", 200)) == {"lost"}


def test_a_blob_without_a_row_hides_no_other_row(tmp_path: Path) -> None:
    orphan = replace(row_of(FIRST, "blob-7"), blob="orphan")
    phantom = replace(row_of(FIRST, "row-9"), record="r-9", write="w-9")
    assert anomalies(tmp_path, *MADE, *rows(row_of(FIRST), orphan, phantom)) == {"phantom"}


# -- reads of the load ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (Row("r-1", "u-1", "", "0" * 16), set()),
        (Row("r-1", "u-1", "w-9", "0" * 16, stamps=(("u-1", "r-1", "w-1"),)), set()),
        (Row("r-1", "u-1", "w-1", "0" * 16), set()),
        (Row("r-1", "u-1", "w-9", "0" * 16), {"phantom"}),
    ],
    ids=["of no version", "mixed from several", "of a version, damaged", "of a version that nobody made"],
)
def test_a_row_that_a_read_of_the_load_showed_is_a_phantom_only_if_it_is_whole(
    shown: Row, expected: set[str], tmp_path: Path
) -> None:
    assert anomalies(tmp_path, *MADE, *told(90, 50, shown), *twice(1, "fresh", 100, FIRST)) == expected


def test_every_version_that_a_read_showed_is_looked_at_whatever_came_before_it(tmp_path: Path) -> None:
    fine, refused = create(2, 20, kind="update", base="w-1"), create(3, 30, kind="update", base="w-2")
    for seen in ((refused,), (fine, refused)):
        shows = [event for n, act in enumerate(seen) for event in told(90 + n, 50 + n, act)]
        load = [*MADE, *sent(fine), *sent(refused, "fail"), *shows]
        assert anomalies(tmp_path, *load, *twice(1, "fresh", 100, fine)) == {"aborted-visible"}


def test_a_read_proves_nothing_against_a_write_that_was_tried_again_before_it(tmp_path: Path) -> None:
    """Refused at first, then acted again: the read may have shown what the second act made."""
    again = replace(FIRST, op=7, t=30)
    load = [*sent(FIRST, "fail"), again, Send(7, 1, 31), Back(7, 1, 32, "ok")]
    assert anomalies(tmp_path, *load, *told(90, 50, FIRST), *twice(1, "fresh", 100, FIRST)) == set()
    assert anomalies(tmp_path, *load, *told(90, 20, FIRST), *twice(1, "fresh", 100, FIRST)) == set()
    never: list[Event] = [FIRST, again, Send(7, 1, 31), Back(7, 1, 32, "ok")]
    assert anomalies(tmp_path, *never, *told(90, 20, FIRST), *twice(1, "fresh", 100, FIRST)) == {"phantom"}


@pytest.mark.parametrize("idempotency", ["keyed", "none"])
def test_an_answer_to_any_act_of_a_write_acknowledges_it(idempotency: str, tmp_path: Path) -> None:
    """A phone pushes its cache back: the answer to that one counts, wherever the lines of the acts stand."""
    again = replace(FIRST, op=7, t=30)
    unknown = sent(FIRST, "info")
    answered: list[Event] = [again, Send(7, 1, 31), Back(7, 1, 32, "ok")]
    for load in ([*unknown, *answered], [*answered, *unknown]):
        assert anomalies(tmp_path, *load, *twice(1, "fresh", 100), idempotency=idempotency) == {"lost"}
        assert anomalies(tmp_path, *load, *twice(1, "fresh", 100, FIRST), idempotency=idempotency) == set()
    assert anomalies(tmp_path, *unknown, *twice(1, "fresh", 25), *answered, idempotency=idempotency) == set()


def test_a_write_that_acted_twice_is_known_once_a_read_has_shown_it(tmp_path: Path) -> None:
    again = replace(FIRST, op=7, t=30)
    load = [*sent(FIRST, "info"), again, Send(7, 1, 31), Back(7, 1, 32, "info"), *told(90, 50, FIRST)]
    assert anomalies(tmp_path, *load, *twice(1, "fresh", 100)) == {"seen-then-lost"}


def test_a_try_of_after_the_read_hides_no_earlier_one_wherever_the_lines_stand(tmp_path: Path) -> None:
    again = replace(FIRST, op=7, t=30)
    load: list[Event] = [again, FIRST, Send(1, 1, 11), Back(1, 1, 12, "ok"), Send(7, 1, 300), Back(7, 1, 301, "ok")]
    assert anomalies(tmp_path, *load, *twice(1, "fresh", 100)) == {"lost"}


# -- ties -----------------------------------------------------------------------------------------------------


def test_what_was_known_as_the_read_began_must_be_there(tmp_path: Path) -> None:
    nothing = twice(1, "fresh", 100)  # the second round began at 102
    assert anomalies(tmp_path, *sent(FIRST, t=102), *nothing) == {"lost"}
    assert anomalies(tmp_path, *sent(FIRST, t=103), *nothing) == set()
    seen = sent(FIRST, "info")
    assert anomalies(tmp_path, *seen, *told(90, 101, FIRST), *nothing) == {"seen-then-lost"}
    assert anomalies(tmp_path, *seen, *told(90, 102, FIRST), *nothing) == set()


def test_what_was_acted_as_the_read_ended_may_be_there(tmp_path: Path) -> None:
    failed = replace(door(1, "fresh", 1, 100), outcome="fail", why="timed out")
    for acted, expected in ((103, set()), (104, {"phantom"})):
        act = create(1, acted)
        made: list[Event] = [act, Send(1, 1, acted), Back(1, 1, acted + 1, "info")]
        read = replace(door(1, "fresh", 2, 102, act), settled=False)
        assert anomalies(tmp_path, *made, failed, read) == expected


def test_a_read_that_returned_as_the_write_was_sent_may_have_shown_it(tmp_path: Path) -> None:
    for returned, expected in ((10, {"phantom"}), (11, set())):
        load = [*MADE[:1], *told(90, returned - 1, FIRST), *MADE[1:]]
        assert anomalies(tmp_path, *load, *twice(1, "fresh", 100, FIRST)) == expected

"""What a session is owed, case by case: what is stale or vanished, and what only looks so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaos.history.events import (
    Act,
    Back,
    Event,
    Header,
    Idempotency,
    Policy,
    Row,
    Send,
)
from tests.unit.checks.files import judged
from tests.unit.checks.one_owner import after_a_loss, loss
from tests.unit.checks.service import payload_hash

ALICE, BOB = "d-1#1", "d-2#1"


def write(
    op: int, t: int, session: str = ALICE, *, returned: int = 0, outcome: Any = "ok", **changes: Any
) -> list[Event]:
    w = f"w-{op}"
    act = Act(op, t, session, session[:3], "u-1", "create", "r-1", "todo", w, payload_hash(w), w)
    act = replace(act, **changes)
    if act.kind == "delete":
        act = replace(act, hash="")
    return [act, Send(op, 1, t), Back(op, 1, returned or t + 2, outcome)]


def told(op: int, t: int, session: str, *ops: int, kind: Any = "sync", **said: Any) -> list[Event]:
    """A read that showed these writes, of record r-1 unless said otherwise."""
    rows = tuple(Row("r-1", "u-1", f"w-{w}", payload_hash(f"w-{w}"), "row-1") for w in ops)
    act = Act(op, t, session, session[:3], "u-1", kind)
    return [act, Send(op, 1, t), Back(op, 1, t + 2, "ok", rows=rows, **said)]


def owed(
    tmp_path: Path, *parts: list[Event], policy: Policy = "reject", idempotency: Idempotency = "keyed"
) -> set[str]:
    header = Header("x", 1, policy, idempotency, sessions="strict", canaries={"A": "a", "B": "b"}, require_mix=False)
    events: list[Event] = [header, *(event for part in parts for event in part)]
    found = judged(events, tmp_path).anomalies
    lax = judged([replace(header, sessions="report"), *events[1:]], tmp_path)
    assert {name: lax.reported[name] for name in ("stale", "vanished") if name in lax.reported} == {
        name: found[name] for name in ("stale", "vanished") if name in found
    }
    return set(found) & {"stale", "vanished"}


CREATED = write(1, 10)
UPDATED = write(2, 20, kind="update", base="w-1")


@pytest.mark.parametrize("policy", ["reject", "last-writer-wins", "keep-both"])
def test_a_session_that_reads_less_than_it_wrote_is_stale(policy: Policy, tmp_path: Path) -> None:
    assert owed(tmp_path, CREATED, UPDATED, told(3, 30, ALICE, 1), policy=policy) == {"stale"}
    assert owed(tmp_path, CREATED, UPDATED, told(3, 30, ALICE, 2), policy=policy) == set()


def test_a_session_that_reads_less_than_it_saw_is_stale_and_another_one_is_not(tmp_path: Path) -> None:
    assert owed(tmp_path, CREATED, UPDATED, told(3, 30, BOB, 2), told(4, 40, BOB, 1)) == {"stale"}
    assert owed(tmp_path, CREATED, UPDATED, told(3, 30, BOB, 1), told(4, 40, "d-3#1", 2)) == set()


def test_a_read_that_was_asked_for_before_the_session_knew_is_not_stale(tmp_path: Path) -> None:
    late = write(2, 20, kind="update", base="w-1", returned=40)
    assert owed(tmp_path, CREATED, late, told(3, 30, ALICE, 1)) == set()
    assert owed(tmp_path, CREATED, late, told(3, 50, ALICE, 1)) == {"stale"}


def test_two_writes_at_one_time_may_be_seen_in_either_order(tmp_path: Path) -> None:
    one, two = write(2, 20, kind="update", returned=30), write(3, 21, BOB, kind="update", returned=31)
    assert owed(tmp_path, CREATED, one, two, told(4, 40, ALICE, 3), told(5, 50, ALICE, 2)) == set()


def test_a_stray_retry_may_bring_an_older_version_back_where_keys_are_not_kept(tmp_path: Path) -> None:
    twice = [*CREATED[:2], Back(1, 1, 11, "info"), Send(1, 2, 12), Back(1, 2, 13, "ok")]
    later = write(2, 20, kind="update")
    read = told(3, 30, ALICE, 1)
    assert owed(tmp_path, twice, later, read, idempotency="none") == set()
    assert owed(tmp_path, twice, later, read, idempotency="keyed") == {"stale"}


def test_a_new_phone_that_never_hears_of_a_record_has_it_vanished(tmp_path: Path) -> None:
    assert owed(tmp_path, CREATED, told(3, 30, BOB)) == {"vanished"}
    assert owed(tmp_path, CREATED, told(3, 30, BOB, 1), told(4, 40, BOB)) == set()
    assert owed(tmp_path, CREATED, told(3, 30, ALICE)) == set(), "a delta need not bring what the phone wrote itself"


def test_a_full_answer_replaces_the_cache_and_a_reset_empties_it(tmp_path: Path) -> None:
    assert owed(tmp_path, CREATED, told(3, 30, ALICE, kind="list", full=True)) == {"vanished"}
    assert owed(tmp_path, CREATED, told(3, 30, BOB, 1), told(4, 40, "d-2#2")) == {"vanished"}


def test_a_record_that_an_answer_reports_deleted_vanishes_unless_somebody_tried(tmp_path: Path) -> None:
    gone = told(4, 40, BOB, gone=("r-1",))
    assert owed(tmp_path, CREATED, told(3, 30, BOB, 1), gone) == {"vanished"}
    tried = write(2, 20, kind="delete", base="w-1", outcome="info")
    assert owed(tmp_path, CREATED, tried, told(3, 30, BOB, 1), gone) == set()


def test_nothing_is_owed_before_the_acknowledgement_nor_by_the_cache_nor_by_a_read_of_one_record(
    tmp_path: Path,
) -> None:
    assert owed(tmp_path, write(1, 10, returned=50), told(3, 30, BOB)) == set()
    assert owed(tmp_path, CREATED, told(3, 30, BOB, cached=True)) == set()
    assert owed(tmp_path, CREATED, told(3, 30, BOB, kind="read")) == set()


@pytest.mark.parametrize("policy", ["reject", "keep-both"])
def test_a_version_on_which_an_own_write_builds_is_older_even_if_nobody_was_ever_answered(
    policy: Policy, tmp_path: Path
) -> None:
    unknown = write(1, 10, outcome="info")
    assert owed(tmp_path, unknown, UPDATED, told(3, 30, ALICE, 1), policy=policy) == {"stale"}
    assert owed(tmp_path, unknown, UPDATED, told(3, 30, BOB, 1), policy=policy) == set()


def test_under_last_writer_wins_a_base_tells_nothing_of_what_is_older(tmp_path: Path) -> None:
    unknown = write(1, 10, outcome="info")
    assert owed(tmp_path, unknown, UPDATED, told(3, 30, ALICE, 1), policy="last-writer-wins") == set()


def test_a_read_of_one_record_hides_no_later_answer(tmp_path: Path) -> None:
    assert owed(tmp_path, CREATED, told(3, 30, BOB, kind="read"), told(4, 40, BOB)) == {"vanished"}


def test_a_version_that_builds_on_an_own_write_is_no_older_however_late_that_was_answered(tmp_path: Path) -> None:
    late = write(2, 20, kind="update", base="w-1", returned=40)
    newer = write(3, 30, BOB, kind="update", base="w-2")
    assert owed(tmp_path, CREATED, late, newer, told(4, 50, ALICE, 3)) == set()
    assert owed(tmp_path, CREATED, late, newer, told(4, 50, BOB, 2)) == {"stale"}


def test_what_a_session_learned_as_it_asked_it_need_not_be_shown(tmp_path: Path) -> None:
    assert owed(tmp_path, CREATED, UPDATED, told(3, 22, ALICE, 1)) == set()
    assert owed(tmp_path, CREATED, UPDATED, told(3, 23, ALICE, 1)) == {"stale"}
    assert owed(tmp_path, CREATED, UPDATED, told(3, 30, BOB, 2), told(4, 32, BOB, 1)) == set()
    assert owed(tmp_path, CREATED, UPDATED, told(3, 30, BOB, 2), told(4, 33, BOB, 1)) == {"stale"}


def test_answers_that_cross_are_each_held_against_what_was_known_when_it_was_asked_for(tmp_path: Path) -> None:
    slow = told(3, 25, BOB, 1)
    slow[2] = replace(slow[2], t=60)
    assert owed(tmp_path, CREATED, UPDATED, told(4, 30, BOB, 2), slow) == set()
    assert owed(tmp_path, CREATED, UPDATED, told(4, 30, BOB, 2), slow, told(5, 40, BOB, 1)) == {"stale"}


def test_of_several_versions_that_a_session_knows_each_one_counts(tmp_path: Path) -> None:
    """Two updates at one time: what came before either of them is older, wherever they were learned."""
    one, two = write(2, 20, kind="update", returned=30), write(3, 21, BOB, kind="update", returned=31)
    last = write(4, 40, BOB, kind="update")
    both = (told(6, 50, "d-3#1", 3), told(7, 60, "d-3#1", 2))
    assert owed(tmp_path, CREATED, one, two, *both, told(8, 70, "d-3#1", 1)) == {"stale"}
    assert owed(tmp_path, CREATED, one, two, last, *both) == set()
    assert owed(tmp_path, CREATED, one, two, last, told(5, 45, "d-3#1", 4), *both) == {"stale"}
    assert owed(tmp_path, CREATED, one, two, last, *both, told(8, 70, "d-3#1", 4)) == set()


def test_what_a_session_knew_still_counts_once_it_learned_of_another_version_of_that_time(tmp_path: Path) -> None:
    unknown = write(5, 12, kind="update", outcome="info")
    one = write(2, 20, kind="update", base="w-5", returned=30)
    two = write(3, 21, BOB, kind="update", returned=31)
    load = (CREATED, unknown, one, two)
    assert owed(tmp_path, *load, told(7, 60, "d-3#1", 3), told(8, 70, "d-3#1", 5)) == set()
    assert owed(tmp_path, *load, *(told(6, 50, "d-3#1", 2), told(7, 60, "d-3#1", 3), told(8, 70, "d-3#1", 5))) == {
        "stale"
    }


def test_a_version_that_returned_as_the_other_was_made_may_come_after_it(tmp_path: Path) -> None:
    one, two = write(2, 20, kind="update", returned=30), write(3, 30, BOB, kind="update")
    assert owed(tmp_path, CREATED, one, two, told(4, 40, BOB, 2)) == set()
    later = write(3, 31, BOB, kind="update")
    assert owed(tmp_path, CREATED, one, later, told(4, 40, BOB, 2)) == {"stale"}


def test_where_keys_are_not_kept_only_a_base_or_an_answer_to_every_try_makes_a_version_older(tmp_path: Path) -> None:
    read, on_it = told(3, 30, ALICE, 1), write(2, 20, kind="update")
    assert owed(tmp_path, CREATED, on_it, read, idempotency="none") == {"stale"}
    refused = [*CREATED[:2], Back(1, 1, 11, "fail"), Send(1, 2, 12), Back(1, 2, 13, "ok")]
    assert owed(tmp_path, refused, on_it, read, idempotency="none") == {"stale"}
    # The try that was answered late cannot have taken effect twice where the write names its base.
    first = write(9, 1, record="r-1")
    on_base = write(1, 10, kind="update", base="w-9", outcome="info")
    assert owed(tmp_path, first, on_base, UPDATED, read, idempotency="none") == {"stale"}
    assert owed(tmp_path, write(1, 10, outcome="info"), UPDATED, read, idempotency="none") == set()


def test_where_keys_are_not_kept_a_version_comes_back_with_the_base_that_comes_back(tmp_path: Path) -> None:
    def twice(op: int, t: int, sent: int, **changes: Any) -> list[Event]:
        act, *_ = write(op, t, **changes)
        return [act, Send(op, 1, sent), Send(op, 2, sent + 5), Back(op, 2, sent + 6, "ok")]

    base, again = twice(1, 10, 20), twice(2, 11, 40, kind="update", base="w-1")
    last = [write(3, 12, kind="update", base="w-2")[0], Send(3, 1, 60), Back(3, 1, 62, "ok")]
    reads = [*told(8, 70, BOB, 3), *told(9, 80, BOB, 2)]
    assert owed(tmp_path, base, again, last, reads, idempotency="none") == set()
    once = [base[0], Send(1, 1, 20), Back(1, 1, 26, "ok")]
    assert owed(tmp_path, once, again, last, reads, idempotency="none") == {"stale"}, "its base cannot come back"
    assert owed(tmp_path, base, again, last, reads) == {"stale"}, "with keys nothing can"


def test_a_version_is_older_however_many_lie_between(tmp_path: Path) -> None:
    unknown = [
        write(1, 10, outcome="info"), write(2, 11, kind="update", base="w-1", outcome="info"),
        write(3, 12, kind="update", base="w-2", outcome="info"), write(4, 13, kind="update", base="w-3"),
    ]  # fmt: skip
    for older in (1, 2, 3):
        assert owed(tmp_path, *unknown, told(9, 30, ALICE, older)) == {"stale"}
    assert owed(tmp_path, *unknown, told(9, 30, ALICE, 4)) == set()


def test_a_full_answer_may_lack_what_was_acknowledged_after_it_was_asked_for(tmp_path: Path) -> None:
    full = told(3, 11, ALICE, kind="list", full=True)
    full[2] = replace(full[2], t=30)
    assert owed(tmp_path, CREATED, full) == set()
    assert owed(tmp_path, CREATED, full, told(4, 40, ALICE)) == set(), "the phone has its own write"
    assert owed(tmp_path, told(5, 5, ALICE), CREATED, full, told(4, 40, ALICE)) == set(), "it had asked before, too"
    assert owed(tmp_path, CREATED, full, told(4, 40, ALICE, kind="list", full=True)) == {"vanished"}


def test_every_answer_that_is_asked_for_later_must_have_brought_it(tmp_path: Path) -> None:
    assert owed(tmp_path, CREATED, told(3, 11, BOB)) == set()
    assert owed(tmp_path, CREATED, told(3, 12, BOB)) == set()
    assert owed(tmp_path, CREATED, told(3, 13, BOB)) == {"vanished"}
    assert owed(tmp_path, CREATED, told(3, 11, BOB), told(4, 40, BOB)) == {"vanished"}
    assert owed(tmp_path, CREATED, told(3, 11, BOB), told(4, 40, BOB, 1), told(5, 50, BOB)) == set()


def test_nothing_is_owed_once_somebody_tried_to_delete_it(tmp_path: Path) -> None:
    assert owed(tmp_path, CREATED, told(3, 30, BOB), write(2, 33, kind="delete", base="w-1")) == {"vanished"}
    assert owed(tmp_path, CREATED, told(3, 30, BOB), write(2, 32, kind="delete", base="w-1")) == set()
    assert owed(tmp_path, CREATED, write(2, 20, kind="delete", base="w-1", outcome="fail"), told(3, 30, BOB)) == set()


def test_a_row_that_is_not_whole_is_damaged_and_has_not_vanished(tmp_path: Path) -> None:
    damaged = told(3, 30, BOB, 1)
    back = damaged[2]
    assert isinstance(back, Back)
    damaged[2] = replace(back, rows=tuple(replace(row, hash="0" * 16) for row in back.rows))
    assert owed(tmp_path, CREATED, damaged) == set()


def test_of_several_records_those_vanish_that_no_answer_brought(tmp_path: Path) -> None:
    other = write(5, 11, record="r-2")
    row = Row("r-2", "u-1", "w-5", payload_hash("w-5"), "row-2")
    brought = told(3, 30, BOB)
    brought = [*brought[:2], Back(3, 1, 32, "ok", rows=(row,))]
    header = Header("x", 1, "reject", "keyed", canaries={"A": "a", "B": "b"}, require_mix=False)

    def vanished(*parts: list[Event]) -> int:
        return judged([header, *(event for part in parts for event in part)], tmp_path).reported.get("vanished", 0)

    assert vanished(CREATED, other, told(3, 30, ALICE)) == 0
    assert vanished(CREATED, other, brought) == 1
    assert vanished(CREATED, other, told(3, 30, BOB)) == 2
    assert vanished(CREATED, other, brought, told(4, 40, BOB, 1)) == 1
    assert vanished(CREATED, other, told(4, 25, BOB, 1), brought) == 1
    assert vanished(CREATED, other, told(4, 25, BOB, 1), brought, told(6, 50, BOB, full=True, kind="list")) == 2
    assert vanished(CREATED, told(4, 25, BOB, 1), write(5, 27, record="r-2"), brought) == 0


def test_what_a_session_is_owed_goes_by_time_and_not_by_lines(tmp_path: Path) -> None:
    assert owed(tmp_path, CREATED, told(4, 40, BOB), told(3, 30, BOB, 1)) == set()
    later = [write(5, 50, record="r-5"), write(6, 51, record="r-6")]
    assert owed(tmp_path, *later, CREATED, told(3, 30, BOB)) == {"vanished"}


def test_another_users_session_is_owed_nothing(tmp_path: Path) -> None:
    theirs = Act(3, 30, BOB, "d-2", "u-2", "sync")
    assert owed(tmp_path, CREATED, [theirs, *told(3, 30, BOB)[1:]]) == set()


def after(tmp_path: Path, *parts: list[Event]) -> set[str]:
    found = after_a_loss(tmp_path, *(event for part in parts for event in part), rpo=1_000, sessions="strict")
    return found & {"stale", "vanished"}


def test_across_a_declared_loss_nothing_is_owed_and_on_either_side_of_it_all_is(tmp_path: Path) -> None:
    older = told(3, 300, ALICE, 1)
    assert after(tmp_path, CREATED, UPDATED, loss(), older) == set()
    assert after(tmp_path, CREATED, UPDATED, told(3, 50, ALICE, 1), loss()) == {"stale"}
    again = write(4, 250, kind="update", base="w-1")
    assert after(tmp_path, CREATED, UPDATED, loss(), told(5, 240, ALICE, 1), again, older) == {"stale"}
    assert after(tmp_path, CREATED, UPDATED, loss(), told(5, 240, ALICE, 1), again, told(6, 300, ALICE, 4)) == set()
    assert after(tmp_path, CREATED, loss(), told(3, 300, BOB)) == set()
    assert after(tmp_path, CREATED, told(3, 50, BOB), loss()) == {"vanished"}
    assert after(tmp_path, loss(), write(1, 250), told(3, 300, BOB)) == {"vanished"}


def test_ties_excuse(tmp_path: Path) -> None:
    """What happens at one nanosecond may have happened in either order."""
    first = [CREATED[0], Send(1, 1, 10), Send(1, 2, 11), Back(1, 2, 15, "ok"), Back(1, 1, 20, "fail")]
    for acted, expected in ((20, set()), (21, {"stale"})):
        later = write(2, acted, kind="update")
        assert owed(tmp_path, first, later, told(3, 30, ALICE, 1), idempotency="none") == expected
    assert owed(tmp_path, CREATED, told(3, 12, BOB, gone=("r-1",))) == set()
    assert owed(tmp_path, CREATED, told(3, 13, BOB, gone=("r-1",))) == {"vanished"}


def test_a_session_is_cut_where_the_disaster_struck(tmp_path: Path) -> None:
    assert after(tmp_path, CREATED, told(3, 98, BOB), loss()) == {"vanished"}
    assert after(tmp_path, CREATED, told(3, 99, BOB), loss()) == set()
    assert after(tmp_path, write(1, 90, returned=100), loss(), told(3, 300, BOB)) == set()
    struck = write(2, 100, kind="update", base="w-1", returned=105)
    assert after(tmp_path, CREATED, struck, loss(), told(3, 300, ALICE, 1)) == set()
    assert after(tmp_path, CREATED, UPDATED, told(3, 100, BOB, 2), loss(), told(4, 300, BOB, 1)) == set()
    assert after(tmp_path, CREATED, UPDATED, loss(), told(3, 250, BOB, 2), told(4, 300, BOB, 1)) == {"stale"}

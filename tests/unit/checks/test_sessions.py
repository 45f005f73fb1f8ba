"""What a session is owed, case by case: what is stale or vanished, and what only looks so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaos.history.events import Act, Back, Event, Header, Idempotency, Policy, Row, Send
from tests.unit.checks.files import judged
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


def test_a_version_that_builds_on_an_own_write_is_no_older_however_late_that_was_answered(tmp_path: Path) -> None:
    late = write(2, 20, kind="update", base="w-1", returned=40)
    newer = write(3, 30, BOB, kind="update", base="w-2")
    assert owed(tmp_path, CREATED, late, newer, told(4, 50, ALICE, 3)) == set()
    assert owed(tmp_path, CREATED, late, newer, told(4, 50, BOB, 2)) == {"stale"}

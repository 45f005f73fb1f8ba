"""What counts for the mix of a trial: photos, updates that raced, resets with a full outbox, and the least of each."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaos.checks.conditions.mix import Mix
from chaos.checks.counts import Counts
from chaos.history.events import CANARY_OWNER, Act, Back, Event, Send
from tests.unit.checks.one_owner import closer_look, create, judgement, twice

ENOUGH = Mix(operations=100, updates=0.25, deletes=0.05, contended=0.10, photos=0.05, full_resets=1)


def mix(tmp_path: Path, *parts: list[Event]) -> Mix:
    """The mix of these operations; it is the same where the records need no closer look."""
    events = [event for part in parts for event in part]
    found = judgement(tmp_path, *events).mix
    answered = {event.op for event in events if isinstance(event, Back)}
    acts = sorted((e for e in events if isinstance(e, Act) and e.op in answered), key=lambda act: act.t)
    last = {act.record: act for act in acts if act.owner == "u-1"}
    reads = twice(1, "fresh", 1000, *(act for act in last.values() if act.kind != "delete"))
    assert closer_look(tmp_path, *events, *reads, policy="last-writer-wins")[1].mix == found
    return found


def write(op: int, t: int, back: int | None, device: str = "d-1", **changes: Any) -> list[Event]:
    act = create(op, t, device=device, session=f"{device}#1", **changes)
    events: list[Event] = [act, Send(op, 1, t)]
    return events if back is None else [*events, Back(op, 1, back, "ok")]


MADE = write(1, 1, 2)


def update(op: int, t: int, back: int | None, device: str, base: str | None = None) -> list[Event]:
    return write(op, t, back, device, kind="update", base=base)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"updates": 0.2499}, "25.0% updates, at least 25% wanted"),
        ({"deletes": 0.0499}, "5.0% deletes, at least 5% wanted"),
        ({"contended": 0.0999}, "10.0% contended updates, at least 10% wanted"),
        ({"photos": 0.0499}, "5.0% photos of 50 KB to 2 MB, at least 5% wanted"),
        ({"full_resets": 0}, "no device was reset with a full outbox, at least one wanted"),
    ],
)
def test_the_least_of_everything_is_enough_and_less_of_anything_is_thin(change: dict[str, Any], said: str) -> None:
    assert ENOUGH.thin() == ()
    assert replace(ENOUGH, **change).thin() == (said,)


def test_of_what_the_workload_does_not_have_nothing_is_wanted_and_of_all_else_the_same() -> None:
    none = replace(ENOUGH, photos=0.0, full_resets=0)
    assert none.thin(["photos", "resets"]) == ()
    assert len(none.thin(["photos"])) == len(none.thin(["resets"])) == 1
    less = replace(ENOUGH, updates=0.0, deletes=0.0, contended=0.0)
    assert less.thin(["photos", "resets"]) == less.thin()
    assert len(less.thin()) == 3


def test_shares_are_of_what_was_sent_by_users(tmp_path: Path) -> None:
    never: list[Event] = [create(8, 3, "r-8")]
    removed = write(4, 30, 31, kind="delete", hash="", base="w-1")
    canary = write(9, 4, 5, record="r-9", owner=CANARY_OWNER)
    found = mix(
        tmp_path,
        MADE,
        never,
        canary,
        write(2, 10, 11, kind="update", base="w-1"),
        write(3, 5, 6, record="r-3"),
        removed,
    )
    assert found == Mix(4, updates=0.25, deletes=0.25, contended=0.0, photos=0.0, full_resets=0)
    assert mix(tmp_path) == Mix(0, 0.0, 0.0, 0.0, 0.0, 0)


def test_a_user_counts_whatever_the_name(tmp_path: Path) -> None:
    wiped = Act(9, 5, "d-1#1", "d-1", "u-zoe", "reset", outbox=1)
    found = mix(tmp_path, write(1, 1, 2, owner="u-zoe"), [wiped])
    assert (found.operations, found.full_resets) == (1, 1)


def test_records_that_needed_no_closer_look_are_counted_too(tmp_path: Path) -> None:
    further = Counts(mixed=Counter(create=3, update=4, delete=2, photo=1, contended=3))
    found = judgement(tmp_path, *MADE, further=further).mix
    assert found == Mix(10, updates=0.4, deletes=0.2, contended=0.75, photos=0.25, full_resets=0)


@pytest.mark.parametrize(
    ("size", "photos"), [(49_999, 0.0), (50_000, 1.0), (2 * 1024 * 1024, 1.0), (2 * 1024 * 1024 + 1, 0.0)]
)
def test_a_photo_has_between_50_kb_and_2_mb_and_is_created(size: int, photos: float, tmp_path: Path) -> None:
    assert mix(tmp_path, write(1, 1, 2, type="photo", size_bytes=size)).photos == photos
    assert mix(tmp_path, write(1, 1, 2, type="todo", size_bytes=size)).photos == 0.0
    assert mix(tmp_path, MADE, write(2, 10, 11, kind="update", type="photo", size_bytes=size)).photos == 0.0


@pytest.mark.parametrize(
    ("one", "other", "contended"),
    [
        (update(2, 10, 20, "d-1"), update(3, 20, 30, "d-2"), 1.0),
        (update(2, 10, 19, "d-1"), update(3, 20, 30, "d-2"), 0.0),
        (update(2, 10, 40, "d-1"), update(3, 20, 30, "d-2"), 1.0),
        (update(2, 10, 20, "d-1"), update(3, 20, 30, "d-1"), 0.0),
        (update(2, 10, 11, "d-1", "w-1"), update(3, 20, 21, "d-2", "w-1"), 1.0),
        (update(2, 10, 11, "d-1", "w-1"), update(3, 20, 21, "d-1", "w-1"), 0.0),
        (update(2, 10, 11, "d-1", "w-1"), update(3, 20, 21, "d-2", "w-2"), 0.0),
        (update(2, 10, None, "d-1"), update(3, 20, 30, "d-2"), 0.0),
        (update(2, 10, None, "d-1"), update(3, 10, 30, "d-2"), 1.0),
    ],
    ids=[
        "at one time", "one after the other", "one within the other", "of one device", "on one base",
        "on one base, of one device", "one on the other", "never answered", "never answered, sent at one time",
    ],
)  # fmt: skip
def test_updates_race_on_one_base_or_at_one_time_if_two_devices_made_them(
    one: list[Event], other: list[Event], contended: float, tmp_path: Path
) -> None:
    assert mix(tmp_path, MADE, one, other).contended == contended
    assert mix(tmp_path, MADE, other, one).contended == contended


@pytest.mark.parametrize(
    ("retried_until", "contended"),
    [(19, 0.0), (20, 1.0)],
)
def test_an_update_that_is_tried_again_is_at_the_record_until_the_last_answer(
    retried_until: int, contended: float, tmp_path: Path
) -> None:
    tried = [*update(2, 10, 11, "d-1"), Send(2, 2, 15), Back(2, 2, retried_until, "ok")]
    assert mix(tmp_path, MADE, tried, update(3, 20, 30, "d-2")).contended == contended


def test_an_update_races_with_one_that_has_been_under_way_for_long(tmp_path: Path) -> None:
    one, short, last = update(2, 10, 40, "d-1"), update(3, 12, 14, "d-2"), update(4, 30, 31, "d-3")
    assert mix(tmp_path, MADE, one, short, last).contended == 1.0
    assert mix(tmp_path, MADE, short, last).contended == 0.0


def test_an_update_races_with_a_delete_but_not_with_the_create(tmp_path: Path) -> None:
    removed = write(3, 20, 30, "d-2", kind="delete", hash="")
    assert mix(tmp_path, MADE, update(2, 10, 20, "d-1"), removed).contended == 1.0
    assert mix(tmp_path, write(1, 1, 50), update(2, 10, 20, "d-2")).contended == 0.0
    third = update(4, 60, 70, "d-1")
    assert mix(tmp_path, MADE, update(2, 10, 20, "d-1"), removed, third).contended == 0.5


def test_a_reset_counts_if_it_wiped_something_and_was_no_canarys(tmp_path: Path) -> None:
    resets = [Act(op, 5, "d-1#1", "d-1", "u-1", "reset", outbox=wiped) for op, wiped in ((7, 0), (8, 1), (9, 3))]
    canary = Act(10, 5, "d-c#1", "d-c", CANARY_OWNER, "reset", outbox=2)
    assert mix(tmp_path, [*resets, canary]).full_resets == 2

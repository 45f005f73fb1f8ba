"""Whether the doors of one step agree, and what came back once phones had synced."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from chaos.history.events import Act, Back, DoorRead, Event, Send
from tests.unit.checks.one_owner import anomalies, create, door, judgement, sent, twice

FIRST = create(1, 10)
LATER = create(2, 20, kind="update")
MADE = sent(FIRST)


def read(name: str, one: int, other: int, *shown: Act) -> list[Event]:
    """A cache, read at these two times, for a moment each."""
    return [door(2, name, 1, one, *shown), door(2, name, 2, other, *shown)]


def test_a_late_write_that_one_door_showed_must_be_at_the_next_one(tmp_path: Path) -> None:
    load = [*MADE, *sent(LATER, "info")]
    assert anomalies(tmp_path, *load, *twice(2, "cache d-1", 100, FIRST), *twice(2, "cache d-2", 110, LATER)) == set()
    back = [*twice(2, "cache d-1", 100, LATER), *twice(2, "cache d-2", 110, FIRST)]
    assert anomalies(tmp_path, *load, *back) == {"lost-on-node"}


def test_between_two_doors_a_delete_may_take_effect_if_nobody_knew_of_it_before(tmp_path: Path) -> None:
    delete = create(2, 20, kind="delete", hash="")
    then_nothing = [*twice(2, "cache d-1", 100, FIRST), *twice(2, "cache d-2", 110)]
    assert anomalies(tmp_path, *MADE, *sent(delete, "info"), *then_nothing) == set()
    # Two at one time, both acknowledged: either may be last, but not one here and the other one there.
    update = create(3, 21, kind="update")
    both = [*sent(delete, t=30), *sent(update, t=31)]
    then_nothing = [*twice(2, "cache d-1", 100, update), *twice(2, "cache d-2", 110)]
    assert anomalies(tmp_path, *MADE, *both, *then_nothing) == {"lost-on-node"}


def test_what_was_written_between_two_doors_is_at_the_later_one_alone(tmp_path: Path) -> None:
    between = sent(create(2, 110, kind="update", base="w-1"))
    reads = [*twice(2, "cache d-1", 100, FIRST), *twice(2, "cache d-2", 120, LATER)]
    assert anomalies(tmp_path, *MADE, *between, *reads) == set()


def test_where_keys_are_not_kept_a_stray_try_may_bring_an_older_version_back_between_two_doors(tmp_path: Path) -> None:
    stray: list[Event] = [FIRST, Send(1, 1, 11), Back(1, 1, 12, "info"), Send(1, 2, 13), Back(1, 2, 14, "ok")]
    reads = [*twice(2, "cache d-1", 100, LATER), *twice(2, "cache d-2", 110, FIRST)]
    assert anomalies(tmp_path, *stray, *sent(LATER), *reads, idempotency="none") == set()


def test_of_versions_beside_each_other_only_those_that_came_back_need_an_unknown_write(tmp_path: Path) -> None:
    """Under keep-both: one of the two was deleted for the first door, and is there again for the next one."""
    acknowledged, removed = create(2, 20), create(3, 30, kind="delete", hash="", base="w-2")
    load = [*sent(FIRST, "info"), *sent(acknowledged), *sent(removed, "info")]
    back = [*twice(2, "cache d-1", 100, FIRST), *twice(2, "cache d-2", 110, FIRST, acknowledged)]
    assert anomalies(tmp_path, *load, *back, policy="keep-both") == {"lost-on-node"}
    gone = [*twice(2, "cache d-1", 100, FIRST, acknowledged), *twice(2, "cache d-2", 110, FIRST)]
    assert anomalies(tmp_path, *load, *gone, policy="keep-both") == set()


def test_three_doors_that_show_three_versions_disagree_as_well(tmp_path: Path) -> None:
    rivals = [create(op, 20 + op, kind="update") for op in (2, 3, 4)]
    load = [*MADE, *(event for rival in rivals for event in sent(rival, t=40))]
    doors = [e for n, rival in enumerate(rivals) for e in twice(2, f"cache d-{n}", 100 + 10 * n, rival)]
    assert anomalies(tmp_path, *load, *doors) == {"lost-on-node"}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((100, 104), (102, 106), {"lost-on-node"}),
        ((100, 110), (104, 106), {"lost-on-node"}),
        ((104, 106), (100, 110), {"lost-on-node"}),
        ((100, 103), (101, 103), set()),
        ((100, 103), (102, 106), set()),
    ],
    ids=[
        "in turn",
        "the later version within",
        "the older version within",
        "as the first read ends",
        "as the second read begins",
    ],
)
def test_doors_that_differ_must_have_been_read_one_after_the_other(
    before: tuple[int, int], after: tuple[int, int], expected: set[str], tmp_path: Path
) -> None:
    """Only a read that lies between two agreeing ones proves that they were wrong; one that touches them may not."""
    reads = [*read("cache d-1", *before, FIRST), *read("cache d-2", *after, LATER)]
    assert anomalies(tmp_path, *MADE, *sent(LATER, "info"), *reads) == expected


def test_a_door_that_failed_at_last_or_was_read_once_is_not_held_against_another(tmp_path: Path) -> None:
    load = [*MADE, *sent(LATER, "info")]
    failed = replace(door(2, "cache d-1", 3, 104), outcome="fail", settled=False, why="timed out")
    reads = [*twice(2, "cache d-1", 100, LATER), failed, *twice(2, "cache d-2", 110, FIRST)]
    assert anomalies(tmp_path, *load, *reads) == set()
    once = [door(2, "cache d-1", 1, 100, LATER), door(2, "cache d-2", 1, 110, FIRST)]
    assert anomalies(tmp_path, *load, *once) == set()


def healed(tmp_path: Path, *events: Event) -> int:
    found = judgement(tmp_path, *MADE, *events)
    assert set(found.anomalies) & {"lost", "corrupted", "lost-on-node"}
    return found.reported.get("healed-by-device", 0)


def damaged(reads: list[DoorRead]) -> list[DoorRead]:
    return [replace(e, rows=tuple(replace(row, hash="0" * 16) for row in e.rows)) for e in reads]


def test_only_what_a_fresh_device_missed_and_a_later_door_has_whole_was_healed_by_a_device(tmp_path: Path) -> None:
    missed, there, after = twice(1, "fresh", 100), twice(2, "cache d-1", 110, FIRST), twice(4, "reset d-1", 120, FIRST)
    assert healed(tmp_path, *missed, *there, *after) == healed(tmp_path, *missed, *there) == 1
    assert healed(tmp_path, *missed, *twice(2, "cache d-1", 110), *twice(4, "reset d-1", 120)) == 0
    assert healed(tmp_path, *missed, *damaged(there)) == 0
    assert healed(tmp_path, *damaged(twice(1, "fresh", 100, FIRST)), *there, *after) == 0
    assert healed(tmp_path, *twice(1, "fresh", 100, FIRST), *twice(2, "cache d-1", 110), *after) == 0
    assert healed(tmp_path, *missed, *twice(1, "fresh elsewhere", 110, FIRST)) == 0

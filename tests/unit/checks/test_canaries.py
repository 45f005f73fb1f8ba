"""Whether the check reported both canaries at every door, and what it says where it did not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaos.checks.counts import Counts
from chaos.history.events import CANARY_OWNER, Act, DoorRead, Event
from tests.unit.checks.one_owner import create, judgement, sent, twice

A = create(101, 1, "a", owner=CANARY_OWNER)
B = create(102, 5, "b", owner=CANARY_OWNER)
PLANTED = [*sent(A), *sent(replace(B, hash="0" * 16))]
USERS = sent(create(1, 10))


def seen(tmp_path: Path, *events: Event, steps: tuple[int, ...] = ()) -> tuple[int, int, str]:
    """(planted, reported, why the check is blind)."""
    found = judgement(tmp_path, *PLANTED, *USERS, *events, further=Counts(steps=set(steps)))
    why = "" if found.verdict else found.reason.removeprefix("the check is blind: ")
    return found.canaries_planted, found.canaries_reported, why


def read(step: int, *shown: Act, owner: str = CANARY_OWNER) -> list[DoorRead]:
    """A door of one owner, in two rounds."""
    rounds = twice(step, "fresh", 100 * step, *shown)
    return [replace(each, owner=owner) for each in rounds if isinstance(each, DoorRead)]


def test_the_check_sees_if_it_reports_both_at_every_step_that_was_read(tmp_path: Path) -> None:
    doors = [*read(1, B), *read(4, B)]
    assert seen(tmp_path, *doors, *read(1, owner="u-1")) == (2, 2, "")
    assert seen(tmp_path, *doors, steps=(1, 4)) == (2, 2, "")


@pytest.mark.parametrize("owner", ["u-1", "u-zoe"])
def test_the_first_step_at_which_canaries_were_not_read_is_named(owner: str, tmp_path: Path) -> None:
    doors = [*read(1, B), *(each for step in (1, 2, 4) for each in read(step, owner=owner))]
    assert seen(tmp_path, *doors) == (2, 0, "the canaries were not read at step 2 of the final reads")


def test_steps_at_which_only_others_were_read_count_as_well(tmp_path: Path) -> None:
    unread = "the canaries were not read at step 4 of the final reads"
    assert seen(tmp_path, *read(1, B), steps=(4,)) == (2, 0, unread)
    assert seen(tmp_path, *read(1, B), *read(4, owner="u-1"), steps=(4,)) == (2, 0, unread)


def test_one_that_is_not_reported_at_a_door_is_named_with_it(tmp_path: Path) -> None:
    assert seen(tmp_path, *read(1, A, B)) == (2, 1, "canary A (a) was not reported at door fresh")
    whole = replace(B, hash="0" * 16)
    assert seen(tmp_path, *read(1, B), *read(4, whole)) == (2, 1, "canary B (b) was not reported at door fresh")


def test_a_check_that_could_not_read_any_of_their_doors_overlooked_nothing_and_reported_nothing(
    tmp_path: Path,
) -> None:
    failed = [replace(each, outcome="fail", settled=False, why="refused") for each in read(1)]
    assert seen(tmp_path, *failed) == (2, 0, "")


LOST = twice(1, "fresh", 100)


@pytest.mark.parametrize(
    "shown",
    [
        {"stamps": ((CANARY_OWNER, "b", "w-0"),)},
        {"owner": "u-zoe"},
        {"record": ""},
    ],
)
def test_a_loss_counts_also_where_the_service_has_damaged_a_canary(shown: dict[str, Any], tmp_path: Path) -> None:
    """The check has reported it, if as something else: it is not blind, and yet supports no HELD."""
    doors = [replace(each, rows=(replace(each.rows[0], **shown),)) for each in read(1, B)]
    found = judgement(tmp_path, *PLANTED, *USERS, *doors, *LOST)
    assert (found.verdict, found.anomalies["lost"]) == ("VIOLATED", 1)
    there = [replace(each, owner="u-1") for each in read(1, USERS[0])]  # type: ignore[arg-type]
    assert judgement(tmp_path, *PLANTED, *USERS, *doors, *there).verdict in (None, "INCONCLUSIVE")


def test_a_loss_counts_also_where_a_canary_comes_back_in_one_round_only(tmp_path: Path) -> None:
    one, two = read(1, B)
    flaps = [replace(one, rows=()), replace(two, settled=False)]
    found = judgement(tmp_path, *PLANTED, *USERS, *flaps, *LOST)
    assert (found.verdict, found.anomalies["lost"], found.anomalies["not-quiescent"]) == ("VIOLATED", 1, 1)

"""The verdict: what makes a trial HELD, VIOLATED, INCONCLUSIVE, or no verdict at all."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from chaos.checks import verdict
from chaos.errors import HarnessError
from chaos.history.events import (
    CANARY_OWNER,
    Act,
    Back,
    DoorRead,
    Event,
    FaultEvent,
    Note,
    PhaseEvent,
    Row,
    Send,
)
from tests.unit.checks.files import judged, with_header
from tests.unit.checks.one_owner import anomalies, create, door, sent
from tests.unit.checks.plant import COPY, PLANTS, at_doors, live, load_ended, with_a_copy
from tests.unit.checks.service import Load, legal_history

MS = 1_000_000


@cache
def _clean(seed: int) -> tuple[Event, ...]:
    return tuple(legal_history(Load(seed)))


def clean(seed: int = 1) -> list[Event]:
    return list(_clean(seed))


def everything_lost(events: list[Event]) -> list[Event]:
    """All rows of the users are gone at every door, as after an array burnt down."""
    return [replace(e, rows=()) if isinstance(e, DoorRead) and e.owner != CANARY_OWNER else e for e in events]


def test_a_copy_that_the_header_tells_of_must_have_been_read_for_every_owner(tmp_path: Path) -> None:
    assert judged(with_a_copy(clean()), tmp_path).verdict == "HELD"
    judgement = judged(with_header(clean(), copies=(COPY,)), tmp_path)
    assert judgement.verdict == "INCONCLUSIVE"
    assert judgement.anomalies == {"never-read": judgement.coverable}
    assert "the first gap is replica db of u-00" in judgement.reason


def test_a_clean_conclusive_trial_is_held_and_says_what_was_covered(tmp_path: Path) -> None:
    judgement = judged(clean(), tmp_path)
    assert judgement.verdict == "HELD"
    assert judgement.anomalies == {}
    assert (judgement.canaries_planted, judgement.canaries_reported) == (2, 2)
    assert judgement.covered == judgement.coverable > 50
    assert judgement.records == ()
    assert judgement.reason == (
        f"{judgement.covered} of {judgement.covered} acknowledged records are as they must be at every door"
    )
    assert "updates" in str(judgement.mix)


def test_operations_are_counted_once_each_by_outcome_without_canaries_and_reads(tmp_path: Path) -> None:
    events = clean()
    mutations = [
        e for e in events if isinstance(e, Act) and e.owner != CANARY_OWNER and e.kind in ("create", "update", "delete")
    ]
    assert sum(judged(events, tmp_path).operations.values()) == len(mutations)


def test_a_burnt_array_is_told_in_the_words_of_the_field(tmp_path: Path) -> None:
    events = everything_lost(with_header(clean(), faults=("san.lose",)))
    events = [replace(e, fault="san.lose") if isinstance(e, FaultEvent) else e for e in events]
    judgement = judged(events, tmp_path)
    assert judgement.verdict == "VIOLATED"
    lost, _, rest = judgement.reason.partition(" of ")
    assert rest.startswith(f"{lost} records acknowledged before san.lose are lost")
    assert judgement.anomalies["lost"] <= judgement.records_total <= sum(judgement.anomalies.values())
    assert len(judgement.records) == min(judgement.records_total, verdict.RECORDS_SHOWN_MAX) > 20


def test_life_stories_are_bounded_and_the_worst_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict, "RECORDS_SHOWN_MAX", 5)
    judgement = judged(everything_lost(clean()), tmp_path)
    assert len(judgement.records) == 5 < judgement.records_total
    assert all("lost" in each.classes for each in judgement.records)


def test_the_life_story_tells_acts_faults_runbook_doors_and_copies_in_order(tmp_path: Path) -> None:
    events = clean()
    ended = load_ended(events)
    notes = [Note("runbook", ended, "no usable backup; initialised empty"), Note("copies", ended, "pgdata on core")]
    events = everything_lost([events[0], *notes, *events[1:]])
    story = judged(events, tmp_path).records[0].story
    told = [f"{line.what} | {line.detail}" for line in story]
    times = [line.t_seconds_from_load_begin for line in story]
    assert times == sorted(times)
    assert "created it" in told[0]
    assert "acknowledged by gateway-1" in told[0]
    for part in (
        "disk.power_cut core | failed_writes 3",
        "disk.power_cut core healed",
        "runbook | no usable backup; initialised empty",
        "copies | pgdata on core",
        "a fresh device read everything | not there",
        "its cache was read | not there",
        "was reset and read everything | not there",
    ):
        assert any(part in line for line in told), (part, told)


# -- canaries -------------------------------------------------------------------------------------------------


def canary_doors(events: list[Event], change: Callable[[DoorRead], DoorRead | None], step: int) -> list[Event]:
    changed = []
    for event in events:
        if isinstance(event, DoorRead) and event.owner == CANARY_OWNER and event.step == step:
            after = change(event)
            if after is not None:
                changed.append(after)
        else:
            changed.append(event)  # type: ignore[arg-type]
    return changed  # type: ignore[return-value]


def act_of(events: list[Event], record: str) -> Act:
    return [e for e in events if isinstance(e, Act) and e.record == record][-1]


@pytest.mark.parametrize("step", [1, 2, 4])
def test_a_canary_that_is_not_reported_at_one_door_makes_the_check_blind(step: int, tmp_path: Path) -> None:
    events = clean()
    a, b = act_of(events, "canary-a"), act_of(events, "canary-b")
    there = Row("canary-a", CANARY_OWNER, a.write, a.hash, "row-a")
    events_a = canary_doors(events, lambda door: replace(door, rows=(*door.rows, there)), step)
    judgement = judged(events_a, tmp_path)
    assert judgement.verdict is None
    assert "blind" in judgement.reason
    assert "canary A" in judgement.reason
    whole = Row("canary-b", CANARY_OWNER, b.write, b.hash, "row-b")
    judgement = judged(canary_doors(events, lambda door: replace(door, rows=(whole,)), step), tmp_path)
    assert judgement.verdict is None
    assert "canary B" in judgement.reason
    assert judgement.canaries_reported == 1


@pytest.mark.parametrize("step", [1, 2, 4])
def test_canaries_that_a_step_did_not_read_make_the_check_blind(step: int, tmp_path: Path) -> None:
    judgement = judged(canary_doors(clean(), lambda door: None, step), tmp_path)
    assert judgement.verdict is None
    assert f"step {step}" in judgement.reason


def test_a_canary_that_the_disaster_took_counts_as_reported(tmp_path: Path) -> None:
    events = [replace(e, rows=()) if isinstance(e, DoorRead) else e for e in clean()]
    judgement = judged(events, tmp_path)
    assert judgement.verdict == "VIOLATED"
    assert judgement.canaries_reported == 2


def test_a_canary_whose_update_the_disaster_undid_counts_as_reported(tmp_path: Path) -> None:
    events = clean()
    created = next(e for e in events if isinstance(e, Act) and e.record == "canary-b")
    older = Row("canary-b", CANARY_OWNER, created.write, created.hash, "row-b")
    for step in (1, 2, 4):
        events = canary_doors(events, lambda door: replace(door, rows=(older,)), step)
    judgement = judged(events, tmp_path)
    assert judgement.verdict == "HELD"
    assert judgement.canaries_reported == 2


def test_a_canary_that_is_damaged_in_another_way_than_it_must_be_is_not_reported(tmp_path: Path) -> None:
    events = clean()
    b = act_of(events, "canary-b")
    torn = Row("canary-b", CANARY_OWNER, b.write, "0" * 16, "row-b", stamps=((CANARY_OWNER, "canary-b", "w-1"),))
    judgement = judged(canary_doors(events, lambda door: replace(door, rows=(torn,)), 1), tmp_path)
    assert judgement.verdict is None
    assert "canary B" in judgement.reason


def test_a_history_without_canaries_is_not_judged_by_a_check_that_may_be_blind(tmp_path: Path) -> None:
    for planted in ({}, {"A": "canary-a"}, {"A": "canary-a", "B": "nowhere"}):
        judgement = judged(with_header(clean(), canaries=planted), tmp_path)
        assert judgement.verdict is None
        assert f"only {min(1, len(planted))} of 2 canaries were planted" in judgement.reason
        assert (judgement.canaries_planted, judgement.canaries_reported) == (min(1, len(planted)), 0)


def test_canaries_are_outside_every_count(tmp_path: Path) -> None:
    judgement = judged(clean(), tmp_path)
    assert "lost" not in judgement.anomalies
    assert judgement.records_total == 0


def test_where_nobody_could_read_anything_the_check_overlooked_nothing(tmp_path: Path) -> None:
    events = [
        replace(e, outcome="fail", rows=(), settled=False, why="refused") if isinstance(e, DoorRead) else e
        for e in clean()
    ]
    judgement = judged(events, tmp_path)
    assert judgement.verdict == "INCONCLUSIVE"
    assert "unreadable" in judgement.anomalies
    unserved = [events[0], Note("unrecoverable", load_ended(events), "db exits with code 1"), *events[1:]]
    judgement = judged(unserved, tmp_path)
    assert judgement.verdict == "VIOLATED"
    assert judgement.reason == "the service does not serve after the runbook: db exits with code 1"


# -- conclusiveness -------------------------------------------------------------------------------------------


def inconclusive(events: list[Event], tmp_path: Path, match: str) -> None:
    judgement = judged(events, tmp_path)
    assert judgement.verdict == "INCONCLUSIVE"
    assert any(match in reason for reason in judgement.reasons), judgement.reasons


def without(events: list[Event], unwanted: Callable[[Event], bool]) -> list[Event]:
    return [event for event in events if not unwanted(event)]


def test_a_fault_without_evidence_makes_it_inconclusive(tmp_path: Path) -> None:
    events = [replace(e, bit=False, why="no packet was dropped") if isinstance(e, FaultEvent) else e for e in clean()]
    inconclusive(events, tmp_path, "disk.power_cut (fault 1) did not bite: no packet was dropped")


def test_a_fault_that_never_happened_makes_it_inconclusive(tmp_path: Path) -> None:
    events = without(clean(), lambda e: isinstance(e, FaultEvent))
    inconclusive(events, tmp_path, "its trigger never came")


def test_a_fault_that_struck_when_nobody_wrote_makes_it_inconclusive(tmp_path: Path) -> None:
    late = 3_600_000 * MS
    events = [replace(e, t=late) if isinstance(e, FaultEvent) else e for e in clean()]
    inconclusive(events, tmp_path, "no write was being acknowledged when it took hold")


def test_of_a_fault_after_the_load_no_writes_are_asked(tmp_path: Path) -> None:
    late = 3_600_000 * MS
    events = [replace(e, t=late, phase="converge") if isinstance(e, FaultEvent) else e for e in clean()]
    assert judged(events, tmp_path).verdict == "HELD"


def test_every_scheduled_fault_must_have_bitten(tmp_path: Path) -> None:
    events = with_header(clean(), faults=("disk.power_cut", "process.kill"))
    inconclusive(events, tmp_path, "process.kill (fault 2) did not bite")


def test_too_few_acknowledgements_make_it_inconclusive(tmp_path: Path) -> None:
    inconclusive(with_header(clean(), minimum_acknowledged=5_000), tmp_path, "at least 5,000 wanted")


def test_too_much_unknown_makes_it_inconclusive(tmp_path: Path) -> None:
    events = list(legal_history(Load(5, trouble=0.9)))
    inconclusive(events, tmp_path, "are unknown, at most 20% wanted")


@pytest.mark.parametrize(
    ("unwanted", "match"),
    [
        (lambda act: act.kind == "reset", "no device was reset with a full outbox"),
        (lambda act: act.kind == "delete", "deletes, at least 5% wanted"),
        (lambda act: act.type == "photo", "photos of 50 KB to 2 MB, at least 5% wanted"),
    ],
)
def test_a_thin_mix_is_inconclusive_where_it_is_asked_for(
    unwanted: Callable[[Act], bool], match: str, tmp_path: Path
) -> None:
    events = clean()
    ops = {e.op for e in events if isinstance(e, Act) and unwanted(e) and e.owner != CANARY_OWNER}
    names = {e.record for e in events if isinstance(e, Act) and e.op in ops and e.kind == "create"}
    ops |= {e.op for e in events if isinstance(e, Act) and e.record in names}
    kept = without(events, lambda e: isinstance(e, Act | Send | Back) and e.op in ops)
    judgement = judged(kept, tmp_path)
    assert any(match in reason for reason in judgement.reasons), judgement.reasons
    relaxed = judged(with_header(kept, require_mix=False), tmp_path)
    assert not any(match in reason for reason in relaxed.reasons)
    modest = judged(with_header(kept, mix_without=("photos",)), tmp_path)
    assert any(match in reason for reason in modest.reasons) is not match.startswith("photos")


def test_updates_without_a_rival_do_not_count_as_contended(tmp_path: Path) -> None:
    events = list(legal_history(Load(1, devices=1)))
    judgement = judged(events, tmp_path)
    assert judgement.mix.contended == 0
    assert judgement.verdict == "INCONCLUSIVE"


def test_a_violation_stands_however_thin_the_rest(tmp_path: Path) -> None:
    events = with_header(everything_lost(clean()), minimum_acknowledged=10**6, faults=("disk.power_cut", "san.lose"))
    judgement = judged(without(events, lambda e: isinstance(e, DoorRead) and e.step == 4), tmp_path)
    assert judgement.verdict == "VIOLATED"
    assert not any("did not bite" in reason for reason in judgement.reasons), "a loss is proven without it"
    assert any("were not read at every door" in reason for reason in judgement.reasons)


# -- doors ----------------------------------------------------------------------------------------------------


def test_what_a_door_showed_twice_is_proven_though_it_keeps_changing_and_once_is_not(tmp_path: Path) -> None:
    events = clean()
    victim, other = live(events)[:2]
    unsettled = [replace(e, settled=False) if isinstance(e, DoorRead) and e.step == 1 else e for e in events]

    def dropped(rounds: tuple[int, ...]) -> list[Event]:
        gone = []
        for event in unsettled:
            if (
                isinstance(event, DoorRead)
                and event.owner == victim.owner
                and event.step == 1
                and event.round in rounds
            ):
                rows = tuple(r for r in event.rows if r.record != victim.record)
                gone.append(replace(event, rows=rows))
            else:
                gone.append(event)  # type: ignore[arg-type]
        return gone  # type: ignore[return-value]

    assert other.record != victim.record
    assert judged(dropped((2,)), tmp_path).verdict == "INCONCLUSIVE"
    assert judged(dropped((1, 2)), tmp_path).anomalies["lost"] == 1


def test_what_returned_after_a_read_began_is_unknown_to_that_read(tmp_path: Path) -> None:
    act = create(1, 10)
    late = sent(act, t=105)
    assert anomalies(tmp_path, *late, door(1, "fresh", 1, 100), door(1, "fresh", 2, 102)) == set()
    assert anomalies(tmp_path, *late, door(1, "fresh", 1, 106), door(1, "fresh", 2, 108)) == {"lost"}


def test_an_older_version_beside_the_right_one_is_a_duplicate_and_no_loss(tmp_path: Path) -> None:
    """Without keys a create that was tried twice may make two rows, and later updates reach one of them."""
    first, second = create(1, 10), create(2, 20, kind="update", base="w-1")
    other = Row(first.record, first.owner, first.write, first.hash, "row-twin")
    load = [*sent(first), *sent(second)]
    reads = [door(1, "fresh", number, 100 + 2 * number, second) for number in (1, 2)]
    assert anomalies(tmp_path, *load, *(replace(r, rows=(*r.rows, other)) for r in reads)) == {"duplicated"}
    assert anomalies(tmp_path, *load, *(replace(r, rows=(other, *r.rows)) for r in reads)) == {"duplicated"}
    # Two rows of which none is the right one: that is a loss as well.
    again = (other, replace(other, row="row-triplet"))
    assert anomalies(tmp_path, *load, *(replace(r, rows=again) for r in reads)) == {"duplicated", "lost"}


def test_what_was_invoked_after_a_read_returned_does_not_exist_for_it(tmp_path: Path) -> None:
    act = create(1, 200)
    reads = (door(1, "fresh", 1, 100, act), door(1, "fresh", 2, 102, act))
    assert anomalies(tmp_path, *sent(act), *reads) == {"phantom"}


def test_what_a_final_read_showed_must_not_be_gone_at_a_later_one(tmp_path: Path) -> None:
    act = create(1, 10)
    fresh = (door(1, "fresh", 1, 100, act), door(1, "fresh", 2, 102, act))
    reset = (door(4, "reset d-1", 1, 200), door(4, "reset d-1", 2, 202))
    assert anomalies(tmp_path, *sent(act, None), *fresh, *reset) == {"seen-then-lost"}
    assert anomalies(tmp_path, *sent(act), *fresh, *reset) == {"lost"}


def test_an_unknown_delete_that_a_final_read_confirmed_must_not_be_undone(tmp_path: Path) -> None:
    act = create(1, 10)
    delete = create(2, 20, kind="delete", hash="", base="w-1")
    fresh = (door(1, "fresh", 1, 100), door(1, "fresh", 2, 102))
    reset = (door(4, "reset d-1", 1, 200, act), door(4, "reset d-1", 2, 202, act))
    assert anomalies(tmp_path, *sent(act), *sent(delete, "info"), *fresh, *reset) == {"seen-then-lost"}
    assert anomalies(tmp_path, *sent(act), *sent(delete, "info"), *reset) == set()


def contest() -> tuple[Act, Act, list[Event]]:
    """Two unconditional updates at one time: either may be last."""
    first, one = create(1, 10), create(2, 20, kind="update")
    two = create(3, 21, kind="update")
    return one, two, [*sent(first), *sent(one, t=30), *sent(two, t=31)]


def test_two_allowed_states_at_two_doors_of_one_step_are_lost_on_node(tmp_path: Path) -> None:
    one, two, load = contest()
    reads = (
        door(2, "cache d-1", 1, 100, one),
        door(2, "cache d-1", 2, 102, one),
        door(2, "cache d-2", 1, 104, two),
        door(2, "cache d-2", 2, 106, two),
    )
    assert anomalies(tmp_path, *load, *reads) == {"lost-on-node"}


def test_doors_of_different_steps_are_never_compared(tmp_path: Path) -> None:
    one, two, load = contest()
    reads = (
        door(1, "fresh", 1, 100, one),
        door(1, "fresh", 2, 102, one),
        door(2, "cache d-2", 1, 104, two),
        door(2, "cache d-2", 2, 106, two),
    )
    assert anomalies(tmp_path, *load, *reads) == set()


def test_a_late_write_between_two_doors_of_a_step_is_no_disagreement_unless_reads_interleave(
    tmp_path: Path,
) -> None:
    first, late = create(1, 10), create(2, 20, kind="update")
    load = [*sent(first), *sent(late, "info")]
    apart = (
        door(2, "cache d-1", 1, 100, first),
        door(2, "cache d-1", 2, 102, first),
        door(2, "cache d-2", 1, 104, late),
        door(2, "cache d-2", 2, 106, late),
    )
    assert anomalies(tmp_path, *load, *apart) == set()
    interleaved = (
        door(2, "cache d-1", 1, 100, first),
        door(2, "cache d-2", 1, 102, late),
        door(2, "cache d-1", 2, 104, first),
        door(2, "cache d-2", 2, 106, late),
    )
    assert anomalies(tmp_path, *load, *interleaved) == {"lost-on-node"}


def test_a_write_that_took_effect_on_a_replaced_version_is_lost_update(tmp_path: Path) -> None:
    first = create(1, 10)
    kept, stray = create(2, 20, kind="update", base="w-1"), create(3, 21, kind="update", base="w-1")
    load = [*sent(first), *sent(kept), *sent(stray, "info")]
    reads = (door(1, "fresh", 1, 100, stray), door(1, "fresh", 2, 102, stray))
    assert "lost-update" in anomalies(tmp_path, *load, *reads)


# -- the harness ----------------------------------------------------------------------------------------------


def test_a_check_that_crashes_is_a_harness_error_and_never_green(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(verdict, "mix_of", crash)
    with pytest.raises(HarnessError, match="ZeroDivisionError: a bug"):
        judged(clean(), tmp_path)


def test_the_first_twenty_records_are_told_the_worst_class_first(tmp_path: Path) -> None:
    events = clean()
    duplicate = dict(PLANTS["duplicated"])["two rows of one version"]
    planted = duplicate(events, random.Random(1))
    assert planted is not None
    victim = live(events)[-1]
    judgement = judged(at_doors(planted, victim, lambda row: ()), tmp_path)
    if judgement.records_total == 2:
        assert [record.classes for record in judgement.records] == [("lost",), ("duplicated",)]


def test_phases_of_other_names_do_not_move_the_begin_of_the_story(tmp_path: Path) -> None:
    events = clean()
    events = [events[0], PhaseEvent("reset", 0, "begun"), *events[1:]]
    story = judged(everything_lost(events), tmp_path).records[0].story
    assert 0 <= story[0].t_seconds_from_load_begin < 60

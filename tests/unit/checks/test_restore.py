"""A declared loss: what one instant within the RPO explains is excused, and nothing else is."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from chaos.history.events import (
    CANARY_OWNER,
    Act,
    Back,
    DoorRead,
    Event,
    FaultEvent,
    Header,
    Idempotency,
    PhaseEvent,
    Row,
    Send,
)
from tests.unit.checks.files import judged
from tests.unit.checks.one_owner import after_a_loss, create, judgement, loss, sent, twice
from tests.unit.checks.service import payload_hash

SECOND = 1_000_000_000
RPO_SECONDS = 5
DISASTER = 100 * SECOND
RESTORED = 120 * SECOND
SEEDS = range(int(os.environ.get("HOLDFAST_RESTORE_SEEDS", "60")))

State = dict[str, Act]


@dataclass
class Disaster:
    """A register per record that loses what was written after `to`, and phones that write before and after."""

    seed: int
    to: int
    idempotency: Idempotency = "keyed"
    events: list[Event] = field(default_factory=list)
    state: State = field(default_factory=dict)
    cases: Counter[str] = field(default_factory=Counter)

    def run(self, spoil: Callable[[State, State], None] | None = None) -> list[Event]:
        """The history; `spoil` changes what was restored (of what there was when the disaster struck)."""
        draw = random.Random(self.seed)
        self._begin()
        snapshots: list[tuple[int, State]] = []
        for number in range(40):
            self._write(draw, number, (20 + 2 * number + draw.random()) * SECOND, lost=False)
            snapshots.append((self._now, dict(self.state)))
        self.events.append(FaultEvent(0, DISASTER, "san.lose", "core", "injected", exceeds=True))
        before = dict(self.state)
        restored = next((dict(state) for t, state in reversed(snapshots) if t <= self.to), {})
        self.cases["lost by the restore"] += before != restored
        if spoil is not None:
            spoil(restored, before)
        self.events.append(FaultEvent(0, DISASTER + 10 * SECOND, "san.lose", "core", "healed", bit=True))
        self.state = restored
        self._doors(0, "restored pgdata", RESTORED)
        self._push_back(draw, before)
        for number in range(40, 55):
            self._write(draw, number, (130 + 2 * number) * SECOND, lost=False)
            self.cases["written after the restore"] += 1
        self.events.append(PhaseEvent("load", 299 * SECOND, "ended"))
        self._doors(1, "fresh", 300 * SECOND)
        self._doors(2, "cache d-1", 310 * SECOND)
        self._doors(4, "reset d-1", 320 * SECOND)
        return self.events

    def _begin(self) -> None:
        header = Header("x", 1, "reject", self.idempotency, rpo_seconds=RPO_SECONDS, require_mix=False,
                        canaries={"A": "a", "B": "b"}, faults=("san.lose",))  # fmt: skip
        a, b = (Act(n, n, "d-c#1", "d-c", CANARY_OWNER, "create", r, "todo", f"c{n}", f"c{n}", f"c{n}")
                for n, r in ((1, "a"), (2, "b")))  # fmt: skip
        self.events += [header, a, Send(1, 1, 3), Back(1, 1, 4, "ok"), b, Send(2, 1, 5), Back(2, 1, 6, "ok")]
        self.events.append(PhaseEvent("load", 7, "begun"))

    def _write(self, draw: random.Random, number: int, at: float, *, lost: bool) -> None:
        op, t = 100 + number, round(at)
        known = sorted(self.state)
        old = draw.choice(known) if known and draw.random() < 0.7 else None
        kind, record, base = ("create", f"r-{number}", None) if old is None else ("update", old, self.state[old].write)
        if old is not None and draw.random() < 0.15:
            kind = "delete"
        act = Act(op, t, "d-1#1", "d-1", "u-1", kind, record, "todo", f"w-{number}",  # type: ignore[arg-type]
                  "" if kind == "delete" else payload_hash(f"w-{number}"), f"k-{number}", base)  # fmt: skip
        outcome = draw.choices(("ok", "info", "applied"), (80, 10, 10))[0]
        self.events += [act, Send(op, 1, t + 1), Back(op, 1, t + 1000, "ok" if outcome == "ok" else "info")]
        self._now = t + 1000
        self.cases[outcome] += 1
        if outcome != "info":
            self._apply(act)

    def _apply(self, act: Act) -> None:
        if act.kind == "delete":
            self.state.pop(act.record, None)
        else:
            self.state[act.record] = act

    def _push_back(self, draw: random.Random, before: State) -> None:
        """Phones send again what they had written last and the service does not have any more."""
        for record, act in before.items():
            base = self.state.get(record)
            if base is act or draw.random() < 0.4:
                continue
            if (base.write if base else None) == act.base:
                self.cases["pushed back"] += 1
                t = RESTORED + 5 * SECOND + act.op
                self.events += [Send(act.op, 2, t), Back(act.op, 2, t + 10, "ok")]
                self._apply(act)

    def _doors(self, step: int, door: str, t: int) -> None:
        rows = tuple(Row(a.record, "u-1", a.write, a.hash, a.record) for a in self.state.values())
        canary = (Row("b", CANARY_OWNER, "c2", "another", "b"),)
        for owner, shown in (("u-1", rows), (CANARY_OWNER, canary)):
            self.events += [
                DoorRead(step, door, owner, n, t + n * 100, t + n * 100 + 50, "ok", n == 2, shown) for n in (1, 2)
            ]


@pytest.mark.parametrize("idempotency", ["keyed", "none"])
def test_what_an_instant_within_the_rpo_explains_is_excused(idempotency: Idempotency, tmp_path: Path) -> None:
    cases = Counter[str]()
    for seed in SEEDS:
        disaster = Disaster(seed, DISASTER - seed % RPO_SECONDS * SECOND, idempotency)
        judgement = judged(disaster.run(), tmp_path)
        assert not judgement.anomalies, (seed, judgement.reasons, judgement.records[:1])
        cases += disaster.cases
    assert cases["lost by the restore"] > len(SEEDS) / 3
    assert cases["pushed back"] > len(SEEDS) / 10
    for case in ("lost by the restore", "pushed back", "written after the restore"):
        assert cases[case] >= 1_000 or len(SEEDS) < 4_000, f"{case} was made {cases[case]} times"


def test_what_lies_further_back_than_the_rpo_is_a_lost_suffix(tmp_path: Path) -> None:
    found = Counter[str]()
    for seed in SEEDS:
        judgement = judged(Disaster(seed, DISASTER - 20 * SECOND).run(), tmp_path)
        found.update(judgement.anomalies.keys())
        assert judgement.verdict == "VIOLATED"
    assert found["lost-suffix"] == len(SEEDS)


def test_a_record_of_another_instant_than_the_others_is_a_hole(tmp_path: Path) -> None:
    def forget_the_oldest(restored: State, before: State) -> None:
        if restored:  # of a few seeds everything was deleted by then
            del restored[min(restored, key=lambda record: restored[record].t)]

    found = Counter[str]()
    for seed in SEEDS:
        found.update(judged(Disaster(seed, DISASTER).run(forget_the_oldest), tmp_path).anomalies.keys())
    assert found["hole"] > 0.75 * len(SEEDS)  # what nobody acknowledged may be missing


def without_the_last(events: Sequence[Event]) -> list[Event]:
    """The last record that was created after the disaster, and that nobody tried to delete, is at no final door."""
    kept = [e for e in events if isinstance(e, DoorRead) and e.step == 4 and e.owner == "u-1"][-1]
    acts = {e.record for e in events if isinstance(e, Act) and e.t > RESTORED and e.kind == "create"}
    sure = {e.op for e in events if isinstance(e, Back) and e.outcome == "ok"}
    maybe_gone = {e.record for e in events if isinstance(e, Act) and e.kind == "delete"}
    made = {e.record for e in events if isinstance(e, Act) and e.op in sure and e.record in acts} - maybe_gone
    victim = next((row.record for row in reversed(kept.rows) if row.record in made), None)
    if victim is None:
        return []
    return [replace(e, rows=tuple(r for r in e.rows if r.record != victim)) if isinstance(e, DoorRead) else e
            for e in events]  # fmt: skip


def test_what_was_acknowledged_after_the_disaster_is_never_excused(tmp_path: Path) -> None:
    planted = 0
    for seed in SEEDS:
        if events := without_the_last(Disaster(seed, DISASTER).run()):
            planted += 1
            assert "lost" in judged(events, tmp_path).anomalies
    assert planted > len(SEEDS) / 2


def test_without_a_read_of_the_restored_store_nothing_is_excused(tmp_path: Path) -> None:
    lost = 0
    for seed in SEEDS:
        events = [e for e in Disaster(seed, DISASTER - 4 * SECOND).run() if not isinstance(e, DoorRead) or e.step]
        lost += judged(events, tmp_path).verdict == "VIOLATED"
    assert lost > len(SEEDS) / 3


def test_what_was_deleted_long_before_the_disaster_must_not_come_back_after_it(tmp_path: Path) -> None:
    """The restored state lacks it, so later doors are judged from there and not from some earlier instant."""

    def act(op: int, t: int, kind: str, record: str, base: str | None = None) -> list[Event]:
        hash_ = "" if kind == "delete" else payload_hash(f"w-{op}")
        made = Act(op, t, "d-1#1", "d-1", "u-1", kind, record, "todo", f"w-{op}", hash_, f"w-{op}", base)  # type: ignore[arg-type]
        return [made, Send(op, 1, t), Back(op, 1, t + 1000, "ok")]

    disaster = Disaster(1, DISASTER)
    disaster._begin()
    first = [*act(101, 80 * SECOND, "create", "r-1"), *act(102, 90 * SECOND, "delete", "r-1", "w-101")]
    kept, lost = act(103, 91 * SECOND, "create", "r-2"), act(104, 97 * SECOND, "create", "r-3")
    disaster.events += [*first, *kept, *lost]
    disaster.events.append(FaultEvent(0, DISASTER, "san.lose", "core", "injected", exceeds=True))
    disaster.state = {"r-2": kept[0]}  # type: ignore[dict-item]
    disaster._doors(0, "restored pgdata", RESTORED)
    disaster._doors(1, "fresh", 300 * SECOND)
    assert set(judged(disaster.events, tmp_path).anomalies) <= {"never-read"}
    disaster.state["r-1"] = first[0]  # type: ignore[assignment]
    disaster._doors(4, "reset d-1", 320 * SECOND)
    assert judged(disaster.events, tmp_path).anomalies["resurrected"] == 1


# -- to the nanosecond ----------------------------------------------------------------------------------------

ONE = create(1, 40)


@pytest.mark.parametrize(("answered", "expected"), [(50, {"lost-suffix"}), (51, set())])
def test_what_was_acknowledged_just_before_the_bound_must_be_there(
    answered: int, expected: set[str], tmp_path: Path
) -> None:
    assert after_a_loss(tmp_path, *sent(ONE, t=answered), *loss(), rpo=50) == expected
    assert after_a_loss(tmp_path, *sent(ONE, t=answered), *loss(ONE), rpo=50) == set()


@pytest.mark.parametrize(("acted", "expected"), [(100, set()), (101, {"hole"})])
def test_what_was_acted_after_the_disaster_and_acknowledged_must_be_there(
    acted: int, expected: set[str], tmp_path: Path
) -> None:
    late = create(1, acted)
    made: list[Event] = [late, Send(1, 1, acted), Back(1, 1, acted + 2, "ok")]
    assert after_a_loss(tmp_path, *made, *loss()) == expected
    assert after_a_loss(tmp_path, *made, *loss(late)) == set()


def test_what_was_acknowledged_after_the_restore_began_is_not_asked_of_the_restored_store(tmp_path: Path) -> None:
    assert after_a_loss(tmp_path, *sent(create(1, 150), t=205), *loss()) == set()
    assert after_a_loss(tmp_path, *sent(create(1, 150), t=199), *loss()) == {"hole"}


def test_a_younger_record_without_an_older_one_is_a_hole_and_an_older_one_alone_is_not(tmp_path: Path) -> None:
    older, younger = create(1, 60, "r-1"), create(2, 70, "r-2")
    load = [*sent(older), *sent(younger)]
    assert after_a_loss(tmp_path, *load, *loss(younger)) == {"hole"}
    for kept in ((), (older,), (older, younger)):
        assert after_a_loss(tmp_path, *load, *loss(*kept), *twice(1, "fresh", 300, *kept)) == set()
    # What was not answered when the younger one was made may have come later.
    slow = [*sent(older, t=75), *sent(younger)]
    assert after_a_loss(tmp_path, *slow, *loss(younger)) == set()


def test_what_was_refused_must_not_be_in_the_restored_store_and_what_is_damaged_neither(tmp_path: Path) -> None:
    assert after_a_loss(tmp_path, *sent(create(1, 60), "fail"), *loss(ONE)) == {"hole", "aborted-visible"}
    assert after_a_loss(tmp_path, *sent(ONE), *loss(replace(ONE, hash="0" * 16)), rpo=10) == {"hole"}


def test_only_an_injected_fault_that_exceeds_the_redundancy_excuses_anything(tmp_path: Path) -> None:
    made, there = sent(create(1, 60)), twice(1, "fresh", 300)
    assert after_a_loss(tmp_path, *made, *loss(), *there) == set()
    survived = [replace(e, exceeds=False) if isinstance(e, FaultEvent) else e for e in loss()]
    assert after_a_loss(tmp_path, *made, *survived, *there) == {"lost"}
    missed = [replace(e, happened="missed") for e in loss()[:1] if isinstance(e, FaultEvent)]
    assert after_a_loss(tmp_path, *made, *missed, *loss()[2:], *there) == {"lost"}


def test_later_doors_are_judged_from_the_earliest_of_several_restored_stores(tmp_path: Path) -> None:
    older, younger = create(1, 60, "r-1"), create(2, 70, "r-2")
    load = [*sent(older), *sent(younger)]
    one, other = loss(older, younger, stores=("a",)), loss(older, stores=("b",))[2:]
    for stores in ([*one, *other], [*one[:2], *other, *one[2:]]):
        assert after_a_loss(tmp_path, *load, *stores, *twice(1, "fresh", 300, older, younger)) == set()
        # What is young enough to be lost was there again in the one store.
        assert after_a_loss(tmp_path, *load, *stores, *twice(1, "fresh", 300, older)) == {"seen-then-lost"}


def test_each_store_is_judged_by_itself(tmp_path: Path) -> None:
    older, younger = create(1, 60, "r-1"), create(2, 70, "r-2")
    load = [*sent(older), *sent(younger)]
    good, bad = loss(older, younger, stores=("a",)), loss(younger, stores=("b",))[2:]
    assert after_a_loss(tmp_path, *load, *good, *bad) == {"hole"}
    assert after_a_loss(tmp_path, *load, *good[:2], *bad, *good[2:]) == {"hole"}


def pushed_back(outcome: str = "info") -> tuple[Act, list[Event]]:
    """A write of before the disaster that a phone pushes back after the restore, without an answer."""
    lost = create(1, 60)
    return lost, [*sent(lost), *loss(), Send(1, 2, 210), Back(1, 2, 215, outcome)]  # type: ignore[arg-type]


def told_after(t: int, *shown: Act, gone: tuple[str, ...] = ()) -> list[Event]:
    rows = tuple(Row(a.record, a.owner, a.write, a.hash, "row-1") for a in shown)
    return [Act(90, t, "d-2#1", "d-2", "u-1", "sync"), Send(90, 1, t), Back(90, 1, t + 1, "ok", rows=rows, gone=gone)]


def test_what_was_lost_and_seen_again_must_be_there_from_then_on(tmp_path: Path) -> None:
    lost, load = pushed_back()
    nothing = twice(1, "fresh", 300)
    assert after_a_loss(tmp_path, *load, *nothing) == set()
    assert after_a_loss(tmp_path, *load, *told_after(220, lost), *nothing) == {"seen-then-lost"}
    assert after_a_loss(tmp_path, *load, *twice(1, "fresh", 250, lost), *twice(4, "reset d-1", 300)) == {
        "seen-then-lost"
    }
    assert after_a_loss(tmp_path, *load, *twice(3, "reset d-1", 250, lost), *twice(4, "reset d-1", 300)) == {
        "seen-then-lost"
    }
    assert after_a_loss(tmp_path, *load, *twice(2, "cache d-1", 250, lost), *twice(4, "reset d-1", 300)) == set()
    before = [*load[:3], *told_after(70, lost), *load[3:]]
    assert after_a_loss(tmp_path, *before, *nothing) == set(), "that it was seen before the disaster is lost as well"
    acknowledged = pushed_back("ok")[1]
    assert after_a_loss(tmp_path, *acknowledged, *nothing) == {"lost"}


def test_a_deletion_that_was_lost_counts_again_once_a_read_has_shown_it(tmp_path: Path) -> None:
    made, removed = create(1, 20), create(2, 60, kind="delete", hash="", base="w-1")
    load = [*sent(made), *sent(removed), *loss(made), Send(2, 2, 210), Back(2, 2, 215, "info")]
    there = twice(1, "fresh", 300, made)
    assert after_a_loss(tmp_path, *load, *there) == set()
    assert after_a_loss(tmp_path, *load, *told_after(220, gone=("r-1",)), *there) == {"seen-then-lost"}
    early = [*load[:6], *told_after(70, gone=("r-1",)), *load[6:]]
    assert after_a_loss(tmp_path, *early, *there) == set()
    assert after_a_loss(tmp_path, *load, *told_after(220, gone=("r-1",)), *twice(1, "fresh", 300)) == set()


def test_the_restored_stores_of_other_users_are_their_own(tmp_path: Path) -> None:
    theirs = replace(create(7, 20, "r-7"), owner="u-2")
    assert after_a_loss(tmp_path, *sent(theirs), *loss()) == set()


def test_what_was_acted_as_the_disaster_struck_may_be_lost_and_may_be_there_but_not_without_what_was_before(
    tmp_path: Path,
) -> None:
    older, last = create(1, 60, "r-1"), create(2, 100, "r-2")
    load = [*sent(older), *sent(last, "info")]
    assert after_a_loss(tmp_path, *load, *loss(older, last)) == set()
    assert after_a_loss(tmp_path, *load, *loss(older)) == set()
    assert after_a_loss(tmp_path, *load, *loss(last)) == {"hole"}


@pytest.mark.parametrize(("returned", "expected"), [(50, {"lost-suffix"}), (51, set())])
def test_what_a_read_had_shown_by_the_bound_must_be_there_as_well(
    returned: int, expected: set[str], tmp_path: Path
) -> None:
    load = [*sent(ONE, "info"), *told_after(returned - 1, ONE)]
    assert after_a_loss(tmp_path, *load, *loss(), rpo=50) == expected
    later = {"seen-then-lost"} if expected else set()
    assert after_a_loss(tmp_path, *load, *loss(), *twice(1, "fresh", 300), rpo=50) == expected | later


@pytest.mark.parametrize(("again", "expected"), [(100, set()), (101, {"lost-suffix"})])
def test_what_was_sent_after_the_disaster_and_acknowledged_is_not_lost_by_it(
    again: int, expected: set[str], tmp_path: Path
) -> None:
    load: list[Event] = [ONE, Send(1, 1, again), Back(1, 1, 150, "ok")]
    assert after_a_loss(tmp_path, *load, *loss()) == expected


def test_what_was_acted_within_the_bound_may_be_lost_though_it_was_answered_after_the_disaster(tmp_path: Path) -> None:
    load: list[Event] = [create(1, 60), Send(1, 1, 61), Back(1, 1, 62, "info"), Send(1, 2, 150), Back(1, 2, 151, "ok")]
    assert after_a_loss(tmp_path, *load, *loss()) == set()
    assert after_a_loss(tmp_path, *load, *loss(), *twice(1, "fresh", 300)) == {"lost"}
    earlier: list[Event] = [ONE, *load[1:]]
    assert after_a_loss(tmp_path, *earlier, *loss()) == {"lost-suffix"}, "acted before the bound, and answered"


def test_what_was_lost_may_be_there_again_though_nobody_was_seen_to_push_it_back(tmp_path: Path) -> None:
    lost = create(1, 60)
    older = sent(create(9, 52, "r-9"))
    for load in (sent(lost), [*older, *sent(lost)]):
        assert after_a_loss(tmp_path, *load, *loss(), *twice(1, "fresh", 300, lost)) == set()
    assert after_a_loss(tmp_path, *sent(lost, "fail"), *loss(), *twice(1, "fresh", 300, lost)) == {"aborted-visible"}


def test_only_the_records_that_the_best_instant_leaves_unexplained_are_holes(tmp_path: Path) -> None:
    """The one was answered, and the other acted, as the disaster struck: no instant has the other alone."""
    older, last, kept = create(1, 90, "r-1"), create(2, 100, "r-2"), create(3, 30, "r-3")
    load = [*sent(kept), *sent(older, t=100), *sent(last, "info"), *loss(last, kept)]
    found = judgement(tmp_path, *load, rpo_seconds=50 / 1e9, faults=("san.lose",))
    assert found.anomalies["hole"] == 1
    assert [each.record for each in found.records if "hole" in each.classes] == ["r-1"]


def test_later_doors_are_judged_from_the_last_instant_that_explains_the_store(tmp_path: Path) -> None:
    """Nothing was there at any instant, and by the last one the deletion had been acknowledged."""
    made, removed = create(1, 30), create(2, 60, kind="delete", hash="", base="w-1")
    load = [*sent(made, "info"), *sent(removed), *loss()]
    assert after_a_loss(tmp_path, *load, *twice(1, "fresh", 300)) == set()
    assert after_a_loss(tmp_path, *load, *twice(1, "fresh", 300, made)) == {"resurrected"}


@pytest.mark.parametrize(("returned", "expected"), [(50, {"lost-suffix"}), (51, set())])
def test_a_deletion_that_a_read_had_shown_by_the_bound_must_not_be_undone(
    returned: int, expected: set[str], tmp_path: Path
) -> None:
    made, removed = create(1, 20), create(2, 30, kind="delete", hash="", base="w-1")
    load = [*sent(made), *sent(removed, "info"), *told_after(returned - 1, gone=("r-1",))]
    assert after_a_loss(tmp_path, *load, *loss(made)) == expected


def test_a_deletion_that_a_read_had_shown_by_the_bound_must_not_be_undone_later_either(tmp_path: Path) -> None:
    made, removed = create(1, 20), create(2, 30, kind="delete", hash="", base="w-1")
    load = [*sent(made), *sent(removed, "info"), *told_after(39, gone=("r-1",)), *loss()]
    assert after_a_loss(tmp_path, *load, *twice(1, "fresh", 300)) == set()
    assert after_a_loss(tmp_path, *load, *twice(1, "fresh", 300, made)) == {"seen-then-lost"}


def test_what_was_acted_after_the_disaster_and_seen_must_be_there_even_if_the_read_was_asked_for_before_the_restore(
    tmp_path: Path,
) -> None:
    late = create(1, 110)
    load = [*sent(late, "info"), *told_after(150, late), *loss()]
    assert after_a_loss(tmp_path, *load, *twice(1, "fresh", 300)) == {"seen-then-lost"}


def test_a_user_is_asked_for_at_the_restored_store_whatever_their_name(tmp_path: Path) -> None:
    load: list[Event] = [*sent(ONE), *loss()]
    for name in ("a-1", "u-1", "v-1"):
        named = [replace(e, owner=name) if isinstance(e, (Act, DoorRead)) else e for e in load]
        assert after_a_loss(tmp_path, *named, rpo=10) == {"lost-suffix"}


def read_at(op: int, t: int, rows: State) -> list[Event]:
    """A phone of the same user reads everything."""
    shown = tuple(Row(act.record, "u-1", act.write, act.hash, act.record) for act in rows.values())
    back = Back(op, 1, t + 1000, "ok", full=True, rows=shown)
    return [Act(op, t, "d-2#1", "d-2", "u-1", "list"), Send(op, 1, t + 1), back]


def test_what_a_phone_saw_between_the_disaster_and_the_restore_is_excused_too(tmp_path: Path) -> None:
    lost = 0
    for seed in SEEDS:
        before: State = {}
        after: State = {}

        def remember(restored: State, then: State, before: State = before, after: State = after) -> None:
            before.update(then)
            after.update(restored)

        disaster = Disaster(seed, DISASTER - 4 * SECOND)
        header, *events = disaster.run(remember)
        lost += disaster.cases["lost by the restore"]
        assert isinstance(header, Header)
        struck = next(n for n, event in enumerate(events) if isinstance(event, FaultEvent)) + 1
        read = read_at(900, DISASTER + 5 * SECOND, before) + read_at(901, RESTORED + SECOND, after)
        judgement = judged([replace(header, sessions="strict"), *events[:struck], *read, *events[struck:]], tmp_path)
        assert not judgement.anomalies, (seed, judgement.reasons, judgement.records[:1])
    assert lost > len(SEEDS) / 3

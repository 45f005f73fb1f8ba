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

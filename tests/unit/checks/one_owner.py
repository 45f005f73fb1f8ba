"""Small histories of one user, line by line: what was acted, sent and answered, and what each door showed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from chaos.checks.bulk.large import looked
from chaos.checks.counts import Counts
from chaos.checks.verdict import Judgement, judge
from chaos.history.events import Act, Back, DoorRead, Event, FaultEvent, Header, PhaseEvent, Row, Send
from chaos.history.reader import read_history
from tests.unit.checks.files import judged, written
from tests.unit.checks.service import payload_hash

THIN = {"never-read", "unreadable", "not-quiescent"}
"""What such a history always lacks."""


HEADER = Header("x", 1, "reject", "keyed", canaries={"A": "a", "B": "b"}, require_mix=False)


def judgement(tmp_path: Path, *events: Event, further: Counts | None = None, **changes: Any) -> Judgement:
    return judged([replace(HEADER, **changes), *events], tmp_path, further)


def recorded(tmp_path: Path, *events: Event, **changes: Any) -> Path:
    """A file that columns may look at."""
    return written([replace(HEADER, **changes), PhaseEvent("load", 0, "begun"), *events], tmp_path)


def closer_look(tmp_path: Path, *events: Event, **changes: Any) -> tuple[set[str], Judgement]:
    """The records that columns leave for a closer look, and the verdict: with columns it is what it is without them."""
    path = recorded(tmp_path, *events, **changes)
    history, further = looked(path, processes=1)
    found = judge(history, further)
    assert found == judge(read_history(path))
    return {record for _, record in history.records}, found


def anomalies(tmp_path: Path, *events: Event, **changes: Any) -> set[str]:
    return set(judgement(tmp_path, *events, **changes).anomalies) - THIN


def create(op: int, t: int, record: str = "r-1", **changes: object) -> Act:
    write = f"w-{op}"
    act = Act(op, t, "d-1#1", "d-1", "u-1", "create", record, "todo", write, payload_hash(write), write)
    return replace(act, **changes)  # type: ignore[arg-type]


def sent(act: Act, outcome: str | None = "ok", t: int = 0) -> list[Event]:
    events: list[Event] = [act, Send(act.op, 1, act.t + 1)]
    if outcome is not None:
        events.append(Back(act.op, 1, t or act.t + 2, outcome))  # type: ignore[arg-type]
    return events


def door(step: int, name: str, number: int, t: int, *shown: Act, settled: bool = True) -> DoorRead:
    rows = tuple(Row(a.record, a.owner, a.write, a.hash, f"row-{n}") for n, a in enumerate(shown))
    return DoorRead(step, name, "u-1", number, t, t + 1, "ok", settled and number > 1, rows)


def twice(step: int, name: str, t: int, *shown: Act) -> list[DoorRead]:
    """A door that showed the same in two rounds."""
    return [door(step, name, 1, t, *shown), door(step, name, 2, t + 2, *shown)]


def loss(*shown: Act, t: int = 100, back: int = 200, stores: tuple[str, ...] = ("pgdata",)) -> list[Event]:
    """A fault that takes more than the redundancy survives, and stores that came back with these versions."""
    struck = FaultEvent(0, t, "san.lose", "core", "injected", exceeds=True)
    restored = [event for store in stores for event in twice(0, f"restored {store}", back, *shown)]
    return [struck, replace(struck, t=t + 1, happened="healed", bit=True), *restored]


def after_a_loss(tmp_path: Path, *events: Event, rpo: int = 50, **changes: Any) -> set[str]:
    """The anomalies where an experiment allows to lose so many nanoseconds."""
    return anomalies(tmp_path, *events, rpo_seconds=rpo / 1e9, faults=("san.lose",), **changes)

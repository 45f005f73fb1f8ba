"""Run folders as trials leave them, made from events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from chaos.experiment.loader import write_plan
from chaos.experiment.plan import Plan
from chaos.history.events import CANARY_OWNER, Act, Back, DoorRead, End, Event, FaultEvent, Header, PhaseEvent, Send
from chaos.history.recorder import Recorder
from tests.unit.reporting.samples import plan

SECOND = 1_000_000_000


def created(op: int, seconds: int, owner: str, record: str) -> list[Event]:
    """A contact that the gateway acknowledged within a second."""
    act = Act(
        op,
        seconds * SECOND,
        f"d-{owner}#1",
        f"d-{owner}",
        owner,
        "create",
        record=record,
        type="contact",
        write=f"w{op}",
        hash="aa",
        key=f"k{op}",
    )
    return [act, Send(op, 1, seconds * SECOND), Back(op, 1, (seconds + 1) * SECOND, "ok", by="gateway")]


def read_empty(owner: str) -> list[Event]:
    """A fresh device that finds nothing, twice."""
    return [
        DoorRead(1, "fresh", owner, 1, 8 * SECOND, 9 * SECOND, "ok"),
        DoorRead(1, "fresh", owner, 2, 10 * SECOND, 11 * SECOND, "ok", settled=True),
    ]


def recorded() -> list[Event]:
    """One contact acknowledged, then lost with its array, and the canaries with it."""
    canaries = {"A": "canary-a", "B": "canary-b"}
    return [
        Header("sidekick_2009", 4711, "reject", "keyed", canaries=canaries, faults=("san.lose",), t=0),
        *created(1, 0, CANARY_OWNER, "canary-a"),
        *created(2, 0, CANARY_OWNER, "canary-b"),
        PhaseEvent("load", 2 * SECOND, "begun"),
        *created(3, 3, "u-1", "r"),
        FaultEvent(0, 5 * SECOND, "san.lose", "core", "injected"),
        FaultEvent(0, 6 * SECOND, "san.lose", "core", "healed", bit=True, evidence={"failed_writes": 3}),
        PhaseEvent("load", 7 * SECOND, "ended"),
        *read_empty(CANARY_OWNER),
        *read_empty("u-1"),
    ]


def made(events: Iterable[Event], folder: Path, drawn: Plan | None = None) -> Path:
    """A run folder with plan and history."""
    recorder = Recorder(folder / "history.jsonl")
    for event in events:
        if not isinstance(event, End):
            recorder.append(event)
    recorder.close()
    write_plan(replace(drawn or plan(), stack=(folder / "compose.yaml",)), folder / "plan.yaml")
    return folder

"""A loss that is planted: which record is drawn, and that nothing but it is removed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from chaos.errors import HarnessError
from chaos.experiment.plan import PHOTO, Planting, Workload
from chaos.history.events import CANARY_DEVICE, CANARY_OWNER, Act, Back, Event
from chaos.history.recorder import encode
from chaos.workload.fleet import Fleet
from chaos.workload.generator import draw
from chaos.workload.logbook import Logbook
from chaos.workload.planting import acknowledged_records, plant_loss
from tests.unit.workload.fakes import DOOR, Events, Service, session_of

PLANTING = Planting("db", ("remove", "--owner={owner}", "{record}"))
AMONG = [("u-00", "ada-1"), ("u-00", "ben-2"), ("u-01", "cleo-3")]


class Shell:
    """Takes commands; each ends with this code."""

    def __init__(self, code: int = 0) -> None:
        self.code = code
        self.commands: list[tuple[str, list[str]]] = []

    async def execute(self, service: str, command: Iterable[str], seconds_max: float) -> tuple[int, str]:
        self.commands.append((service, list(command)))
        return self.code, "no such table"


def planted(shell: Shell, seed: int = 1, planting: Planting | None = PLANTING, *, some: bool = True) -> str:
    return asyncio.run(plant_loss(AMONG if some else [], seed, planting, shell.execute))


def test_one_record_is_drawn_by_the_seed_and_removed_by_the_command_of_the_stack() -> None:
    shell = Shell()
    told = planted(shell)
    owner, record = told.split("/")
    assert (owner, record) in AMONG
    assert shell.commands == [("db", ["remove", f"--owner={owner}", record])]
    assert {planted(Shell(), seed) for seed in range(40)} == {f"{owner}/{record}" for owner, record in AMONG}
    assert planted(Shell()) == told


def test_a_command_that_fails_ends_the_trial_with_what_it_said() -> None:
    with pytest.raises(HarnessError, match=r"removed: remove .* in db ended with 1: no such table; correct"):
        planted(Shell(1))


def test_without_a_command_or_a_record_nothing_is_planted() -> None:
    with pytest.raises(HarnessError, match=r"write x-chaos\.plant_loss"):
        planted(Shell(), planting=None)
    with pytest.raises(HarnessError, match="none is acknowledged"):
        planted(Shell(), some=False)


def test_whatever_is_acknowledged_and_must_be_there_may_be_drawn_though_one_phone_alone_knows_it(
    tmp_path: Path,
) -> None:
    """What a fault takes was often just written, by one phone."""
    service, events = Service(), Events()
    load = Workload(operations=300, rate_per_second=5000, photo_bytes_max=50_001, request_seconds_max=0.5)

    async def scene() -> Fleet:
        fleet = Fleet(load, draw(load, 7), session_of(service), DOOR, Logbook(events), "reject")
        await asyncio.wait_for(fleet.work(), 20)
        return fleet

    fleet = asyncio.run(scene())
    history = tmp_path / "history.jsonl"
    history.write_bytes(b"".join(map(encode, events.events)))
    drawn = acknowledged_records(history, fleet.waiting_records())
    live = {(owner, record.name) for owner in fleet.owners for record in service.live(owner) if record.blob is None}
    assert set(drawn) <= live
    assert len(set(drawn)) == len(drawn) > 10
    of = {owner: [each.choices() for each in fleet.devices if each.owner == owner] for owner in fleet.owners}
    assert any(sum(name in known for known in of[owner]) == 1 for owner, name in drawn)


def test_what_waits_on_a_phone_what_somebody_deletes_and_canaries_are_not_drawn(tmp_path: Path) -> None:
    acts: list[Event] = [
        Act(1, 1, "d-00#1", "d-00", "u-00", "create", "kept", "contact"),
        Act(2, 1, "d-00#1", "d-00", "u-00", "create", "waiting", "contact"),
        Act(3, 1, "d-00#1", "d-00", "u-00", "create", "deleted", "contact"),
        Act(4, 1, "d-00#1", "d-00", "u-00", "create", "photo", PHOTO),
        Act(5, 1, "d-00#1", "d-00", "u-00", "create", "unknown", "contact"),
        Act(6, 1, CANARY_DEVICE, CANARY_DEVICE, CANARY_OWNER, "create", "canary", "contact"),
        Act(7, 2, "d-01#1", "d-01", "u-00", "delete", "deleted", "contact"),
    ]
    backs: list[Event] = [Back(op, 1, 3, "info" if op in (5, 7) else "ok") for op in range(1, 8)]
    history = tmp_path / "history.jsonl"
    history.write_bytes(b"".join(map(encode, [*acts, *backs])))
    assert acknowledged_records(history, {("u-00", "waiting")}) == [("u-00", "kept")]

"""A loss that is planted: which record is drawn, and that nothing but it is removed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from chaos.errors import HarnessError
from chaos.experiment.plan import Planting, Workload
from chaos.workload.fleet import Fleet
from chaos.workload.generator import draw
from chaos.workload.logbook import Logbook
from chaos.workload.planting import plant_loss
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
    with pytest.raises(HarnessError, match="all phones of a user know none alike"):
        planted(Shell(), some=False)


def test_what_may_be_drawn_is_acknowledged_and_there_and_known_to_all_phones_of_its_user() -> None:
    service = Service()
    load = Workload(operations=300, rate_per_second=5000, photo_bytes_max=50_001, request_seconds_max=0.5)

    async def scene() -> Fleet:
        fleet = Fleet(load, draw(load, 7), session_of(service), DOOR, Logbook(Events()), "reject")
        await asyncio.wait_for(fleet.work(), 20)
        return fleet

    fleet = asyncio.run(scene())
    drawn = fleet.settled_records()
    assert len(drawn) > 10
    assert len(set(drawn)) == len(drawn)
    live = {(owner, record.name): record for owner in fleet.owners for record in service.live(owner)}
    for owner, name in drawn:
        assert live[(owner, name)].blob is None
        phones = [each for each in fleet.devices if each.owner == owner]
        assert {each.choices()[name].row.write for each in phones} == {live[(owner, name)].write}

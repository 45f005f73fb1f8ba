"""`driver: {NAME: {...}}`: what a file says of a driver comes to its sessions, here and in the readers' process."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from chaos.errors import SourceError, UsageError
from chaos.experiment.drivers import DriverChoice
from chaos.experiment.loader import load, load_plan, write_plan
from chaos.faults import catalogue
from chaos.stack.compose import load_stack
from chaos.workload.drivers import chosen_driver
from chaos.workload.reads.doors import Door, Readers
from tests.unit.workload.fakes import Service, served

DRIVER = """
from chaos import Record
from chaos.workload.drivers.http import HttpSession
from chaos.workload.drivers.options import DriverOptions

class Where(DriverOptions):
    shelf: str
    password: str = ""
    depth: int = 1

class Shelved(HttpSession):
    Options = Where

    async def everything(self):
        await super().everything()
        return [Record(self._user, self.options.shelf, "contact", "w", {}, None, str(self.options.depth))]
"""
EXPERIMENT = """
experiment: shelved
why: A test.
stack: compose.yaml
workload: {{users: 1}}
schedule: []
driver: {driver}
"""
COMPOSE = """
services: {web: {image: web, ports: ["80"]}}
x-chaos: {front_door: "web:80", driver: {"shelves:Shelved": {shelf: "${SHELF:-left}", depth: "${DEPTH:-2}"}}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shelves.py").write_text(DRIVER)
    return tmp_path


def made(folder: Path, **options: object) -> Any:
    return chosen_driver(DriverChoice("shelves:Shelved", options), folder)


def test_a_session_finds_the_options_of_the_file_and_the_defaults_of_the_others(folder: Path) -> None:
    one, other = made(folder, shelf="left", depth="3"), made(folder, shelf="right")
    assert (one.options.shelf, one.options.depth) == ("left", 3)
    assert (other.options.shelf, other.options.depth) == ("right", 1)


def test_a_reader_has_the_same_options(folder: Path) -> None:
    choice = DriverChoice("shelves:Shelved", {"shelf": "left", "depth": 4})

    async def scene() -> tuple[str, str]:
        async with served(Service()) as service, Readers.open(choice, folder) as readers:
            reader = await readers.new()
            try:
                [read] = await reader.read(service, 1, [Door("fresh", "u", "d")], seconds_max=20.0, rounds=1)
            finally:
                await reader.close()
            return read.rows[0].record, read.rows[0].row

    assert asyncio.run(asyncio.wait_for(scene(), 60)) == ("left", "4")


def test_wrong_options_are_told_all_at_once_with_their_place_and_without_a_password(folder: Path) -> None:
    with pytest.raises(SourceError) as raised:
        made(folder, shelve="left", password=["s3cr3t"], depth="deep")
    said = str(raised.value)
    for words in (
        "driver.shelves:Shelved: the key 'shelf' is missing here",
        "driver.shelves:Shelved.shelve: unknown key 'shelve'",
        "did you mean shelf?",
        "driver.shelves:Shelved.password: password should be text",
        "depth should be a whole number",
        "'deep'",
    ):
        assert words in said
    assert "s3cr3t" not in said


def test_options_for_a_driver_that_takes_none_are_refused() -> None:
    with pytest.raises(UsageError, match=r"driver http takes no options; take out user, port"):
        chosen_driver(DriverChoice("http", {"user": "x", "port": 1}), None)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("{http: {}, redis: {}}", "a mapping of one key, its name"),
        ("{http: 5}", "the options of driver http should be a mapping"),
        ("[http]", "driver should be a name, or a mapping of a name to its options"),
        ("{htp: {}}", "unknown driver 'htp'"),
    ],
)
def test_a_driver_that_is_written_wrongly_is_told_at_its_line(written: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(EXPERIMENT.format(driver=written))
    with pytest.raises(SourceError) as raised:
        load(file, 1, catalogue())
    assert words in str(raised.value)
    assert "x.yaml:7:9" in str(raised.value)


def test_a_plan_has_the_options_of_its_experiment(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(EXPERIMENT.format(driver='{"shelves:Shelved": {shelf: left, more: [1, {a: true}]}}'))
    plan = load(file, 1, catalogue())
    write_plan(plan, tmp_path / "plan.yaml")
    wanted = DriverChoice("shelves:Shelved", {"shelf": "left", "more": [1, {"a": True}]})
    assert plan.driver == load_plan(tmp_path / "plan.yaml", catalogue()).driver == wanted


def test_a_stack_gives_its_driver_options_from_variables(folder: Path) -> None:
    (folder / "compose.yaml").write_text(COMPOSE)
    stack = load_stack([folder / "compose.yaml"], {"SHELF": "upper"}, [], {})
    driver: Any = chosen_driver(stack.driver, folder)
    assert (driver.options.shelf, driver.options.depth) == ("upper", 2)

"""A driver of somebody else's package, by an entry point alone: found by its name in experiments and Compose files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chaos.cli import main
from chaos.doctor import examine
from chaos.errors import UsageError
from chaos.experiment import drivers
from chaos.experiment.loader import load
from chaos.faults import catalogue
from chaos.workload.drivers import load_driver
from chaos.workload.drivers.files import driver_files
from tests.plugins.installed import installed
from tests.unit.workload.fakes import MemorySession

COMPOSE = """\
services: {db: {image: x, ports: ["1"], volumes: ["data:/data"]}}
volumes: {data: {}}
x-chaos: {arrays: {core: {luns: {data: {size: 32M}}}}, front_door: "db:1", driver: memory}
"""
HERE = "tests.unit.workload.fakes"
NAMES = ", ".join((*drivers.BUILT_IN, "memory"))
Install = Callable[[str, str], None]


@pytest.fixture(autouse=True)
def _no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a package with a driver of this name and place, and forgets it afterwards."""

    def act(name: str, place: str) -> None:
        folder = installed(tmp_path / "site", f"[holdfast.drivers]\n{name} = {place}\n")
        monkeypatch.syspath_prepend(str(folder))
        drivers.installed_drivers.cache_clear()

    yield act
    monkeypatch.undo()
    drivers.installed_drivers.cache_clear()


@pytest.fixture
def memory(install: Install) -> None:
    install("memory", f"{HERE}:MemorySession")


def written(folder: Path, driver: str = "memory") -> Path:
    (folder / "compose.yaml").write_text(COMPOSE)
    file = folder / "e.yaml"
    file.write_text(f"experiment: e\nstack: compose.yaml\ndriver: {driver}\n")
    return file


@pytest.mark.usefixtures("memory")
def test_it_is_found_by_its_name() -> None:
    assert load_driver("memory") is MemorySession


@pytest.mark.usefixtures("memory")
def test_an_experiment_may_name_it_and_nothing_of_it_lies_beside_the_experiment(tmp_path: Path) -> None:
    plan = load(written(tmp_path), 1, catalogue())
    assert (str(plan.driver), plan.driver_folder) == ("memory", None)
    assert driver_files("memory", tmp_path) == ()


@pytest.mark.usefixtures("memory")
def test_validate_takes_it_from_experiment_and_compose_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(written(tmp_path))]) == 0
    assert "by driver memory" in capsys.readouterr().out


@pytest.mark.usefixtures("memory")
def test_an_unknown_name_is_refused_with_those_that_are_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["validate", str(written(tmp_path, "memori"))]) == 64
    said = capsys.readouterr().err
    assert "e.yaml:3:9: unknown driver 'memori'" in said
    assert f"use {NAMES}, or module:Class" in said
    with pytest.raises(UsageError, match=f"use {NAMES}, or module:Class"):
        load_driver("memori")


@pytest.mark.parametrize(
    ("name", "place", "message"),
    [
        ("memory", "no_such_package.driver:Memory", r"'memory' cannot be imported \(no_such_package.driver:Memory\)"),
        ("memory", f"{HERE}:Nothing", f"module {HERE} has no class Nothing"),
        ("memory", f"{HERE}:Service", "'memory' is no session as `holdfast docs drivers` describes it"),
        ("memory", HERE, f"the driver memory of an installed package is '{HERE}', not module:Class"),
        ("http", f"{HERE}:MemorySession", "two drivers of the name http, chaos.workload"),
    ],
)
def test_one_that_cannot_be_loaded_ends_doctor_and_validate_with_its_name(
    install: Install, tmp_path: Path, name: str, place: str, message: str
) -> None:
    install(name, place)
    with pytest.raises(UsageError, match=message):
        examine()
    with pytest.raises(UsageError, match=message):
        load_driver(name)
    assert main(["validate", str(written(tmp_path, name))]) == 64


def test_two_packages_with_a_driver_of_one_name_are_told(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        def __init__(self, value: str) -> None:
            self.name, self.value = "memory", value

    install("memory", "a:A")
    monkeypatch.setattr(drivers, "entry_points", lambda group: [Point("a:A"), Point("b:B")])
    with pytest.raises(UsageError, match="two drivers of the name memory, a:A and b:B"):
        load_driver("memory")
    drivers.installed_drivers.cache_clear()
    monkeypatch.setattr(drivers, "entry_points", lambda group: [Point("a:A"), Point("a:A")])
    assert drivers.installed_drivers() == {"memory": "a:A"}


@pytest.mark.usefixtures("memory")
def test_doctor_names_every_driver() -> None:
    [finding] = [each for each in examine().findings if each.name == "drivers"]
    assert finding.value == NAMES

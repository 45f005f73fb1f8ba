"""The engine's volumes, on an engine that only keeps lists."""

from __future__ import annotations

from typing import Any, cast

import docker
import pytest

from chaos.errors import EngineError
from chaos.stack.engine import volumes
from chaos.stack.engine.identity import RUN_LABEL, Run
from chaos.stack.spec import Lun
from tests.unit.stack.engines import refusal

RUN = Run("run", "")


class Engine:
    """One volume, perhaps with a container that has it, on a clock that jumps when somebody sleeps."""

    def __init__(self) -> None:
        self.api = self
        self.is_there = True
        self.users: list[str] = []
        self.comes_late = ""
        self.refuses = 0
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.comes_late:
            self.users, self.comes_late = [self.comes_late], ""

    def create_volume(self, name: str, **_: object) -> dict[str, Any]:
        raise refusal(500, "no space left on device")

    def remove_volume(self, name: str, *, force: bool) -> None:
        if self.refuses or self.users or self.comes_late:
            raise refusal(self.refuses or 409, "volume is in use")
        if not self.is_there:
            raise refusal(404, "no such volume")
        self.is_there = False

    def containers(self, *, all: bool, filters: dict[str, list[str]]) -> list[dict[str, str]]:  # noqa: A002 - the SDK's
        assert all
        assert filters == {"label": [f"{RUN_LABEL}=run"], "volume": ["data"]}
        return [{"Id": name} for name in self.users]

    def remove_container(self, name: str, *, force: bool, v: bool) -> None:
        assert force
        assert v
        self.users.remove(name)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    made = Engine()
    monkeypatch.setattr(volumes, "time", made)
    return made


def client(engine: Engine) -> docker.DockerClient:
    return cast(docker.DockerClient, engine)


def test_a_volume_that_is_gone_already_is_removed(engine: Engine) -> None:
    volumes.remove(client(engine), RUN, "data")
    volumes.remove(client(engine), RUN, "data")
    assert (engine.is_there, engine.now) == (False, 0.0)


@pytest.mark.parametrize("is_late", [False, True])
def test_a_container_that_nobody_knows_of_goes_with_the_volume_that_it_has(engine: Engine, is_late: bool) -> None:
    engine.users, engine.comes_late = ([], "made late") if is_late else (["made before"], "")
    volumes.remove(client(engine), RUN, "data")
    assert (engine.is_there, engine.users) == (False, [])


@pytest.mark.parametrize("status", [409, 500])
def test_what_the_engine_does_not_remove_is_the_engines_error(engine: Engine, status: int) -> None:
    engine.refuses = status
    with pytest.raises(EngineError, match="removing volume data: volume is in use"):
        volumes.remove(client(engine), RUN, "data")
    assert (engine.now > 5) is (status == 409)


def test_what_the_engine_does_not_make_is_the_engines_error(engine: Engine) -> None:
    with pytest.raises(EngineError, match="making volume data: no space left on device"):
        volumes.create_on_lun(client(engine), RUN, "data", Lun("data", "core", 4096), "/dev/loop7")

"""One bridge per run, on a subnet that nobody else has."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import docker
import pytest

from chaos.errors import EngineError
from chaos.stack.engine import network
from chaos.stack.engine.identity import RUN_LABEL, Run
from tests.unit.stack.engines import ListEngine, refusal

RUN = Run.begin(1)
ALL = {f"198.18.{number}.0/24" for number in range(128)}


def test_a_subnet_that_overlaps_is_passed_over() -> None:
    engine = ListEngine()
    engine.overlapping = ALL - {"198.18.77.0/24"}
    made = network.create(engine.client, RUN)
    assert made.subnet == "198.18.77.0/24"
    assert made.address(3) == "198.18.77.13"
    assert engine.objects["network"][made.name][RUN_LABEL] == RUN.id


def test_a_service_has_the_same_address_and_hardware_address_at_every_start() -> None:
    asked: list[dict[str, object]] = []
    api = SimpleNamespace(create_endpoint_config=lambda **given: asked.append(given))
    client = cast("docker.DockerClient", SimpleNamespace(api=api))
    network.Network("id", "holdfast-run", "198.18.77.0/24").endpoint(client, 3, ["db"])
    assert asked == [{"ipv4_address": "198.18.77.13", "mac_address": "02:42:c6:12:4d:0d", "aliases": ["db"]}]


def test_without_a_free_subnet_the_error_says_where_to_look() -> None:
    engine = ListEngine()
    engine.overlapping = ALL
    with pytest.raises(EngineError, match=r"no free /24 of 198\.18\.0\.0/15 .*Pool overlaps.*docker network ls"):
        network.create(engine.client, RUN)


def test_any_other_refusal_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ListEngine()
    asked: list[str] = []

    def refuse(name: str, **_: object) -> None:
        asked.append(name)
        raise refusal(500, "no bridge driver")

    monkeypatch.setattr(engine, "create_network", refuse)
    with pytest.raises(EngineError, match="refuses to make a network: no bridge driver"):
        network.create(engine.client, RUN)
    assert len(asked) == 1

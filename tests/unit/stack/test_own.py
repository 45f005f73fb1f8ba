"""Containers of Holdfast's own: what the agent may do, on engines that take rules for devices and on others."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import docker
import pytest

from chaos.stack.engine import own
from chaos.stack.engine.identity import Run
from chaos.stack.engine.own import start_agent

RUN = Run("20260101-000000-1-aaaa", "boot:1:1")


class Engine:
    """Makes containers; tells of the rules for devices that they have, or not."""

    def __init__(self, *, tells_rules: bool) -> None:
        self.tells_rules = tells_rules
        self.there: dict[str, dict[str, Any]] = {}
        self.started: list[str] = []
        self._made = 0

    @property
    def client(self) -> docker.DockerClient:
        return cast("docker.DockerClient", SimpleNamespace(api=self))

    def create_host_config(self, **host: Any) -> dict[str, Any]:
        return host

    def create_container(self, image: str, *, name: str, host_config: dict[str, Any], **_: Any) -> dict[str, str]:
        assert not self.there, f"there is a container {name} already"
        self._made += 1
        self.there[f"container-{self._made}"] = host_config
        return {"Id": f"container-{self._made}"}

    def inspect_container(self, container: str) -> dict[str, Any]:
        rules = self.there[container]["device_cgroup_rules"] if self.tells_rules else None
        return {"HostConfig": {"DeviceCgroupRules": rules}}

    def remove_container(self, container: str, *, force: bool) -> None:
        assert force
        del self.there[container]

    def start(self, container: str) -> None:
        self.started.append(container)


def agent_on(engine: Engine) -> dict[str, Any]:
    """The host configuration of the one agent that was made and started."""
    container = start_agent(engine.client, RUN, "sha256:agent", [], "/cache", "/cache")
    assert engine.started == list(engine.there) == [container]
    return engine.there[container]


def test_the_agent_has_its_devices_by_rules_where_the_engine_takes_them() -> None:
    host = agent_on(Engine(tells_rules=True))
    assert "b 7:* rwm" in host["device_cgroup_rules"]
    assert "devices" not in host


def test_the_agent_gets_its_devices_one_by_one_where_the_engine_does_not_tell_that_it_has_the_rules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(own, "_devices", lambda: [Path("/dev/fuse"), Path("/dev/loop7")])
    host = agent_on(Engine(tells_rules=False))
    assert host["devices"] == ["/dev/fuse:/dev/fuse:rwm", "/dev/loop7:/dev/loop7:rwm"]
    assert "b 7:* rwm" in host["device_cgroup_rules"], "Podman 5 has them in force, and does not tell"

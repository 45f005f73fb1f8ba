"""What `doctor --fix` may do, and how it clears what a dead engine left. No engine is started here."""

from __future__ import annotations

import json
import os
import socket
from contextlib import closing
from pathlib import Path

import pytest

from chaos.doctor import fixing
from chaos.errors import EngineError


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fixing, "_RUN", tmp_path / "run")
    monkeypatch.setattr(fixing, "_CONFIGURATION", tmp_path / "etc" / "docker" / "daemon.json")
    (tmp_path / "run" / "docker" / "containerd").mkdir(parents=True)


def test_a_pid_file_is_stale_when_another_program_has_the_pid(tmp_path: Path, said: list[str]) -> None:
    stale = tmp_path / "run" / "docker.pid"
    stale.write_text(f"{os.getpid()}\n")
    (tmp_path / "run" / "docker" / "containerd" / "containerd.pid").write_text("not a number")
    fixing.clear_stale(said.append)
    assert not stale.exists()
    assert len(said) == 2
    assert said[0] == f"removed {stale}: its dockerd is gone"


def test_a_pid_file_of_a_living_daemon_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: list[str]
) -> None:
    own = Path(f"/proc/{os.getpid()}/comm").read_text().strip()
    monkeypatch.setattr(fixing, "_PID_FILES", ((own, "docker.pid"),))
    living = tmp_path / "run" / "docker.pid"
    living.write_text(str(os.getpid()))
    fixing.clear_stale(said.append)
    assert living.exists()
    assert not said


def test_only_a_socket_that_nobody_listens_on_is_removed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fixing, "_RUN", Path("run"))  # a socket's path has room for 107 characters only
    with closing(socket.socket(socket.AF_UNIX)) as living, closing(socket.socket(socket.AF_UNIX)) as dead:
        living.bind("run/docker.sock")
        living.listen()
        dead.bind("run/docker/containerd/containerd.sock")
        fixing.clear_stale(said.append)
    assert said == ["removed run/docker/containerd/containerd.sock: nothing listens on it"]


def test_own_addresses_are_given_unless_the_configuration_names_others(tmp_path: Path) -> None:
    configuration = tmp_path / "etc" / "docker" / "daemon.json"
    pool = ["--default-address-pool", "base=198.19.0.0/17,size=24"]
    assert fixing.address_options() == ["--bip", "198.19.255.1/24", *pool]
    configuration.parent.mkdir(parents=True)
    configuration.write_text(json.dumps({"bip": "10.9.0.1/24"}))
    assert fixing.address_options() == pool
    configuration.write_text(json.dumps({"bip": "10.9.0.1/24", "default-address-pools": []}))
    assert fixing.address_options() == []


def test_a_configuration_that_is_there_is_never_overwritten(tmp_path: Path, said: list[str]) -> None:
    configuration = tmp_path / "etc" / "docker" / "daemon.json"
    fixing.configure(said.append)
    assert json.loads(configuration.read_text())["bip"] == "198.19.255.1/24"
    configuration.write_text("{}")
    fixing.configure(said.append)
    assert configuration.read_text() == "{}"
    assert len(said) == 1


def test_an_engine_named_by_docker_host_is_the_users_own(monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    with pytest.raises(EngineError, match="DOCKER_HOST names an engine that Holdfast cannot start"):
        fixing.reach_engine(said.append)
    assert not said


def test_without_root_nothing_is_done_and_the_way_is_named(monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(fixing, "connect", _refuse)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(EngineError, match="sudo holdfast doctor --fix"):
        fixing.reach_engine(said.append)
    assert not said


def test_an_engine_that_may_not_be_used_is_not_installed_again(
    monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    def forbid(*_: object) -> None:
        raise EngineError("an engine is there, and this user may not use its socket: join", is_forbidden=True)

    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(fixing, "connect", forbid)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(EngineError, match=r"may not use its socket: join$"):
        fixing.reach_engine(said.append)
    assert not said


def test_on_another_distribution_nothing_is_installed(monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(fixing, "connect", _refuse)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(fixing, "may_install", lambda: False)
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(EngineError, match="only on Debian and Ubuntu; install one by hand"):
        fixing.reach_engine(said.append)
    assert not said


def _refuse(*_: object) -> None:
    raise EngineError("no container engine answers")

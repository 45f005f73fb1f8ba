"""Finding the engine, and telling its errors apart."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
import types
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any, cast

import docker.errors
import pytest
import requests

from chaos.errors import EngineError
from chaos.stack.engine import client as engine
from chaos.stack.engine import containers
from chaos.stack.engine.containers import Container


def refusal(status: int) -> docker.errors.APIError:
    response = requests.Response()
    response.status_code = status
    return docker.errors.APIError("text that nobody reads", response=response, explanation="no such thing")


def test_docker_host_is_the_only_address_where_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    assert engine.addresses() == ("tcp://127.0.0.1:1",)


def test_a_socket_of_the_users_own_runtime_folder_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    with tempfile.TemporaryDirectory() as folder, closing(socket.socket(socket.AF_UNIX)) as own:
        own.bind(f"{folder}/docker.sock")
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        assert f"unix://{folder}/docker.sock" in engine.addresses()


@pytest.mark.parametrize("address", ["unix:///nowhere.sock", "tcp://127.0.0.1:1", "nonsense"])
def test_an_engine_that_does_not_answer_is_an_error_with_its_address_and_the_remedy(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    with pytest.raises(EngineError, match=rf"{address}.*; DOCKER_HOST names this one: unset it, or name another"):
        engine.connect(timeout_seconds=1)


def test_a_socket_that_this_user_may_not_open_calls_for_its_group_and_for_no_other_engine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def forbidden(path: Path | str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(engine, "knock", forbidden)
    monkeypatch.setattr("grp.getgrgid", lambda gid: types.SimpleNamespace(gr_name="docker"))
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(tmp_path / "s"))
        os.chown(tmp_path / "s", -1, os.getgid() or 1)
        (tmp_path / "s").chmod(0o660)
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/s")
        with pytest.raises(EngineError) as caught:
            engine.connect(timeout_seconds=1)
    assert caught.value.is_forbidden
    assert "Permission denied" in str(caught.value)
    assert "`sudo usermod -aG docker $USER`" in str(caught.value)
    assert "doctor --fix" not in str(caught.value)


def test_a_stale_socket_leaves_no_open_file_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(str(tmp_path / "s"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/s")
    with pytest.raises(EngineError, match="Connection refused"):
        engine.connect(timeout_seconds=1)


def test_errors_are_told_apart_by_status_code() -> None:
    assert engine.status_of(refusal(500)) == 500
    assert engine.status_of(ValueError()) == 0
    assert engine.is_gone(refusal(404))


@pytest.mark.parametrize(
    ("foreign", "message"),
    [
        (refusal(404), r"starting db: no such thing; see `holdfast doctor`"),
        (requests.exceptions.ReadTimeout(), "starting db: the engine gave no answer in time"),
        (requests.exceptions.ConnectionError(), "starting db: the engine is gone"),
    ],
)
def test_foreign_errors_become_engine_errors_that_say_what_was_done(foreign: Exception, message: str) -> None:
    with pytest.raises(EngineError, match=message), engine.engine_errors("starting db"):
        raise foreign


def test_a_check_that_is_asked_when_its_time_is_over_has_not_succeeded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a wait does that looks a last time at its deadline."""
    waited: list[float] = []

    class Api:
        def exec_create(self, container: str, command: list[str], user: str) -> dict[str, str]:
            return {"Id": "check"}

        def exec_inspect(self, command: str) -> dict[str, object]:
            return {"ExitCode": None, "Running": True}

    class Client:
        api = Api()

    monkeypatch.setattr(containers, "_attached", lambda client, command: nullcontext(waited.append))
    assert not containers.succeeds(cast(Any, Client()), Container("id", "db"), ("true",), -0.5)
    assert min(waited) >= 0

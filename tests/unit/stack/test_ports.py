"""Published ports: whoever listens there while a service is down would answer in its place."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import deque
from pathlib import Path

import pytest

from chaos.stack.engine import ports


def test_a_published_port_is_none_that_the_kernel_hands_out_to_others() -> None:
    low, high = ports._handed_out()
    taken = [ports.free_port() for _ in range(50)]
    assert not [port for port in taken if low <= port <= high]
    assert len(set(taken)) == 50


def test_a_port_is_kept_while_nobody_listens_on_it_and_given_back_with_its_process() -> None:
    code = "import sys; from chaos.stack.engine import ports; print(ports._take(int(sys.argv[1])))"
    port = ports.free_port()

    def taken_by_another() -> str:
        done = subprocess.run([sys.executable, "-c", code, str(port)], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert taken_by_another() == "False"
    os.close(ports._taken.pop())
    assert [taken_by_another(), taken_by_another()] == ["True", "True"]


def test_a_port_on_which_somebody_listens_is_not_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert not ports._take(other.getsockname()[1])


def test_where_the_kernel_hands_out_every_port_there_still_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "range").write_text("1024\t65535\n")
    monkeypatch.setattr(ports, "_RANGE", tmp_path / "range")
    assert 1024 <= ports.free_port() <= 65535


def test_a_process_of_very_many_runs_keeps_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_KEPT", 3)
    monkeypatch.setattr(ports, "_taken", deque())
    for _ in range(5):
        ports.free_port()
    assert len(ports._taken) == 3
    while ports._taken:
        os.close(ports._taken.pop())

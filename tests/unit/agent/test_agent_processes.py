"""Processes of containers: who is watched, who ended, what their network received."""

from __future__ import annotations

import builtins
import io
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from chaos.agent.process import freezer, processes
from chaos.agent.process.processes import Processes, received_bytes
from chaos.agent.wire_states import Killed, ServiceRead

NETSTAT = """TcpExt: SyncookiesSent InOctets
TcpExt: 7 999999
IpExt: InNoRoutes InMcastPkts InOctets OutOctets InMcastOctets OutMcastOctets InBcastOctets OutBcastOctets
IpExt: 0 3 {octets} 777 30 0 12 0
"""
DEV = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets
    lo:    {loopback}      10    0    0    0     0          0         0     500      10
  eth0:  123456      99    0    0    0     0          0         0  654321      99
"""

Put = Callable[[str, str, str], Path]
Proc = Callable[[str, str], None]
NOBODY = ServiceRead()


@pytest.fixture
def proc(monkeypatch: pytest.MonkeyPatch) -> Proc:
    """Puts texts in the place of /proc/PID/net/netstat and dev."""

    def put(netstat: str, dev: str) -> None:
        texts = {"netstat": netstat, "dev": dev}
        monkeypatch.setattr(
            processes, "open", lambda path: io.StringIO(texts[str(path).rpartition("/")[2]]), raising=False
        )

    return put


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that does nothing until it is killed."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_loopback_multicast_and_broadcast_are_not_from_others(proc: Proc) -> None:
    proc(NETSTAT.format(octets=1000), DEV.format(loopback=400))
    assert received_bytes(1) == 1000 - 30 - 12 - 400


def test_a_namespace_without_loopback_or_counters_has_received_nothing(proc: Proc) -> None:
    proc("TcpExt: A\nTcpExt: 1\n", "Inter-|\n face |\n")
    assert received_bytes(1) == 0


def test_a_process_that_is_gone_has_received_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(path: str) -> Any:
        raise FileNotFoundError(path)

    monkeypatch.setattr(processes, "open", gone, raising=False)
    assert builtins.open is not gone
    assert received_bytes(1) == 0


def test_a_killed_process_was_alive_and_then_has_ended(child: subprocess.Popen[bytes]) -> None:
    known = Processes()
    known.watch("db", child.pid)
    assert known.pid("db") == child.pid
    assert known.ended() == {}
    assert known.kill("db").alive is True
    assert child.wait() == -signal.SIGKILL
    assert known.ended() == {"db": True}
    assert known.ended() == {}
    assert known.kill("db") == Killed()


def test_a_service_is_killed_once(child: subprocess.Popen[bytes]) -> None:
    known = Processes()
    known.watch("db", child.pid)
    assert known.is_alive("db")
    assert [known.kill("db").alive for _ in range(2)] == [True, False], "also while it is dying"
    assert not known.is_alive("db")
    assert not known.is_alive("nobody")
    child.wait()
    known.forget("db")


def test_a_process_that_ended_before_is_no_victim(child: subprocess.Popen[bytes]) -> None:
    known = Processes()
    known.watch("db", child.pid)
    child.kill()
    child.wait()
    assert known.kill("db").alive is False
    known.forget("db")


def test_the_end_of_a_service_that_was_forgotten_is_no_event(child: subprocess.Popen[bytes]) -> None:
    known = Processes()
    known.watch("db", child.pid)
    known.forget("db")
    known.forget("db")
    child.kill()
    child.wait()
    assert known.ended() == {}
    with pytest.raises(ProcessLookupError, match="db does not run"):
        known.pid("db")


def test_what_counts_is_what_came_within_the_last_samples(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = {"now": 0}
    counted = {"bytes": 100}
    monkeypatch.setattr(time, "monotonic_ns", lambda: clock["now"])
    monkeypatch.setattr(processes, "received_bytes", lambda pid: counted["bytes"])
    known = Processes()
    known.watch("db", child.pid)
    for second in range(8):
        clock["now"] = second * 1_000_000_000
        counted["bytes"] = 100 + 10 * min(second, 4)
        known.sample()
    assert known.pause("db", False).received_bytes == 0, "the last byte came 3 s ago"
    counted["bytes"] += 5
    assert known.kill("db").received_bytes == 5
    assert len(known._known["db"].received) <= 2, "old samples are dropped"
    known.forget("db")


@pytest.mark.parametrize(("ago_ms", "received"), [(1250, 0), (1001, 0), (1000, 0), (740, 7), (10, 7)])
def test_what_came_more_than_a_second_ago_does_not_count(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, ago_ms: int, received: int
) -> None:
    """The agent samples four times a second; the last bytes came so long before the kill at 10 s."""
    clock = {"ms": 0}
    monkeypatch.setattr(time, "monotonic_ns", lambda: clock["ms"] * 1_000_000)
    monkeypatch.setattr(processes, "received_bytes", lambda pid: 7 if clock["ms"] >= 10_000 - ago_ms else 0)
    known = Processes()
    known.watch("db", child.pid)
    for clock["ms"] in range(0, 10_000, 250):
        known.sample()
    clock["ms"] = 10_000
    assert known.kill("db").received_bytes == received
    known.forget("db")


def test_a_packet_of_loopback_on_its_way_while_a_sample_is_taken_is_not_taken_for_received(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is counted as loopback before it is counted at all: that sample shows 40 bytes too few."""
    counted = iter([100, 100, 60, 60, 100])
    monkeypatch.setattr(processes, "received_bytes", lambda pid: next(counted))
    known = Processes()
    known.watch("db", child.pid)
    for now in (0, 1, 1_200_000_000, 1_300_000_000):
        monkeypatch.setattr(time, "monotonic_ns", lambda now=now: now)
        known.sample()
    assert known.kill("db").received_bytes == 0
    known.forget("db")


def test_without_any_sample_nothing_is_claimed(child: subprocess.Popen[bytes]) -> None:
    known = Processes()
    known.watch("db", child.pid)
    assert known.kill("db") == Killed(alive=True)
    known.forget("db")


class TestFreezer:
    """The freezer's files in a folder that stands for the host's cgroups."""

    @pytest.mark.parametrize(
        ("lines", "file", "words"),
        [
            ("6:freezer:/docker/a\n0::/docker/a\n", "freezer/docker/a/freezer.state", ("THAWED", "FROZEN")),
            ("5:cpu:/x\n4:memory,freezer:/docker/a\n", "freezer/docker/a/freezer.state", ("THAWED", "FROZEN")),
            ("0::/system.slice/a.scope\n", "system.slice/a.scope/cgroup.freeze", ("0", "1")),
            ("1:cpu:/docker/a\n0::/docker/a\n", "unified/docker/a/cgroup.freeze", ("0", "1")),
        ],
    )
    def test_it_is_found_in_either_version_and_read_back(
        self,
        cgroup: Put,
        tmp_path: Path,
        lines: str,
        file: str,
        words: tuple[str, str],
    ) -> None:
        path = cgroup(lines, file, words[0])
        found = freezer.Freezer(7, str(tmp_path))
        assert not found.is_frozen
        found.freeze(True)
        assert (path.read_text(), found.is_frozen) == (words[1], True)
        found.freeze(False)
        assert (path.read_text(), found.is_frozen) == (words[0], False)

    def test_a_process_that_still_waits_for_its_disk_counts_as_frozen(self, cgroup: Put, tmp_path: Path) -> None:
        cgroup("6:freezer:/docker/a\n", "freezer/docker/a/freezer.state", "FREEZING\n")
        assert freezer.Freezer(7, str(tmp_path)).is_frozen

    @pytest.mark.parametrize("lines", ["6:freezer:/\n0::/\n", "0::/\n", "1:cpu:/docker/a\n"])
    def test_the_host_s_own_cgroup_is_never_taken_for_a_container_s(
        self, cgroup: Put, tmp_path: Path, lines: str
    ) -> None:
        cgroup(lines, "freezer/freezer.state", "THAWED")
        (tmp_path / "cgroup.freeze").write_text("0")
        with pytest.raises(OSError, match="has no freezer"):
            freezer.Freezer(7, str(tmp_path))


class FakeFreezer:
    """Notes what it was told."""

    made: ClassVar[list[FakeFreezer]] = []

    def __init__(self, pid: int) -> None:
        self.is_frozen = False
        self.told: list[bool] = []
        self.made.append(self)

    def freeze(self, wanted: bool) -> None:
        self.is_frozen = wanted
        self.told.append(wanted)


@pytest.fixture
def paused(child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> tuple[Processes, FakeFreezer]:
    """A service "db" that is paused."""
    monkeypatch.setattr(processes, "Freezer", FakeFreezer)
    known = Processes()
    known.watch("db", child.pid)
    assert known.pause("db", True) == ServiceRead(alive=True, paused=True)
    return known, FakeFreezer.made[-1]


def test_a_paused_service_goes_on_when_told_and_only_once(paused: tuple[Processes, FakeFreezer]) -> None:
    known, freezer = paused
    assert known.pause("db", False).paused is False
    known.pause("db", False)
    assert freezer.told == [True, False]


def test_a_service_that_is_paused_again_was_paused(paused: tuple[Processes, FakeFreezer]) -> None:
    known, _ = paused
    found = known.pause("db", True)
    assert (found.paused, found.was_paused) == (1, 1)
    known.pause("db", False)
    assert known.pause("db", True).was_paused is False


@pytest.mark.parametrize("end", ["kill", "forget", "resume_all"])
def test_nobody_stays_frozen_who_is_killed_stopped_or_left_behind(
    paused: tuple[Processes, FakeFreezer], end: str
) -> None:
    known, freezer = paused
    getattr(known, end)(*([] if end == "resume_all" else ["db"]))
    assert freezer.told == [True, False]


def test_a_killed_service_is_not_frozen_again_before_it_has_died(paused: tuple[Processes, FakeFreezer]) -> None:
    known, freezer = paused
    known.kill("db")
    assert known.pause("db", True) == NOBODY
    assert freezer.told == [True, False]


def test_a_service_that_does_not_run_cannot_be_paused() -> None:
    assert Processes().pause("nobody", True) == NOBODY

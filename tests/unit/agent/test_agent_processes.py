"""Processes of containers: who is watched, who ended, what their network received."""

from __future__ import annotations

import builtins
import io
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chaos.agent import processes
from chaos.agent.processes import Processes, received_bytes

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

Proc = Callable[[str, str], None]


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
    assert known.ended() == []
    assert known.kill("db")["alive"] == 1
    assert child.wait() == -signal.SIGKILL
    assert known.ended() == ["db"]
    assert known.ended() == []
    assert known.kill("db") == {"alive": 0, "received_bytes": 0}


def test_a_process_that_ended_before_is_no_victim(child: subprocess.Popen[bytes]) -> None:
    known = Processes()
    known.watch("db", child.pid)
    child.kill()
    child.wait()
    assert known.kill("db")["alive"] == 0
    known.forget("db")


def test_the_end_of_a_service_that_was_forgotten_is_no_event(child: subprocess.Popen[bytes]) -> None:
    known = Processes()
    known.watch("db", child.pid)
    known.forget("db")
    known.forget("db")
    child.kill()
    child.wait()
    assert known.ended() == []
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
    assert known.kill("db")["received_bytes"] == 0, "the last byte came 3 s ago"
    counted["bytes"] += 5
    assert known.kill("db")["received_bytes"] == 5
    assert len(known._known["db"].received) <= 7, "old samples are dropped"
    known.forget("db")


def test_without_any_sample_nothing_is_claimed(child: subprocess.Popen[bytes]) -> None:
    known = Processes()
    known.watch("db", child.pid)
    assert known.kill("db") == {"alive": 1, "received_bytes": 0}
    known.forget("db")

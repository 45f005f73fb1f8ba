"""Who has a device mounted, and where, without a device."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from chaos.agent.disk import mounted


def test_a_device_is_waited_for_until_its_file_system_lets_go_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    held, slept = [True, True, False], list[float]()

    def open_device(device: str, flags: int) -> int:
        assert flags & os.O_EXCL
        if held.pop(0):
            raise OSError(errno.EBUSY, "busy")
        return os.dup(0)

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return float(len(slept))

        @staticmethod
        def sleep(seconds: float) -> None:
            slept.append(seconds)

    monkeypatch.setattr(mounted, "time", Clock)
    monkeypatch.setattr(mounted, "os", But(open=open_device))
    assert mounted.wait_until_free("/dev/loop7", 5.0)
    assert len(slept) == 2
    held[:] = [True] * 9
    assert not mounted.wait_until_free("/dev/loop7", 5.0)


class But:
    """The module os, but for what is given."""

    def __init__(self, **given: Any) -> None:
        self.__dict__ |= given

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


def test_who_has_a_device_mounted_is_told_as_one_process_of_each_mount_namespace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Device:
        st_rdev = Path("/proc").stat().st_dev

    me, gone = str(os.getpid()), "1000000000"
    monkeypatch.setattr(mounted, "os", But(stat=lambda path: Device, listdir=lambda path: [gone, "self", me, me]))
    name = Path("/proc/self/comm").read_text().strip()
    assert mounted.holders("/dev/loop7") == (f"{name} (pid {me})",)
    assert mounted.places("/dev/loop7") == (f"/proc/{me}/root/proc",)
    Device.st_rdev = os.makedev(7, 255)
    assert mounted.holders("/dev/loop7") == mounted.places("/dev/loop7") == ()

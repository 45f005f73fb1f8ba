"""What the superblock of a copied file system tells, and who has a device mounted, without a device."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from chaos.agent.disk import mounted

SIZE = 64 << 10
CLEAN = {0x38: 0xEF53, 0x3A: 1}


def copied(path: Path, fields: dict[int, int], size: int = SIZE) -> str:
    """A file with these 16-bit fields in its superblock."""
    content = bytearray(size)
    for offset, value in fields.items():
        struct.pack_into("<H", content, 1024 + offset, value)
    path.write_bytes(content)
    return str(path)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        (CLEAN, ""),
        (CLEAN | {0x60: 0x2C2}, ""),
        (CLEAN | {0x60: 0x2C6}, "it was copied while it was mounted"),
        (CLEAN | {0x3A: 3}, "its file system has errors"),
        (CLEAN | {0x3A: 0}, "it was not unmounted in order"),
        (CLEAN | {0xE8: 12}, "it was not unmounted in order"),
        ({}, "there is no ext4 on it"),
    ],
)
def test_a_copy_tells_whether_it_was_unmounted_in_order(tmp_path: Path, fields: dict[int, int], why: str) -> None:
    assert mounted.not_in_order(copied(tmp_path / "copy", fields), SIZE) == why


def test_a_copy_that_was_cut_short_or_is_gone_is_told_so(tmp_path: Path) -> None:
    cut = copied(tmp_path / "cut", CLEAN, SIZE // 2)
    assert mounted.not_in_order(cut, SIZE) == f"it has {SIZE // 2} bytes and not {SIZE}"
    assert mounted.not_in_order(str(tmp_path / "gone"), SIZE) == "it cannot be read: No such file or directory"


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
    Device.st_rdev = os.makedev(7, 255)
    assert mounted.holders("/dev/loop7") == ()

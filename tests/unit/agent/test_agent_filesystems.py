"""What file systems tell of themselves, without a device: their programs are played, and the kernel is."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path
from types import SimpleNamespace

import pytest

from chaos.agent import program
from chaos.agent.disk import filesystems, mounted
from chaos.agent.disk.filesystems import FILE_SYSTEMS
from chaos.agent.wire import Checked

SIZE = 64 << 10
CLEAN = {0x38: 0xEF53, 0x3A: 1}
LOG = "    log tail: 2 head: 9 state: <{}>\n"


def copied(path: Path, fields: dict[int, int], size: int = SIZE) -> str:
    """A file with these 16-bit fields in the superblock of an ext4."""
    content = bytearray(size)
    for offset, value in fields.items():
        struct.pack_into("<H", content, 1024 + offset, value)
    path.write_bytes(content)
    return str(path)


class Programs:
    """Programs that answer with an exit code and words, by name; each answer once, the last one for ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **answers: tuple[int, str] | list[tuple[int, str]]) -> None:
        self.called: list[tuple[str, ...]] = []
        self._answers = {name: [given] if isinstance(given, tuple) else given for name, given in answers.items()}
        monkeypatch.setattr(program, "run", self.answer)
        monkeypatch.setattr(mounted, "wait_until_free", lambda device, seconds_max: True)

    def answer(self, *arguments: str) -> tuple[int, str]:
        self.called.append(arguments)
        answers = self._answers.get(arguments[0], [(0, "")])
        return answers.pop(0) if len(answers) > 1 else answers[0]


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
    assert filesystems.not_in_order(copied(tmp_path / "copy", fields), SIZE, "ext4") == why


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (LOG.format("CLEAN"), ""),
        (LOG.format("DIRTY"), "it was copied while it was mounted, or not unmounted in order"),
        ("failed to find head and tail, error: 22", "its log cannot be read: failed to find head and tail, error: 22"),
    ],
)
def test_a_copy_of_an_xfs_tells_it_by_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, why: str
) -> None:
    Programs(monkeypatch, xfs_logprint=(0, said))
    (tmp_path / "copy").write_bytes(b"XFSB".ljust(SIZE))
    assert filesystems.not_in_order(str(tmp_path / "copy"), SIZE, "xfs") == why
    assert filesystems.not_in_order(copied(tmp_path / "other", CLEAN), SIZE, "xfs") == "there is no xfs on it"


@pytest.mark.parametrize("kind", FILE_SYSTEMS)
def test_a_copy_that_was_cut_short_or_is_gone_is_told_so(tmp_path: Path, kind: str) -> None:
    cut = copied(tmp_path / "cut", CLEAN, SIZE // 2)
    assert filesystems.not_in_order(cut, SIZE, kind) == f"it has {SIZE // 2} bytes and not {SIZE}"
    gone = filesystems.not_in_order(str(tmp_path / "gone"), SIZE, kind)
    assert gone == "it cannot be read: No such file or directory"


@pytest.mark.parametrize(("code", "ok"), [(0, True), (1, True), (3, True), (4, False), (12, False)])
def test_an_ext4_that_e2fsck_leaves_uncorrected_needs_more(
    monkeypatch: pytest.MonkeyPatch, code: int, ok: bool
) -> None:
    Programs(monkeypatch, e2fsck=(code, "said"))
    assert FILE_SYSTEMS["ext4"].check("/dev/loop7", ()) == Checked("e2fsck -p: said", ok)


@pytest.mark.parametrize(
    ("logs", "mount", "checked"),
    [
        (["CLEAN", "CLEAN"], (0, ""), Checked("mount: clean", ok=True)),
        (["DIRTY", "CLEAN"], (0, ""), Checked("mount: its log was replayed", ok=True)),
        (["DIRTY", "DIRTY"], (0, ""), Checked("mount: it shut down while it was mounted", ok=False)),
        (["DIRTY"], (32, "mount: no log: cleaning."), Checked("mount: no log: cleaning.", ok=False)),
    ],
)
def test_an_xfs_is_mounted_and_has_a_clean_log_afterwards_or_needs_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logs: list[str], mount: tuple[int, str], checked: Checked
) -> None:
    device = copied(tmp_path / "device", {})
    programs = Programs(monkeypatch, xfs_logprint=[(0, LOG.format(each)) for each in logs], mount=mount)
    assert FILE_SYSTEMS["xfs"].check(device, ("nouuid", "noatime")) == checked
    names = [called[0] for called in programs.called]
    assert ("umount" in names) is (mount[0] == 0)
    assert programs.called[1][:6] == ("mount", "-t", "xfs", "-o", "nouuid,noatime", device)


def test_a_file_system_that_cannot_be_unmounted_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the content of the LUN would be removed with the mount point."""

    def answer(*arguments: str) -> tuple[int, str]:
        if arguments[0] == "mount":
            Path(arguments[-1], "record").touch()
        return (32, "target is busy") if arguments[0] == "umount" else (0, LOG.format("DIRTY"))

    monkeypatch.setattr(program, "run", answer)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(OSError, match="umount ended with 32: target is busy"):
        FILE_SYSTEMS["xfs"].check(copied(tmp_path / "device", {}), ("nouuid",))
    assert [path.name for path in tmp_path.glob("*/*")] == ["record"]


def test_an_xfs_that_shut_down_answers_with_eio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stat(path: str) -> SimpleNamespace:
        if path == "ended":
            raise FileNotFoundError(errno.ENOENT, "gone")
        if path == "down":
            raise OSError(errno.EIO, "shut down")
        return SimpleNamespace(st_dev=8 if path == "other" else 7, st_rdev=7)

    class Os:
        path = SimpleNamespace(basename=os.path.basename, isdir=lambda path: path == "/sys/fs/xfs/loop7")

    Os.stat = staticmethod(stat)  # type: ignore[attr-defined]
    monkeypatch.setattr(filesystems, "os", Os)
    xfs = FILE_SYSTEMS["xfs"]
    for places, gave_up in ((("ended", "other", "up"), False), (("ended", "other", "down"), True), (("ended",), None)):
        monkeypatch.setattr(mounted, "places", lambda device, places=places: places)
        assert xfs.gave_up("/dev/loop7") is gave_up
    assert xfs.gave_up("/dev/loop8") is None, "it is not mounted"


@pytest.mark.parametrize(("number", "is_known"), [(errno.ENODEV, False), (errno.ENOTBLK, True), (errno.EPERM, True)])
def test_a_file_system_that_the_kernel_does_not_know_is_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, number: int, is_known: bool
) -> None:
    monkeypatch.setattr(filesystems, "_LIBC", SimpleNamespace(mount=lambda *arguments: -1))
    monkeypatch.setattr("ctypes.get_errno", lambda: number)
    if is_known:
        filesystems.require("xfs")
        return
    with pytest.raises(OSError, match="this host's kernel has no xfs: `modprobe xfs`, or give its LUNs another"):
        filesystems.require("xfs")

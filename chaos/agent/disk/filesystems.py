"""The file systems that a LUN can have: how each is made, checked as a boot does it, and looked at.

`FILE_SYSTEMS` has them by name. What both have in common is here, too: whether the kernel knows them, and which one a
device is mounted with.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import struct
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from chaos.agent import program
from chaos.agent.disk import mounted
from chaos.agent.wire import Checked

_LIBC = ctypes.CDLL(None, use_errno=True)
_BLKFLSBUF = 0x1261
"""Of <linux/fs.h>."""


class FileSystem(Protocol):
    """One kind of file system."""

    def make(self, path: str) -> None:
        """Make an empty one in a file, as a new LUN has it: with nothing in its root."""

    def check(self, device: str, options: Sequence[str]) -> Checked:
        """What a boot does before it mounts the device with these options: the journal is replayed."""

    def not_in_order(self, path: str) -> str:
        """Why a file does not hold one that was unmounted in order; empty where it does."""

    def gave_up(self, device: str) -> bool | None:
        """Whether the one on a device gave up; None where none of this kind is mounted."""


class Ext4:
    """ext4, with the programs of e2fsprogs."""

    _FIELDS = struct.Struct("<56x HH 36x I 132x I")
    """Of struct ext4_super_block: s_magic, s_state, s_feature_incompat, s_last_orphan."""
    _SUPERBLOCK, _MAGIC = 1024, 0xEF53
    _VALID, _ERRORS = 1, 2
    _NEEDS_RECOVERY = 4
    _GIVES_UP = 4
    """e2fsck's exit code is a bit mask; from 4 on, errors were left uncorrected."""

    def make(self, path: str) -> None:
        """Without `lost+found`, since database images refuse a folder that is not empty."""
        options = "lazy_itable_init=0,lazy_journal_init=0,nodiscard"
        program.require("mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", "-E", options, path)
        program.require("debugfs", "-w", "-R", "rmdir lost+found", path)

    def check(self, device: str, options: Sequence[str]) -> Checked:
        """`e2fsck -p`, which replays the journal, and repairs only what nobody has to be asked about."""
        code, output = program.run("e2fsck", "-p", device)
        return Checked(f"e2fsck -p: {output or 'clean'}", ok=code < self._GIVES_UP)

    def not_in_order(self, path: str) -> str:
        """By the superblock, which is what ext4 writes last: without the mark that its journal has to be replayed.

        A copy is made from its begin on, so one that begins with such a superblock holds all that was written.
        """
        with open(path, "rb") as file:
            file.seek(self._SUPERBLOCK)
            magic, state, needs, orphan = self._FIELDS.unpack(file.read(self._FIELDS.size))
        if magic != self._MAGIC:
            return "there is no ext4 on it"
        if needs & self._NEEDS_RECOVERY:
            return "it was copied while it was mounted"
        if state & self._ERRORS:
            return "its file system has errors"
        return "it was not unmounted in order" if not state & self._VALID or orphan else ""

    def gave_up(self, device: str) -> bool | None:
        """By its error count, and by having turned read-only."""
        name = os.path.basename(device)
        try:
            options = _content(f"/proc/fs/ext4/{name}/options").split()
            errors = int(_content(f"/sys/fs/ext4/{name}/errors_count"))
        except FileNotFoundError:
            return None
        return errors > 0 or bool({"ro", "emergency_ro", "shutdown"} & set(options))


class Xfs:
    """XFS, with the programs of xfsprogs.

    Its boot-time check is a mount, which replays the log; `fsck.xfs` does nothing at all. `xfs_repair -n` is not asked:
    no boot runs it, and of a file system with a dirty log it sees what was there before the replay.
    """

    _STATE = re.compile(r"state: <(CLEAN|DIRTY)>")

    def make(self, path: str) -> None:
        """With the sectors of a LUN, whatever disk this host has; the log, which is all zeros, takes no space."""
        program.require("mkfs.xfs", "-q", "-s", "size=512", path)
        program.run("fallocate", "--dig-holes", path)  # where a host's file system cannot do that, it takes the space

    def check(self, device: str, options: Sequence[str]) -> Checked:
        """Mount and unmount it, as the service's own mount would begin; afterwards the log has to be clean.

        Where it is not, the file system shut down while it was mounted, which it would do again.
        """
        before = self._log(device)
        with _mount_point() as folder:
            code, output = program.run("mount", "-t", "xfs", "-o", ",".join(options), device, folder)
            if code:
                return Checked(f"mount: {output.removeprefix('mount: ').replace(folder, '').strip(' :')}", ok=False)
            program.require("umount", folder)
        mounted.wait_until_free(device, program.SECONDS_MAX)
        if self._log(device) != "CLEAN":
            return Checked("mount: it shut down while it was mounted", ok=False)
        return Checked(f"mount: {'clean' if before == 'CLEAN' else 'its log was replayed'}", ok=True)

    def not_in_order(self, path: str) -> str:
        """By the log, at the end of which an unmount writes a record, as the last of all that it writes."""
        with open(path, "rb") as file:
            if file.read(4) != b"XFSB":
                return "there is no xfs on it"
        state = self._log(path)
        if state == "DIRTY":
            return "it was copied while it was mounted, or not unmounted in order"
        return "" if state == "CLEAN" else f"its log cannot be read: {state}"

    def gave_up(self, device: str) -> bool | None:
        """By what it answers to whoever asks for its root: EIO, to everything, once it has shut down.

        Nothing below /sys/fs/xfs and /proc tells it.
        """
        if not os.path.isdir(f"/sys/fs/xfs/{os.path.basename(device)}"):
            return None
        for path in mounted.places(device):
            try:
                if os.stat(path).st_dev == os.stat(device).st_rdev:
                    return False
            except OSError as error:  # others: the process has ended meanwhile
                if error.errno == errno.EIO:
                    return True
        return None

    def _log(self, path: str) -> str:
        """CLEAN or DIRTY, of the log; else what xfs_logprint said."""
        with open(path, "rb") as file, contextlib.suppress(OSError):  # a file is no device
            fcntl.ioctl(file, _BLKFLSBUF)  # XFS writes past the device's page cache, which xfs_logprint reads
        output = program.run("xfs_logprint", "-t", path)[1]
        found = self._STATE.search(output)
        return found[1] if found else output[-200:]


FILE_SYSTEMS: Mapping[str, FileSystem] = {"ext4": Ext4(), "xfs": Xfs()}


def require(kind: str) -> None:
    """Have the kernel know this kind of file system, and load its module.

    Raises:
        OSError: It does not; the message says what to do.
    """
    with _mount_point() as folder:
        # the kernel looks for the kind before the device, so any other refusal means that it knows it
        done = _LIBC.mount(b"/dev/null", folder.encode(), kind.encode(), 0, None)
        if done and ctypes.get_errno() == errno.ENODEV:
            raise OSError(f"this host's kernel has no {kind}: `modprobe {kind}`, or give its LUNs another `filesystem`")


def gave_up(device: str) -> bool | None:
    """Whether the file system that a device is mounted with gave up; None where it is not mounted."""
    answers = (each.gave_up(device) for each in FILE_SYSTEMS.values())
    return next((answer for answer in answers if answer is not None), None)


def not_in_order(path: str, size_bytes: int, kind: str) -> str:
    """Why a file does not hold a whole file system that was unmounted in order; empty where it does."""
    try:
        size = os.stat(path).st_size
        if size != size_bytes:
            return f"it has {size} bytes and not {size_bytes}"
        return FILE_SYSTEMS[kind].not_in_order(path)
    except OSError as error:
        return f"it cannot be read: {error.strerror}"


@contextmanager
def _mount_point() -> Iterator[str]:
    """An empty folder; one on which something is still mounted stays, with all that is in there."""
    folder = tempfile.mkdtemp()
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):
            os.rmdir(folder)


def _content(path: str) -> str:
    with open(path) as file:
        return file.read()

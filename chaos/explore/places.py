"""What the blocks of a recorded LUN are to its file system: which file they belong to, the journal, its own tables.

The file system is looked at as it is at the end of the recording, in a copy of the LUN, with `debugfs` and `dumpe2fs`.
A block that belongs to nothing then was of a file that is gone. Paths are told with their numbers as "#", those in base
16 too, so that the segments of a log are one place, and so are files that are called after a digest of their contents.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from array import array
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from chaos.agent.recording import BLOCK_BYTES, Recording
from chaos.errors import HarnessError

JOURNAL, TABLES, GONE, UNKNOWN = "the journal", "tables of the file system", "files that are gone", "the disk"
_JOURNAL_INODE: Final = 8
_NUMBER: Final = re.compile(r"[0-9A-Fa-f]*\d[0-9A-Fa-f]*|(?<=/)[0-9a-f]{2}(?=/)")
"""A run of digits of base 16, one of base 10 among them; or two as a folder, as where files are spread by a digest."""
_AT_ONCE: Final = 1000
"""Blocks, or inodes, in one command of debugfs."""
_SECONDS_MAX: Final = 120.0


def places(recording: Recording, data: Path, base: Path) -> dict[int, str]:
    """By block that was written, what it is; of a file system other than ext4 all are the same.

    Args:
        recording: Of one LUN.
        data: What was written to it.
        base: The golden file that it lies over.

    Raises:
        HarnessError: A program failed, or is not there.
    """
    blocks = sorted(set(recording.blocks))
    with tempfile.TemporaryDirectory(prefix="holdfast-places-") as folder:
        image = Path(folder) / "lun.img"
        _write(recording, data, base, image)
        _program("e2fsck", "-fy", str(image), fails=True)  # replays the journal, without which debugfs sees the past
        try:
            tables = _tables(_program("dumpe2fs", str(image)))
        except HarnessError:
            return dict.fromkeys(blocks, UNKNOWN)
        inodes = _inodes(image, blocks)
        paths = _paths(image, set(inodes.values()) - {_JOURNAL_INODE})
    found = {}
    for block in blocks:
        inode = inodes.get(block)
        if inode == _JOURNAL_INODE:
            found[block] = JOURNAL
        elif inode is not None:
            found[block] = paths.get(inode, GONE)
        else:
            found[block] = TABLES if any(block in each for each in tables) else GONE
    return found


def _write(recording: Recording, data: Path, base: Path, image: Path) -> None:
    """The LUN at the end of its recording, as a file with holes."""
    map_: array[int] = recording.at(recording.instants[-1] if recording.instants else recording.first_instant)
    _program("cp", "--sparse=always", str(base), str(image))
    with data.open("rb") as written, image.open("r+b") as to:
        for block, slot in enumerate(map_):
            if slot >= 0:
                written.seek(slot * BLOCK_BYTES)
                to.seek(block * BLOCK_BYTES)
                to.write(written.read(BLOCK_BYTES))


def _tables(dumped: str) -> list[range]:
    """Where an ext4 keeps its superblocks, descriptors, bitmaps and inodes."""
    pattern = r"(?:superblock|Group descriptors|Reserved GDT blocks|bitmap|Inode table) at (\d+)(?:-(\d+))?"
    found = re.findall(pattern, dumped)
    return [range(int(first), int(last or first) + 1) for first, last in found]


def _inodes(image: Path, blocks: Iterable[int]) -> dict[int, int]:
    """Of each block that belongs to a file, the number of its inode."""
    lines = _debugfs(image, "icheck", blocks)
    return {int(block): int(inode) for block, inode in re.findall(r"^(\d+)\t(\d+)$", lines, re.MULTILINE)}


def _paths(image: Path, inodes: Iterable[int]) -> Mapping[int, str]:
    lines = _debugfs(image, "ncheck", inodes)
    found = re.findall(r"^(\d+)\t(.+)$", lines, re.MULTILINE)
    return {int(inode): _NUMBER.sub("#", path.replace("//", "/")) for inode, path in found}


def _debugfs(image: Path, command: str, numbers: Iterable[int]) -> str:
    every = [str(each) for each in sorted(numbers)]
    parts = [every[at : at + _AT_ONCE] for at in range(0, len(every), _AT_ONCE)]
    return "\n".join(_program("debugfs", "-R", f"{command} {' '.join(part)}", str(image)) for part in parts)


def _program(*arguments: str, fails: bool = False) -> str:
    try:
        done = subprocess.run(arguments, capture_output=True, timeout=_SECONDS_MAX, check=False, text=True)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HarnessError(
            f"{arguments[0]}: {error}; install e2fsprogs, or explore without --representative"
        ) from error
    if done.returncode and not fails:
        raise HarnessError(f"{arguments[0]} ended with {done.returncode}: {done.stderr.strip()[-400:]}")
    return done.stdout

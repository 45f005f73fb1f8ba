"""What lies in the folders that a stack binds, known by a digest."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_READ_BYTES_MAX = 1 << 20
"""Of a larger file no byte is read for the digest: a change of it changes its times, which no program can forge."""


def digest(source: Path) -> str:
    """A digest of a file or a whole folder: names, owners, modes, links and contents.

    What this process may not read counts by what is told of it from outside.
    """
    total = hashlib.sha256()
    for path in _all_of(source):
        total.update(f"{os.path.relpath(path, source)}\0".encode(errors="surrogateescape"))
        with contextlib.suppress(OSError):
            total.update(_told_of(path, path == str(source)).encode(errors="surrogateescape"))
    return total.hexdigest()


def _all_of(source: Path) -> Iterator[str]:
    yield str(source)
    for parent, folders, names in os.walk(source):
        folders.sort()
        yield from sorted(f"{parent}/{name}" for name in (*folders, *names))


def _told_of(path: str, is_source: bool) -> str:
    found = Path(path).stat(follow_symlinks=is_source)
    told = f"{found.st_mode} {found.st_uid} {found.st_gid} "
    if stat.S_ISLNK(found.st_mode):
        return told + str(Path(path).readlink())
    if not stat.S_ISREG(found.st_mode):
        return told
    if found.st_size <= _READ_BYTES_MAX:
        with contextlib.suppress(PermissionError), Path(path).open("rb") as file:
            return told + hashlib.file_digest(file, "sha256").hexdigest()
    return f"{told}{found.st_size} {found.st_ino} {found.st_mtime_ns} {found.st_ctime_ns}"

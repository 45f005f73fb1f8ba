"""What a file or folder holds, as a digest: to tell later whether it is still the same."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from chaos.errors import ImageError
from chaos.stack.images.context import GIVEN, Context, without_runs
from chaos.stack.spec import Build

LISTED_MAX = 50_000
"""Of a folder with more files and folders, only its being there is asked for."""
READ_BYTES_MAX = 1 << 30
"""Of a larger folder, only names and sizes enter the digest."""
SCRYPT_COST = 2**14  # 16 MiB and some 40 ms for each guess; the values may be short


def listed(place: Path, dockerfile: str = "") -> list[str]:
    """The paths below a folder in order, folders included; of a build context those that the build is given.

    `dockerfile` is that of a build context, or GIVEN where it is no file of it.

    Of a file it is the empty text alone.

    Raises:
        OSError: It cannot be read.
    """
    if not place.is_dir():
        place.lstat()
        return [""]
    if dockerfile:
        try:
            # whatever it says: it is no file of the context
            build = Build(place, inline="#") if dockerfile == GIVEN else Build(place, dockerfile)
            given = Context.of(build).paths
        except ImageError as error:
            raise FileNotFoundError(str(error)) from None
        ignoring = (".dockerignore", f"{dockerfile}.dockerignore")
        return sorted({*given, *(name for name in ignoring if (place / name).is_file())})
    found = set(itertools.islice(walked(place), LISTED_MAX + 1))
    if len(found) > LISTED_MAX:
        raise OSError(errno.E2BIG, f"more than {LISTED_MAX} files", str(place))
    return sorted(without_runs(found))


def walked(place: Path) -> Iterator[str]:
    """Every path below a folder, Python's caches left out."""

    def refuse(error: OSError) -> None:
        raise error

    for folder, folders, files in os.walk(place, onerror=refuse):
        if "__pycache__" in folders:  # it changes when a module is imported
            folders.remove("__pycache__")
        for name in (*folders, *files):
            yield os.path.relpath(Path(folder, name), place)


def size_of(place: Path, paths: Collection[str]) -> int:
    """The bytes of the regular files among these."""
    found = [(place / path).lstat() for path in paths if path] or [place.stat()]
    return sum(each.st_size for each in found if stat.S_ISREG(each.st_mode))


def content(place: Path, paths: Collection[str]) -> str:
    """A digest of names, kinds, executable bits and contents; not of times and owners, which a copy changes."""
    whole = hashlib.sha256()
    by_size = size_of(place, paths) > READ_BYTES_MAX
    for path in paths:
        full = place / path
        found = full.lstat() if path else full.stat()
        whole.update(f"{path}\0{stat.S_IFMT(found.st_mode):o}\0".encode("utf-8", "surrogateescape"))
        if stat.S_ISLNK(found.st_mode):
            whole.update(os.fsencode(full.readlink()))
        elif stat.S_ISREG(found.st_mode):
            whole.update(f"{bool(found.st_mode & 0o100)}\0{found.st_size}\0".encode())
            if not by_size:
                with full.open("rb") as file:
                    whole.update(hashlib.file_digest(file, "sha256").digest())
    return f"{'sizes' if by_size else 'sha256'}:{whole.hexdigest()}"


def salted(value: bytes, salt: bytes, name: str) -> str:
    """A digest of what may be a secret: slow to guess, and another one in every run and for every name."""
    made = hashlib.scrypt(value, salt=salt + os.fsencode(name), n=SCRYPT_COST, r=8, p=1, dklen=32)
    return f"scrypt:{made.hex()}"

"""Single files that services bind and may write to: a copy of each, new for every trial.

The user's own file is never written to. A copy lies on no LUN, so what a service writes into it is not covered.
"""

from __future__ import annotations

import contextlib
import filecmp
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from chaos.errors import HarnessError
from chaos.stack.spec import Stack


class BoundFiles:
    """The copies of one running stack. All methods block."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        """Copies are made in `folder`, which must be where the engine can see it."""
        mounts = [mount for service in stack.services.values() for mount in service.mounts]
        sources = sorted({mount.source for mount in mounts if mount.kind == "file"})
        self.paths: Mapping[str, str] = {source: str(folder / _name(i, source)) for i, source in enumerate(sources)}
        """Where the copy of each file is."""
        self._folder = folder
        self._first = {source: Path(source) for source in sources}

    def begin_with(self, folder: Path) -> None:
        """From now on copies are made of what `keep` has put into this folder."""
        self._first = {source: folder / Path(path).name for source, path in self.paths.items()}

    def lay_out(self) -> None:
        """Make every copy anew.

        Raises:
            HarnessError: A file cannot be read.
        """
        self._copy(self._first, self._folder)

    def keep(self, folder: Path) -> None:
        """Put the copies, as services have left them, into a folder."""
        self._copy({source: Path(path) for source, path in self.paths.items()}, folder)

    def changed(self) -> set[str]:
        """The files whose copies services have changed."""
        return {
            source
            for source, path in self.paths.items()
            if _owned(Path(path)) != _owned(self._first[source])
            or not filecmp.cmp(path, self._first[source], shallow=False)
        }

    def clear(self) -> None:
        """Remove the copies."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _copy(self, originals: Mapping[str, Path], folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        if not originals:
            return
        folder.mkdir(mode=0o700, parents=True)
        for source, original in originals.items():
            copy = folder / Path(self.paths[source]).name
            try:
                shutil.copy2(original, copy)
            except OSError as error:
                raise HarnessError(f"the bound file {source} cannot be copied: {error.strerror}") from error
            found = original.stat()
            with contextlib.suppress(PermissionError):  # who is not root owns what they copy
                os.chown(copy, found.st_uid, found.st_gid)
                copy.chmod(found.st_mode & 0o7777)


def _name(number: int, source: str) -> str:
    return f"{number}-{Path(source).name}"


def _owned(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_mode, found.st_uid, found.st_gid

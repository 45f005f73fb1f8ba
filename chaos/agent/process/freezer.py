"""Pausing a container by the cgroup freezer, version 1 or 2: all of its processes stop, children to come included.

SIGSTOP to each would be seen by parents, and would miss a process that is just being forked.
"""

from __future__ import annotations

import os

from chaos.agent.process.cgroups import ROOT, folders

_FILES = {
    1: ("freezer.state", "THAWED", "FROZEN"),
    2: ("cgroup.freeze", "0", "1"),
}
"""By version: the file, and what is written to let run and to freeze."""


class Freezer:
    """The freezer of one container."""

    def __init__(self, pid: int, root: str = ROOT) -> None:
        """Find the freezer of a container by its init process.

        Raises:
            OSError: The process is gone, or its cgroup has no freezer.
        """
        tried = []
        for version, folder in folders(pid, "freezer", root):
            name, *self._words = _FILES[version]
            self._file = f"{folder}/{name}"
            if os.path.exists(self._file):
                return
            tried.append(self._file)
        raise OSError(f"the cgroup of pid {pid} has no freezer: there is none of {tried}")

    def freeze(self, wanted: bool) -> None:
        """Pause all processes, or resume them."""
        with open(self._file, "w") as file:
            file.write(self._words[wanted])

    @property
    def is_frozen(self) -> bool:
        """Read back; also while a process that waits for its disk is still to stop when it wakes."""
        with open(self._file) as file:
            return file.read().strip() != self._words[0]

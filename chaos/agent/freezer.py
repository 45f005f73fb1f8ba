"""Pausing a container by the cgroup freezer, version 1 or 2: all of its processes stop, children to come included.

SIGSTOP to each would be seen by parents, and would miss a process that is just being forked.
"""

from __future__ import annotations

import os

ROOT = "/host/cgroup"
"""The host's /sys/fs/cgroup, bound into the agent."""
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
        with open(f"/proc/{pid}/cgroup") as file:
            lines = [line.strip().split(":", 2) for line in file]
        paths = {controllers: path for _, controllers, path in lines}
        own = [(1, "/freezer", path) for names, path in paths.items() if "freezer" in names.split(",")]
        # where both versions are mounted, version 2 lies in a folder of its own
        own += [(2, folder, paths[""]) for folder in ("", "/unified") if "" in paths]
        for version, folder, path in own:
            name, *self._words = _FILES[version]
            self._file = f"{root}{folder}{path}/{name}"
            if path != "/" and os.path.exists(self._file):
                return
        raise OSError(f"the cgroup of pid {pid} has no freezer: {paths}")

    def freeze(self, wanted: bool) -> None:
        """Stop all processes, or let them run."""
        with open(self._file, "w") as file:
            file.write(self._words[wanted])

    @property
    def is_frozen(self) -> bool:
        """Read back; also while a process that waits for its disk is still to stop when it wakes."""
        with open(self._file) as file:
            return file.read().strip() != self._words[0]

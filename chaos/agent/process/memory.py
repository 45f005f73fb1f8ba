"""A container's dirty pages (written by it, not yet by the kernel), from its cgroup's memory statistics.

They are of the whole container, whatever disk they are to go to: the kernel counts them by cgroup, or by device, and
not by both. A kernel without the memory controller counts none.
"""

from __future__ import annotations

import os

from chaos.agent.process.cgroups import ROOT, folders

_COUNTED = {1: ("total_dirty", "total_writeback"), 2: ("file_dirty", "file_writeback")}
"""By version, in bytes, those of cgroups below included: what is dirty, and what is just being written back."""


class Dirt:
    """The dirty pages of one container."""

    def __init__(self, pid: int, root: str = ROOT) -> None:
        """Find the statistics of a container by its init process; there may be none."""
        self._file, self._names = "", ("", "")
        self._settled = 0
        try:
            for version, folder in folders(pid, "memory", root):
                if os.path.exists(f"{folder}/memory.stat"):
                    self._file, self._names = f"{folder}/memory.stat", _COUNTED[version]
                    return
        except OSError:  # it is gone
            return

    def settle(self) -> None:
        """Begin to count: everything on its disks has just been written back."""
        self._settled = self._bytes()

    def since_settled(self) -> int:
        """Dirty bytes since `settle`: those beyond what was dirty then."""
        return max(0, self._bytes() - self._settled)

    def _bytes(self) -> int:
        if not self._file:
            return 0
        try:
            with open(self._file) as file:
                lines = [line.split() for line in file]
        except OSError:  # with its last process the cgroup is gone
            return 0
        return sum(int(value) for name, value in lines if name in self._names)

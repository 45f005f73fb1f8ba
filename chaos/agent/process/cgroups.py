"""Where a container's cgroup is, of version 1 or 2, by its init process."""

from __future__ import annotations

from collections.abc import Iterator

ROOT = "/host/cgroup"
"""The host's /sys/fs/cgroup, bound into the agent."""


def folders(pid: int, controller: str, root: str = ROOT) -> Iterator[tuple[int, str]]:
    """Folders in which this controller's files may be, each with its version, the likelier first.

    Never the host's own, at the root.

    Raises:
        OSError: The process is gone.
    """
    with open(f"/proc/{pid}/cgroup") as file:
        lines = [line.strip().split(":", 2) for line in file]
    paths = {controllers: path for _, controllers, path in lines if path != "/"}
    for names, path in paths.items():
        if controller in names.split(","):
            yield 1, f"{root}/{controller}{path}"
    if "" in paths:  # where both versions are mounted, version 2 lies in a folder of its own
        yield from ((2, f"{root}{folder}{paths['']}") for folder in ("", "/unified"))

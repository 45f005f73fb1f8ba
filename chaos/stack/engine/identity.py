"""Who owns what on the engine: every object of a run carries its labels, and nothing else is ever touched."""

from __future__ import annotations

import os
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

RUN_LABEL = "holdfast.run"
OWNER_LABEL = "holdfast.owner"
ROLE_LABEL = "holdfast.role"
IMAGE_LABEL = "holdfast.image"
"""Of every image that Holdfast has built, and of each step that the engine keeps of it."""
RECIPE_LABEL = "holdfast.recipe"
"""Of an image that Holdfast has built: what it is built from, whatever is in the files."""
BASE_LABEL = "holdfast.base"
"""Of the base image that Holdfast has made, and of all that is built on it."""
_BOOT_SHOWN = 8
"""So many digits of the boot id are in a stamp: paths of sockets, which may be beneath it, have at most 107 bytes."""
_STAMP = re.compile(r"\.of-([0-9a-f]{8})-([0-9]+)-([0-9]+)-")


@dataclass(frozen=True)
class Run:
    """One run's identity.

    Attributes:
        id: Unique, sortable by time, short enough for every name that it is part of.
        owner: "boot id:pid:start time" of the controller, so that a later command can tell whether it lives.
    """

    id: str
    owner: str

    @classmethod
    def begin(cls, seed: int) -> Run:
        """Make the identity of a run that this process controls."""
        stamp = time.strftime("%Y%m%d-%H%M%S")
        return cls(f"{stamp}-{seed}-{secrets.token_hex(2)}", owner_of(os.getpid()))

    def labels(self, role: str) -> dict[str, str]:
        """Labels of an object of this run; `role` is "agent", "service", "lun", "network" ..."""
        return {RUN_LABEL: self.id, OWNER_LABEL: self.owner, ROLE_LABEL: role}

    def filters(self) -> dict[str, list[str]]:
        """The engine's filter that finds this run's objects and no others."""
        return {"label": [f"{RUN_LABEL}={self.id}"]}


def owner_of(pid: int) -> str:
    """Describe a process so that a reused pid, or the same pid after a reboot, is told apart."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}:{pid}:{_start_time(pid)}"


def is_alive(owner: str) -> bool:
    """Whether the process that `owner_of` described still runs. Unreadable descriptions count as dead."""
    try:
        boot, pid, started = owner.split(":")
        return owner_of(int(pid)) == f"{boot}:{pid}:{started}"
    except (ValueError, OSError):
        return False


def stamp() -> str:
    """This process in a name: of a file or folder that it makes, and removes or renames before it ends."""
    boot, pid, started = owner_of(os.getpid()).split(":")
    return f"of-{boot[:_BOOT_SHOWN]}-{pid}-{started}-{secrets.token_hex(2)}"


def is_left_over(name: str) -> bool:
    """Whether a name has the stamp of a process that is gone."""
    found = _STAMP.search(name)
    if found is None:
        return False
    boot, pid, started = found.groups()
    try:
        now, _, since = owner_of(int(pid)).split(":")
    except OSError:
        return True
    return (now[:_BOOT_SHOWN], since) != (boot, started)


def _start_time(pid: int) -> str:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    if fields[0] == "Z":
        raise ProcessLookupError(pid)
    return fields[19]

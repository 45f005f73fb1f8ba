"""What the controller and the agent say of files in the cache folder: golden copies of LUNs, and write logs. As `wire`.

Paths are those in the agent.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaos.agent.request import Request
from chaos.agent.wire import Device, Done


@dataclass(frozen=True)
class Save(Request[Done]):
    """Write a LUN's content into a golden file."""

    lun: str
    path: str


@dataclass(frozen=True)
class KeepLog(Request[Done]):
    """Forget nothing of what is written to these LUNs from now on."""

    luns: tuple[str, ...]


@dataclass(frozen=True)
class SaveLog(Request[Done]):
    """Write a LUN's log and all that was written into two files, of this path with suffixes (`recording`)."""

    lun: str
    path: str


@dataclass(frozen=True)
class Inspected:
    """Of each file why it does not hold a whole file system that was unmounted in order; empty where it does."""

    problems: tuple[str, ...]


@dataclass(frozen=True)
class Inspect(Request[Inspected]):
    """Look at golden files, each as (path, size in bytes)."""

    files: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Format(Request[Done]):
    """Make a file with an empty ext4, as a new LUN has it."""

    path: str
    size_bytes: int


@dataclass(frozen=True)
class Show(Request[Device]):
    """Show a file as a loop device that is no LUN: the first content of a LUN is copied there."""

    path: str


@dataclass(frozen=True)
class Hide(Request[Done]):
    """Free the loop device of a file, once nothing has it mounted."""

    path: str

"""Where the files of a stack lie, and what was read to make it.

A run folder carries the files that its run read. A file therefore has a *name*, the path that it had on the machine
of the first run, and a *place*, where it lies now: in `inputs/` of the run folder, or still under its name. Compose
files speak of names; whoever opens a file asks for its place.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Carried:
    """The files that a run folder carries.

    Attributes:
        folder: `inputs/`.
        root: The name of this folder: `root / a` lies in `folder / a`.
        lacking: By name of a file or folder, what of it is not carried, by name.
    """

    folder: Path
    root: Path
    lacking: Mapping[Path, tuple[Path, ...]] = field(default_factory=dict)


class Sources:
    """Finds the files of one stack, and remembers what its loader has read."""

    def __init__(self, carried: Carried | None = None) -> None:
        """Find files under their names, or first where a run folder carries them."""
        self._carried = carried
        self.relative: set[Path] = set()
        """Names of files and folders that the Compose files name by a relative path: they belong to the project."""
        self.files: set[Path] = set()
        """Names of further files that the Compose files are made of: included, extended, a profile of seccomp."""
        self.env_files: set[Path] = set()
        """Names of the files under `env_file:` that are there."""
        self.variables: dict[str, str | None] = {}
        """Values, from the environment or a `.env`, of variables that were looked up; None where nothing had one."""

    def place(self, name: Path) -> Path:
        """Where it lies: in the run folder where that has it whole, else under its name where that is there."""
        kept = self.carried_place(name)
        if kept == name or (_there(kept) and not self._lacks(name)):
            return kept
        return name if _there(name) else kept

    def carried_place(self, name: Path) -> Path:
        """Where the run folder has it or would have it; the name itself where there is no such place."""
        if self._carried is None or not name.is_relative_to(self._carried.root):
            return name
        return self._carried.folder / name.relative_to(self._carried.root)

    def name(self, place: Path) -> Path:
        """The name of what lies here."""
        if self._carried is None or not place.is_relative_to(self._carried.folder):
            return place
        return self._carried.root / place.relative_to(self._carried.folder)

    def _lacks(self, name: Path) -> bool:
        lacking = self._carried.lacking.get(name, ()) if self._carried is not None else ()
        return any(not _there(self.carried_place(each)) for each in lacking)


@dataclass(frozen=True)
class Folder:
    """The folder, by name, to which the paths of a Compose file are relative."""

    name: Path
    sources: Sources

    def below(self, text: str) -> Path:
        """The place of what the Compose file calls `text`."""
        return self.sources.place(self.named(text))

    def of(self, place: Path) -> Folder:
        """The folder, to whose paths those of a file that lies here are relative."""
        return Folder(self.sources.name(place), self.sources)

    def named(self, text: str) -> Path:
        """The name of what the Compose file calls `text`; `~` is the user's home."""
        given = os.path.expanduser(text)  # noqa: PTH111 - Path's raises on ~nobody
        name = Path(os.path.normpath(self.name / given))
        if not given.startswith(os.sep):
            self.sources.relative.add(name)
        return name


def _there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False

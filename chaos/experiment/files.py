"""Finds out what YAML files are without loading them: pytest asks this of every YAML file, `holdfast` of folders."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from chaos.errors import UsageError

Kind = Literal["experiment", "unfinished", "plan", "compose", "other"]
"""`unfinished` has the key `experiment` and lacks `stack`."""

SUFFIXES = (".yaml", ".yml")
_READ_BYTES_MAX = 256 * 1024
_KEYS = re.compile(r"^([A-Za-z][\w-]*)\s*:", re.MULTILINE)
_OF_COMPOSE = frozenset({"services", "include", "x-chaos"})
_NOT_ENTERED = frozenset({"node_modules", "__pycache__"})
_WORDS: dict[Kind, str] = {
    "unfinished": "it has `experiment:` and no `stack:`, so it is no experiment yet",
    "plan": "it is the plan of an earlier trial; name it to run it again",
    "compose": "it is a Compose file",
    "other": "it has no `experiment:`",
}


@dataclass(frozen=True)
class PassedOver:
    """A YAML file of a folder that is not run."""

    path: Path
    kind: Kind

    def __str__(self) -> str:
        """One line."""
        return f"{self.path} is passed over: {self.why}"

    @property
    def why(self) -> str:
        """What the file is."""
        return _WORDS[self.kind]


def kind_of(path: Path) -> Kind:
    """What a file is by the keys at its top level; its problems are said when it is loaded."""
    try:
        with path.open("rb") as file:
            text = file.read(_READ_BYTES_MAX).decode("utf-8", errors="replace")
    except OSError:
        return "other"
    keys = set(_KEYS.findall(text))
    if "experiment" in keys:
        return "experiment" if "stack" in keys else "unfinished"
    if keys & _OF_COMPOSE:
        return "compose"
    return "plan" if {"plan", "seed", "stack"} <= keys else "other"


def is_experiment(path: Path) -> bool:
    """Whether the keys `experiment` and `stack` stand at the top level."""
    return kind_of(path) == "experiment"


def experiments_in(folder: Path) -> tuple[Sequence[Path], Sequence[PassedOver]]:
    """The experiments of a folder and those below it, hidden ones left out; and the YAML files that are none.

    Raises:
        UsageError: There is no experiment.
    """
    found, others = [], []
    for path in yaml_files(folder):
        kind = kind_of(path)
        if kind == "experiment":
            found.append(path)
        else:
            others.append(PassedOver(path, kind))
    if found:
        return found, others
    if kind_of(folder / "plan.yaml") == "plan":
        raise UsageError(f"{folder} is a run folder; name its plan to run the trial again: {folder / 'plan.yaml'}")
    seen = "no YAML file is there"
    if others:
        seen = f"no YAML file there has `experiment:` and `stack:`; the first, {others[0].path}: {others[0].why}"
    raise UsageError(f"{folder} has no experiment: {seen}")


def yaml_files(folder: Path) -> Iterator[Path]:
    """The YAML files in a folder and below it, in order; what is hidden is left out."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _NOT_ENTERED)
        yield from (Path(place, name) for name in sorted(files) if name.endswith(SUFFIXES))

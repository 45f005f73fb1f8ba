"""The Compose files that `holdfast new` looks at, loaded as they are, without `x-chaos`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos.errors import UsageError
from chaos.experiment.files import kind_of
from chaos.experiment.source import Table, read_compose
from chaos.stack.compose import load_stack
from chaos.stack.compose.reading.dotenv import read_env_file
from chaos.stack.inputs.sources import Sources
from chaos.stack.spec import NO_DOOR, Stack

NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
"""What Compose itself looks for, in its order; the first that is there counts."""
_THERE = (
    "x-chaos already, so there is nothing to guess; name the Compose file under `stack` of an experiment, and try that "
    "with `holdfast validate`"
)


@dataclass(frozen=True)
class Found:
    """A stack, and the files that it was read from.

    Attributes:
        files: In their order, as they were named or found.
        variables: Values from the environment or a `.env` that the files ask for, by name.
    """

    files: Sequence[Path]
    stack: Stack
    variables: Mapping[str, str]

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self.files[0].parent


def find_stack(named: Path | None, environment: Mapping[str, str] | None = None) -> Found:
    """The stack of a Compose file, of a folder, or of this folder.

    Raises:
        UsageError: There is none, it cannot be loaded (a `SourceError` has all that is wrong), or it has `x-chaos`.
    """
    environment = os.environ if environment is None else environment
    files = _files(named or Path())
    for file in files:
        if kind_of(file) in ("experiment", "unfinished", "plan"):
            raise UsageError(f"{file} is no Compose file; name one, or a folder that has one")
        if any(isinstance(one.root, Table) and "x-chaos" in one.root.entries for one in read_compose(file)):
            raise UsageError(f"{file} has {_THERE}")
    sources = Sources()
    stack = load_stack(files, {}, (), environment, sources, needs_door=False)
    if stack.front_door != NO_DOOR:
        raise UsageError(f"a file that {files[0]} names has {_THERE}")
    return Found(files, stack, _variables(files[0].parent, sources, environment))


def _files(named: Path) -> Sequence[Path]:
    if not named.is_dir():
        if not named.exists():
            raise UsageError(f"there is no file {named}; name a Compose file, or a folder that has one")
        return [named]
    file = next((named / name for name in NAMES if (named / name).is_file()), None)
    if file is None:
        where = "this folder" if named == Path() else str(named)
        raise UsageError(f"no Compose file in {where} ({', '.join(NAMES)}); name the one to look at")
    override = next((named / name for name in OVERRIDES if (named / name).is_file()), None)
    return [file, override] if override else [file]


def _variables(folder: Path, sources: Sources, environment: Mapping[str, str]) -> dict[str, str]:
    """What a `${NAME}` in a further file would come to: what the files asked for, and all of the `.env`."""
    dotenv = folder / ".env"
    found = read_env_file(dotenv, environment.get) if dotenv.is_file() else {}
    return found | {name: value for name, value in sources.variables.items() if value is not None}

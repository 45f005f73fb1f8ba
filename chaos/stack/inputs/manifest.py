"""`inputs.json` of a run folder: what the run read, where it was, and which of it the folder carries."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chaos.errors import UsageError
from chaos.stack.inputs.sources import Carried

MANIFEST_FILE = "inputs.json"
FOLDER = "inputs"
_VERSION = 1


@dataclass(frozen=True)
class Unit:
    """A file or folder that was read as a whole.

    Attributes:
        name: Its path on the machine of the first run.
        what: Such as "env file", for messages.
        digest: `sha256:` of its content, `sizes:` where it is too large for that, `scrypt:` where it may be a secret;
            empty where it could not be read.
        is_kept: Whether the run folder carries it.
        dockerfile: Of a build context, the Dockerfile.
        lacks: Names of files below it that are not carried with it, since they may hold secrets.
    """

    name: str
    what: str
    digest: str
    is_kept: bool
    size_bytes: int = 0
    dockerfile: str = ""
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """All that a run read.

    Attributes:
        root: The folder, by name, that `inputs/` stands for.
        salt: Of the salted digests, in hexadecimal digits.
        variables: By name, the salted digest of a value from the environment or a `.env`; None where none was set.
    """

    root: str
    salt: str
    units: tuple[Unit, ...]
    variables: Mapping[str, str | None]

    def carried(self, run_dir: Path) -> Carried:
        """Where the files lie, in this run folder."""
        lacking: dict[Path, tuple[Path, ...]] = {}
        for unit in self.units:  # a folder may be a build context and bound, too
            lacking[Path(unit.name)] = (*lacking.get(Path(unit.name), ()), *map(Path, unit.lacks))
        return Carried(run_dir.resolve() / FOLDER, Path(self.root), lacking)

    def write(self, run_dir: Path) -> None:
        """Write it into the run folder."""
        document = {"version": _VERSION, **dataclasses.asdict(self)}
        text = json.dumps(document, indent=2, ensure_ascii=False)
        (run_dir / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8", errors="surrogateescape")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _UnitModel(_Strict):
    name: Annotated[str, Field(pattern="^/")]
    what: str
    digest: str
    is_kept: bool
    size_bytes: int
    dockerfile: str
    lacks: list[str]


class _ManifestModel(_Strict):
    version: Annotated[int, Field(ge=_VERSION, le=_VERSION)]
    root: Annotated[str, Field(pattern="^/")]
    salt: Annotated[str, Field(pattern="^([0-9a-f]{2})+$")]
    units: list[_UnitModel]
    variables: dict[str, str | None]


def read_manifest(path: Path) -> Manifest:
    """Read `inputs.json`.

    Raises:
        UsageError: It is not there, or is not what a run has written.
    """
    try:
        model = _ManifestModel.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; copy the run folder whole") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"{path}: {where}: {first['msg']}; copy it again from the run folder") from None
    units = tuple(Unit(**{**unit.model_dump(), "lacks": tuple(unit.lacks)}) for unit in model.units)
    return Manifest(model.root, model.salt, units, model.variables)

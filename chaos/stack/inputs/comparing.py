"""Before a plan of a run folder runs again: what must be given again, and what is no longer as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from chaos.errors import SourceError, UsageError
from chaos.experiment.plan import Plan
from chaos.stack.compose.reading.dotenv import read_env_file
from chaos.stack.compose.reading.interpolate import Lookup
from chaos.stack.inputs.digests import content, listed, salted
from chaos.stack.inputs.keeping import is_env_name
from chaos.stack.inputs.manifest import Manifest, Unit
from chaos.stack.inputs.sources import Sources

_SHORT = 12
"""Characters of an image's digest that tell it."""


@dataclass
class Differences:
    """What a repetition would not have as the run had it, one line each."""

    missing: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)

    def require(self, plan: Plan) -> None:
        """Refuse a repetition that lacks something.

        Raises:
            UsageError: With everything that is missing or differs.
        """
        if self.missing:
            lines = [*(f"  - {each}" for each in self.missing), *(f"  - (differs) {each}" for each in self.differing)]
            head = f"{plan.experiment} cannot run again as it was; what may be a secret is not kept, and is given anew:"
            raise UsageError("\n".join([head, *lines]))


def compare(plan: Plan, manifest: Manifest, sources: Sources, environment: Mapping[str, str]) -> Differences:
    """Hold everything that the run read against what is here now."""
    found = Differences()
    given = {**_dotenv(plan, sources, environment), **environment}
    for name, digest in manifest.variables.items():
        if name not in plan.variables:
            _variable(name, digest, given.get(name), bytes.fromhex(manifest.salt), found)
    for unit in manifest.units:
        _unit(unit, manifest, sources, found)
    return found


def _dotenv(plan: Plan, sources: Sources, environment: Mapping[str, str]) -> dict[str, str]:
    file = sources.place(sources.name(plan.stack[0]).parent / ".env")
    with contextlib.suppress(SourceError):  # said when the stack is loaded
        if file.is_file():
            return read_env_file(file, Lookup(plan.variables, environment).get)
    return {}


def _variable(name: str, digest: str | None, value: str | None, salt: bytes, found: Differences) -> None:
    if value is None:
        if digest is not None:
            found.missing.append(f"variable {name}: set it in the environment, or under `variables` of the plan")
    elif digest is None:
        found.differing.append(f"variable {name} is set here, and was not set in the run")
    elif salted(value.encode("utf-8", "surrogateescape"), salt, name) != digest:
        found.differing.append(f"variable {name} has another value than in the run")


def _unit(unit: Unit, manifest: Manifest, sources: Sources, found: Differences) -> None:
    name = Path(unit.name)
    place, kept = sources.place(name), sources.carried_place(name)
    if not place.exists():
        where = f"{kept} or {name}" if kept != name else f"{name}"
        found.missing.append(f"{unit.what} {name.name}: put it at {where}")
        return
    told = {each.name for each in manifest.units}
    found.missing += [
        f"file {Path(lack).name} of the {unit.what} {name.name}: put it at {sources.carried_place(Path(lack))}"
        for lack in unit.lacks
        if lack not in told and place == kept != name and not sources.place(Path(lack)).exists()
    ]
    if unit.digest and _digest(place, unit, manifest) != unit.digest:
        where = "the run folder's copy" if place == kept != name else str(place)
        found.differing.append(f"{unit.what} {name.name} is not what it was in the run: {where}")
    elif place == kept != name and name.exists() and _digest(name, unit, manifest) != unit.digest:
        found.differing.append(
            f"{unit.what} {name} has changed since; this runs with the run's own, and "
            "`holdfast run EXPERIMENT --seed SEED` would run with yours"
        )


def _digest(place: Path, unit: Unit, manifest: Manifest) -> str:
    try:
        if unit.digest.startswith("scrypt:"):
            return salted(place.read_bytes(), bytes.fromhex(manifest.salt), unit.name)
        lacks = set(unit.lacks)
        every = listed(place, unit.dockerfile)
        kept = [path for path in every if str(Path(unit.name) / path) not in lacks and not is_env_name(Path(path).name)]
        return content(place, kept)
    except OSError:
        return "unreadable"


def compare_images(was: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """A line for each service that runs another image than it did."""
    return [
        f"the image of {service} is {_short(now[service])}, and was {_short(image)} in the run"
        for service, image in was.items()
        if service in now and now[service] != image
    ]


def _short(image: str) -> str:
    return image.removeprefix("sha256:")[:_SHORT]

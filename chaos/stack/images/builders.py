"""Who builds an image: the engine's own builder, its BuildKit, or the `docker` command; or nobody can, and why.

Asked is the engine, not its name. Docker has two builders: the first knows nothing of what BuildKit brought, and is
taken where nothing of that is wanted, since every engine has it and the host needs nothing beside it. Podman builds
with buildah, which learned one thing after another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from chaos.stack.engine.images import Abilities
from chaos.stack.images.dockerfile import Dockerfile, Feature, Need

Way = Literal["engine", "buildkit", "command"]
"""The engine's own builder; its BuildKit by its API; the `docker` command, which has BuildKit do it, too."""

_BUILDAH_SINCE: Mapping[str, tuple[int, int]] = {"heredoc": (1, 35), "link": (1, 41), "mount": (1, 24)}
"""By feature, the first buildah that has it; what is not here it has long had, or says itself that it has not."""
_NEW_FRONTEND = (1, 42)
"""The API of the first engine (Docker 23) whose BuildKit has here-documents and links built in."""
_NEEDS_NEW_FRONTEND: frozenset[Feature] = frozenset({"heredoc", "link", "git"})
_NEWER = (
    "this engine's does not know it; begin the Dockerfile with `# syntax=docker/dockerfile:1`, which is pulled, "
    "or use Docker 23 or later"
)
_INSTALL = "install docker buildx (Debian: docker-buildx; elsewhere docker-buildx-plugin)"


@dataclass(frozen=True)
class Command:
    """The `docker` command of this host. `contexts`: whether it takes further contexts."""

    has_buildx: bool
    contexts: bool = True


@dataclass(frozen=True)
class Choice:
    """Who builds; where nobody can, `refused` says why not, a line for each place."""

    way: Way = "engine"
    refused: tuple[str, ...] = ()


def choose(
    dockerfile: Dockerfile,
    needs: Sequence[Need],
    keys: Sequence[str],
    abilities: Abilities,
    command: Command | None,
    place: str,
) -> Choice:
    """Choose who builds.

    Args:
        dockerfile: What is built.
        needs: What it wants of a builder.
        keys: Of `build`, those that only the `docker` command can honour.
        abilities: Of the engine.
        command: The `docker` command with BuildKit, where it is there.
        place: The Dockerfile, for messages.
    """
    if abilities.buildah != (0, 0):
        return Choice("engine", _refused_by_buildah(needs, keys, abilities.buildah, place))
    if not needs and not keys:
        return Choice("engine")
    if command is None and (keys or not abilities.buildkit):
        lines = [f"{place}: build.{key} needs BuildKit by the docker command" for key in keys]
        lines += [] if abilities.buildkit else [f"{_at(place, need)} needs BuildKit" for need in needs]
        return Choice("engine", _with_remedy(lines, f"it is not here; {_INSTALL}, or build the image yourself"))
    if "additional_contexts" in keys and command is not None and not command.contexts:
        line = f"{place}: build.additional_contexts needs a newer docker command than this"
        return Choice("engine", _with_remedy([line], _INSTALL))
    if abilities.api < _NEW_FRONTEND and not dockerfile.syntax:
        lines = [f"{_at(place, need)} needs a newer BuildKit" for need in needs if need.feature in _NEEDS_NEW_FRONTEND]
        lines += [f"{place}: build.{key} needs a newer BuildKit" for key in keys if key == "additional_contexts"]
        if lines:
            return Choice("engine", _with_remedy(lines, _NEWER))
    return Choice("buildkit" if command is None else "command")


def _refused_by_buildah(
    needs: Sequence[Need], keys: Sequence[str], version: tuple[int, int], place: str
) -> tuple[str, ...]:
    lines = [f"{place}: build.{key} needs BuildKit, and this engine builds with buildah" for key in keys]
    lines += [f"{_at(place, need)} is BuildKit's, not buildah's" for need in needs if need.feature == "frontend"]
    late = [need for need in needs if version < _BUILDAH_SINCE.get(need.feature, (0, 0))]
    for need in late:
        first = ".".join(map(str, _BUILDAH_SINCE[need.feature]))
        own = ".".join(map(str, version))
        lines.append(f"{_at(place, need)} needs buildah {first} or later, and this engine builds with {own}")
    return _with_remedy(lines, "use a newer engine, or build the image yourself")


def _at(place: str, need: Need) -> str:
    return f"{place}:{need.line}: {need.what}"


def _with_remedy(lines: Sequence[str], remedy: str) -> tuple[str, ...]:
    return (*lines[:-1], f"{lines[-1]}; {remedy}") if lines else ()

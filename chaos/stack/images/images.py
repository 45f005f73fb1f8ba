"""The images of a stack and of the agent: found, pulled, or built once and known by a digest of the parts."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import docker

import chaos.agent
from chaos.errors import ImageError
from chaos.stack.cache import locked
from chaos.stack.engine.client import engine_errors
from chaos.stack.images.base import BASE, ensure_base, image_id, pull
from chaos.stack.images.context import Context
from chaos.stack.spec import Build, Service

IMAGE_LABEL = "holdfast.image"
_BUILD_SECONDS_MAX = 900.0
_QUIET_SECONDS_MAX = 300
_LAST_LINES = 20
_DIGEST_CHARACTERS = 16


@dataclass(frozen=True)
class ImageRef:
    """An image on the engine. Start containers by `id`: a tag may move."""

    id: str
    tag: str


def ensure_image(client: docker.DockerClient, service: Service, stack: str = "") -> ImageRef:
    """Have the image of a service: built if it says `build`, else local, else pulled.

    `stack` is the stack's name, for the tag `holdfast/<stack>-<service>:<digest>`.

    Raises:
        ImageError: It cannot be had; the message ends with the remedy.
        EngineError: The engine refused.
    """
    if service.build is not None:
        return build(client, service.build, "-".join(filter(None, (stack, service.name))))
    found = _present(client, service.image, f"service {service.name}", service.platform)
    return ImageRef(found, service.image)


def ensure_agent_image(client: docker.DockerClient) -> ImageRef:
    """Have the image of the agent, from the folder of the installed package."""
    return build(client, _agent_recipe(), "agent")


def find_agent_image(client: docker.DockerClient) -> ImageRef | None:
    """The image of the agent if it is there; builds nothing."""
    recipe = _agent_recipe()
    context = Context.of(recipe)
    bases = {each: image_id(client, each) for each in context.bases(recipe.args)}
    tag = _tag("agent", context, recipe, bases)
    found = image_id(client, tag)
    return ImageRef(found, tag) if found else None


def build(client: docker.DockerClient, recipe: Build, name: str) -> ImageRef:
    """Build an image, or find the one built from the very same files, arguments and base images.

    Raises:
        ImageError: It does not build; the message has the last lines of its log, without arguments' values.
        EngineError: The engine refused.
    """
    context = Context.of(recipe)
    place = str(context.folder / context.dockerfile)
    bases = {each: _present(client, each, place) for each in context.bases(recipe.args)}
    tag = _tag(name, context, recipe, bases)
    found = image_id(client, tag)
    if found:
        return ImageRef(found, tag)
    with locked(f"image-{tag}", _BUILD_SECONDS_MAX):
        found = image_id(client, tag)
        if not found:
            _build(client, context, recipe, tag)
            found = image_id(client, tag)
        if not found:
            raise ImageError(f"the engine says that {tag} is built, and does not have it; see the engine's log")
    return ImageRef(found, tag)


def _present(client: docker.DockerClient, image: str, wanted_by: str, platform: str = "") -> str:
    if image == BASE:
        return ensure_base(client)
    found = image_id(client, image)
    if found:
        return found
    with locked(f"image-{image}", _BUILD_SECONDS_MAX):
        found = image_id(client, image)
        trouble = "" if found else pull(client, image, platform)
        found = found or image_id(client, image)
    if not found:
        raise ImageError(
            f"image {image} of {wanted_by} is not on the engine and cannot be pulled: {trouble}; "
            f"correct its name, bring it with `docker load`, or say `build:`"
        )
    return found


def _agent_recipe() -> Build:
    return Build(context=Path(str(chaos.agent.__file__)).parent)


def _tag(name: str, context: Context, recipe: Build, bases: Mapping[str, str]) -> str:
    args, from_ = sorted(recipe.args.items()), sorted(bases.items())
    parts = [context.digest(), context.dockerfile, recipe.target, args, from_, *filter(None, [recipe.platform])]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return f"holdfast/{_plain(name)}:{digest}"


def _build(client: docker.DockerClient, context: Context, recipe: Build, tag: str) -> None:
    log: list[str] = []
    until = time.monotonic() + _BUILD_SECONDS_MAX
    # Leaving this loop early closes the connection; the engine then ends the build and removes its container.
    with engine_errors(f"building {tag}"):
        for line in client.api.build(
            fileobj=context.tar(),
            custom_context=True,
            dockerfile=context.dockerfile,
            buildargs=dict(recipe.args),
            target=recipe.target or None,
            platform=recipe.platform or None,
            tag=tag,
            labels={IMAGE_LABEL: "1"},
            rm=True,
            forcerm=True,
            decode=True,
            timeout=_QUIET_SECONDS_MAX,
        ):
            log += str(line.get("stream", "")).splitlines()
            if "error" in line:
                raise _failed(tag, context, str(line["error"]), log, recipe.args)
            if time.monotonic() > until:
                raise _failed(tag, context, f"not done in {_BUILD_SECONDS_MAX:.0f} s", log, recipe.args)


def _failed(tag: str, context: Context, reason: str, log: list[str], args: Mapping[str, str]) -> ImageError:
    lines = [line for line in log if line.strip()][-_LAST_LINES:]
    shown = "\n  ".join(without_values(line, args) for line in lines)
    place = context.folder / context.dockerfile
    return ImageError(f"{tag} does not build: {without_values(reason, args)}\n  {shown}\ncorrect {place}")


def without_values(text: str, args: Mapping[str, str]) -> str:
    """Blank out the values of build arguments, which may be secrets."""
    for value in sorted(filter(None, args.values()), key=len, reverse=True):
        # a value as short as "1" or "15" is blanked only where it stands alone, lest nothing is left to read
        text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)" if len(value) < 4 else re.escape(value), "***", text)
    return text


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "image"

"""The images of a stack and of the agent: found, pulled, or built once and known by a digest of the parts."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import chaos.agent
from chaos.errors import ImageError
from chaos.stack.cache import in_use, locked
from chaos.stack.engine import images
from chaos.stack.engine.client import Engine
from chaos.stack.engine.identity import IMAGE_LABEL, RECIPE_LABEL
from chaos.stack.engine.images import BuildOrder, image_id
from chaos.stack.images.base import BASE, ensure_base
from chaos.stack.images.builders import Choice, choose
from chaos.stack.images.command import build_by_command, find_command
from chaos.stack.images.context import GIVEN, Context
from chaos.stack.images.leftover import recipe_id
from chaos.stack.images.logins import login_for
from chaos.stack.images.pulling import pull
from chaos.stack.inputs.digests import content, listed
from chaos.stack.pulse import Say, quiet
from chaos.stack.spec import Build, Service

_BUILD_SECONDS_MAX = 3600.0
_QUIET_SECONDS_MAX = 900.0
"""A step that compiles may say nothing for long."""
_LAST_LINES = 20
_DIGEST_CHARACTERS = 16


@dataclass(frozen=True)
class ImageRef:
    """An image on the engine. Start containers by `id`: a tag may move. `recipe` is "" of one that is not built."""

    id: str
    tag: str
    recipe: str = field(default="", compare=False)


@dataclass(frozen=True)
class Wanted:
    """An image that is to be built: its recipe, what it is made of, its name."""

    recipe: Build
    context: Context
    tag: str

    @property
    def recipe_id(self) -> str:
        """What stays the same when files are edited."""
        return recipe_id(self.recipe, self.tag.partition(":")[0])

    def ref(self, found: str) -> ImageRef:
        """The image of this id."""
        return ImageRef(found, self.tag, self.recipe_id)


def ensure_image(
    client: Engine, service: Service, stack: str = "", say: Say = quiet, using: ExitStack | None = None
) -> ImageRef:
    """Have the image of a service: built if it says `build`, else local, else pulled.

    Args:
        client: The engine.
        service: Whose image.
        stack: The stack's name, for the tag `holdfast/<stack>-<service>:<digest>`.
        say: Takes what the builder or the registry says.
        using: As long as it is open, nobody removes the image as that of an earlier edit.

    Raises:
        ImageError: It cannot be had; the message ends with the remedy.
        EngineError: The engine refused.
    """
    if service.build is not None:
        return build(client, service.build, _name_of(service, stack), say, using)
    found = _present(client, service.image, f"service {service.name}", service.platform, say)
    return ImageRef(found, service.image)


def require_builders(client: Engine, services: Iterable[Service], stack: str = "") -> None:
    """Before anything is built: refuse what nobody here can build.

    Raises:
        ImageError: With every place, by file and line.
        EngineError: The engine refused.
    """
    refused: dict[str, None] = {}
    for service in services:
        recipe = service.build
        if recipe is None or not _is_special(recipe, context := Context.of(recipe)):
            continue
        if find_built(client, recipe, _name_of(service, stack)) is None:
            refused |= dict.fromkeys(_choice(client, recipe, context).refused)
    if refused:
        raise ImageError("\n".join(refused))


def ensure_agent_image(client: Engine, say: Say = quiet, using: ExitStack | None = None) -> ImageRef:
    """Have the image of the agent, from the folder of the installed package."""
    return build(client, agent_recipe(), "agent", say, using)


def find_agent_image(client: Engine) -> ImageRef | None:
    """The image of the agent if it is there; builds nothing."""
    return find_built(client, agent_recipe(), "agent")


def agent_recipe() -> Build:
    """How the agent's image is made."""
    return Build(context=Path(str(chaos.agent.__file__)).parent)


def find_built(client: Engine, recipe: Build, name: str) -> ImageRef | None:
    """The image built from the very same files, arguments and base images, if it is there; pulls and builds nothing."""
    wanted = _wanted(recipe, name, lambda base, _: image_id(client, base))
    found = image_id(client, wanted.tag)
    return wanted.ref(found) if found else None


def build(client: Engine, recipe: Build, name: str, say: Say = quiet, using: ExitStack | None = None) -> ImageRef:
    """Build an image, or find the one built from the very same files, arguments and base images.

    Raises:
        ImageError: It does not build; the message has the last lines of its log, without arguments' values.
        EngineError: The engine refused.
    """
    wanted = _wanted(recipe, name, lambda base, place: _present(client, base, place, recipe.platform, say))
    if using is not None:
        using.enter_context(in_use(wanted.tag))
    found = image_id(client, wanted.tag)
    if found:
        return wanted.ref(found)
    with locked(f"image-{wanted.tag}", _BUILD_SECONDS_MAX):
        found = image_id(client, wanted.tag)
        if not found:
            _Builder(client, wanted, say).build()
            found = image_id(client, wanted.tag)
        if not found:
            raise ImageError(f"the engine says that {wanted.tag} is built, and does not have it; see the engine's log")
    return wanted.ref(found)


def _present(client: Engine, image: str, wanted_by: str, platform: str, say: Say) -> str:
    if image == BASE:
        return ensure_base(client, say)
    found = image_id(client, image)
    if found:
        return found
    with locked(f"image-{image}", _BUILD_SECONDS_MAX):
        found = image_id(client, image)
        trouble = "" if found else pull(client, image, platform, say)
        found = found or image_id(client, image)
    if not found:
        raise ImageError(
            f"image {image} of {wanted_by} is not on the engine and cannot be pulled: {trouble}; "
            f"correct its name, log in with `docker login`, bring it with `docker load`, or say `build:`"
        )
    return found


def _wanted(recipe: Build, name: str, base_id: Callable[[str, str], str]) -> Wanted:
    context = Context.of(recipe)
    bases = context.instructions.bases(recipe.args, recipe.target, recipe.platform, recipe.contexts)
    args, from_ = sorted(recipe.args.items()), sorted((base, base_id(base, context.place)) for base in bases)
    more = {name: _digest_of(source) for name, source in sorted(recipe.contexts.items())}
    parts = [context.digest(), context.dockerfile, recipe.target, args, from_, *filter(None, [recipe.platform, more])]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return Wanted(recipe, context, f"holdfast/{_plain(name)}:{digest}")


def _digest_of(source: str) -> str:
    """Of a further context: of its files, or the name of what is no folder here."""
    try:
        return content(Path(source), listed(Path(source))) if source.startswith("/") else source
    except OSError as error:
        raise ImageError(f"{source} cannot be read: {error.strerror}; correct `build.additional_contexts`") from None


def _keys(recipe: Build) -> list[str]:
    """Those of `build` that not every builder can honour."""
    given = {"secrets": {**recipe.secrets, **recipe.secret_texts}, "ssh": recipe.ssh}
    return [name for name, value in {**given, "additional_contexts": recipe.contexts}.items() if value]


def _is_special(recipe: Build, context: Context) -> bool:
    """Whether not every builder can build it."""
    return bool(_keys(recipe) or context.instructions.needs(recipe.args))


def _choice(client: Engine, recipe: Build, context: Context) -> Choice:
    if not _is_special(recipe, context):
        return Choice("engine")
    needs, can = context.instructions.needs(recipe.args), images.abilities(client)
    return choose(context.instructions, needs, _keys(recipe), can, find_command(), context.place)


class _Builder:
    """Builds one image, and keeps the last lines of what is said."""

    def __init__(self, client: Engine, wanted: Wanted, say: Say) -> None:
        self._client = client
        self._wanted = wanted
        self._say = say
        self._log: list[str] = []
        recipe = wanted.recipe
        texts = [text.decode(errors="replace").strip() for text in recipe.secret_texts.values()]
        texts += [path.read_text(errors="replace").strip() for path in recipe.secrets.values() if path.is_file()]
        self._values = {**recipe.args, **{str(number): text for number, text in enumerate(texts)}}

    def build(self) -> None:
        recipe, context = self._wanted.recipe, self._wanted.context
        choice = _choice(self._client, recipe, context)
        if choice.refused:
            raise ImageError("\n".join(choice.refused))
        if choice.way == "engine":
            trouble = self._by_engine("engine", labelled(context))
        else:
            trouble = self._with_buildkit(choice, "")
            plain = without_syntax(context)
            if plain and re.search(r"docker/dockerfile\b", trouble):
                self._heard(f"{context.instructions.syntax} cannot be had; BuildKit's own is used")
                trouble = self._with_buildkit(choice, plain)
        if trouble:
            raise self._failed(trouble)

    def _with_buildkit(self, choice: Choice, instead: str) -> str:
        if choice.way == "buildkit":
            return self._by_engine("buildkit", instead)
        command = find_command()
        assert command is not None
        order, tar = self._order(instead), self._wanted.context.tar(instead)
        return build_by_command(command, order, self._wanted.recipe, tar, _BUILD_SECONDS_MAX, self._heard)

    def _by_engine(self, way: images.EngineWay, instead: str) -> str:
        until = time.monotonic() + _BUILD_SECONDS_MAX
        tar = self._wanted.context.tar(instead)
        # Leaving this loop early closes the connection; the engine then ends the build and removes its container.
        for said in images.build(self._client, self._order(instead), tar, way, _QUIET_SECONDS_MAX):
            if said.error:
                return said.error
            self._heard(said.text)
            if time.monotonic() > until:
                return f"not done in {_BUILD_SECONDS_MAX:.0f} s"
        return ""

    def _order(self, instead: str) -> BuildOrder:
        recipe, context = self._wanted.recipe, self._wanted.context
        bases = context.instructions.bases(recipe.args, recipe.target, recipe.platform, recipe.contexts)
        logins = {login.registry: login for login in map(login_for, bases) if login is not None}
        return BuildOrder(
            self._wanted.tag,
            GIVEN if instead else context.dockerfile,
            recipe.args,
            {IMAGE_LABEL: "1", RECIPE_LABEL: self._wanted.recipe_id},
            recipe.target,
            recipe.platform,
            tuple(logins.values()),
        )

    def _heard(self, line: str) -> None:
        line = without_values(line, self._values)
        self._log.append(line)
        self._say(line)

    def _failed(self, reason: str) -> ImageError:
        shown = "\n  ".join([line for line in self._log if line.strip()][-_LAST_LINES:])
        reason = without_values(reason, self._values)
        place = self._wanted.context.place
        return ImageError(f"{self._wanted.tag} does not build: {reason}\n  {shown}\ncorrect {place}")


def labelled(context: Context) -> str:
    """The Dockerfile with our label at the begin of each stage.

    The engine's first builder leaves every step as an image, those of a build that failed too; so they can be told.
    """
    lines = context.dockerfile_text.splitlines()
    for number in reversed(context.instructions.froms()):
        lines.insert(number, f"LABEL {IMAGE_LABEL}=1")
    return "\n".join([*lines, ""])


def without_syntax(context: Context) -> str:
    """The Dockerfile without its line that asks for Docker's own frontend; "" where it asks for none, or another's."""
    if not context.instructions.has_official_syntax:
        return ""
    lines = context.dockerfile_text.splitlines()
    lines[context.instructions.syntax_line - 1] = "#"
    return "\n".join([*lines, ""])


def without_values(text: str, args: Mapping[str, str]) -> str:
    """Blank out the values of build arguments, which may be secrets."""
    for value in sorted(filter(None, args.values()), key=len, reverse=True):
        # a value as short as "1" or "15" is blanked only where it stands alone, lest nothing is left to read
        text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)" if len(value) < 4 else re.escape(value), "***", text)
    return text


def _name_of(service: Service, stack: str) -> str:
    return "-".join(filter(None, (stack, service.name)))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "image"

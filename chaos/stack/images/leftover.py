"""Images that nobody needs any more: those of earlier edits, and all of them when the user wants none.

Each edit of a service makes an image of its own, some hundred megabytes each. Once there is a newer one of the same
recipe (the same folder, Dockerfile, arguments and target), the earlier one goes, unless a living run uses it. Other
stacks, other arguments and other checkouts have other recipes, and their images stay.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable

from chaos.stack.cache import unused
from chaos.stack.engine import images
from chaos.stack.engine.client import Engine
from chaos.stack.engine.identity import BASE_LABEL, IMAGE_LABEL, RECIPE_LABEL
from chaos.stack.images.base import BASE
from chaos.stack.spec import Build

_OURS = re.compile(r"^(?:docker\.io/|localhost/)?(holdfast/.*)$")
"""Names that Holdfast gives; some engines put a registry before them."""
_DIGEST_CHARACTERS = 16


def recipe_id(recipe: Build, name: str) -> str:
    """What stays the same when files are edited; `name` tells Dockerfiles apart that are in Compose files."""
    parts = [str(recipe.context), recipe.dockerfile, sorted(recipe.args.items()), recipe.target, recipe.platform]
    parts += [name] if recipe.inline else []
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_DIGEST_CHARACTERS]


def remove_earlier(client: Engine, recipes: Iterable[str], kept: Iterable[str]) -> list[str]:
    """Remove the images of earlier edits.

    Args:
        client: The engine.
        recipes: Their ids, of the images that are there now.
        kept: The images that are there now, by id.

    Returns:
        The names of what was removed.

    Raises:
        EngineError: The engine refused.
    """
    ids, removed = set(kept), list[str]()
    for recipe in sorted(set(recipes)):
        for image in images.labelled(client, f"{RECIPE_LABEL}={recipe}"):
            if image.id not in ids:
                removed += [tag for tag in image.tags if _removed(client, tag)]
    return removed


def sweep_images(client: Engine) -> list[str]:
    """Remove every image that Holdfast has built, and the base that it has made.

    One that is in use stays: a living run's, or that of a container that is not ours to remove.

    Returns:
        The names of what was removed; of an image without one, its id.

    Raises:
        EngineError: The engine refused.
    """
    removed = sweep_built(client, f"{IMAGE_LABEL}=1")
    base = images.find(client, BASE)
    if base is not None and BASE_LABEL in base.labels and images.remove(client, BASE):
        removed.append(BASE)
    return removed


def all_of_ours(client: Engine) -> list[images.Image]:
    """Every image that Holdfast has built, and the base where it has made that.

    Raises:
        EngineError: The engine refused.
    """
    base = images.find(client, BASE)
    made = [base] if base is not None and BASE_LABEL in base.labels else []
    return [*images.labelled(client, f"{IMAGE_LABEL}=1"), *made]


def sweep_built(client: Engine, label: str) -> list[str]:
    """Remove the images with a label that Holdfast has built, with the steps of builds, of those that failed, too."""
    found = images.labelled(client, label)
    removed = [tag for image in found for tag in image.tags if _removed(client, tag)]
    # a step goes only after what was built on it, so the last ones are removed again and again
    while gone := [
        image.id
        for image in images.labelled(client, label, with_steps=True)
        if not image.tags and images.remove(client, image.id)
    ]:
        removed += gone
    return removed


def _removed(client: Engine, tag: str) -> bool:
    ours = _OURS.match(tag)
    if ours is None:
        return False  # somebody has given it a name of their own
    with unused(ours[1]) as is_unused:
        return is_unused and images.remove(client, tag)

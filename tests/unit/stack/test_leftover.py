"""Images that nobody needs any more. The engine here is a stand-in: images by id, with tags, labels and a parent."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from chaos.stack.cache import in_use
from chaos.stack.engine import images
from chaos.stack.engine.client import Engine
from chaos.stack.engine.images import Image
from chaos.stack.images.leftover import recipe_id, remove_earlier, sweep_built, sweep_images
from chaos.stack.spec import Build


@dataclass
class Kept:
    tags: list[str]
    labels: dict[str, str]
    parent: str = ""


@dataclass
class Place:
    """An engine's images; `needed` are those that a container has."""

    images: dict[str, Kept] = field(default_factory=dict)
    needed: set[str] = field(default_factory=set)

    def labelled(self, client: object, label: str, *, with_steps: bool = False) -> list[Image]:
        name, _, value = label.partition("=")
        parents = {each.parent for each in self.images.values()}
        return [
            Image(key, tuple(each.tags), each.labels)
            for key, each in self.images.items()
            if each.labels.get(name) == value and (with_steps or each.tags or key not in parents)
        ]

    def find(self, client: object, name: str) -> Image | None:
        found = [(key, each) for key, each in self.images.items() if name in each.tags]
        return Image(found[0][0], tuple(found[0][1].tags), found[0][1].labels) if found else None

    def remove(self, client: object, name: str) -> bool:
        key = next((key for key, each in self.images.items() if name in (key, *each.tags)))
        has_children = any(each.parent == key for each in self.images.values())
        if key in self.needed or (has_children and not self.images[key].tags):
            return False
        self.images[key].tags = [tag for tag in self.images[key].tags if tag != name]
        if not self.images[key].tags and not has_children:
            del self.images[key]
        return True


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Place:
    made = Place()
    for name in ("labelled", "find", "remove"):
        monkeypatch.setattr(images, name, getattr(made, name))
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path))
    return made


CLIENT: Engine = None  # type: ignore[assignment]
OURS = {"holdfast.image": "1"}


def built(recipe: str, *tags: str) -> Kept:
    return Kept(list(tags), {**OURS, "holdfast.recipe": recipe})


def test_what_was_built_from_earlier_files_goes_and_nothing_else(place: Place) -> None:
    place.images = {
        "old": built("r", "holdfast/x:1"),
        "new": built("r", "holdfast/x:2", "holdfast/y:2"),
        "other": built("s", "holdfast/x:3"),
        "pulled": Kept(["postgres:15"], {}),
    }
    assert remove_earlier(CLIENT, ["r"], ["new"]) == ["holdfast/x:1"]
    assert set(place.images) == {"new", "other", "pulled"}


def test_an_image_that_a_living_run_uses_stays(place: Place) -> None:
    place.images = {"old": built("r", "docker.io/holdfast/x:1"), "older": built("r", "docker.io/holdfast/x:0")}
    with in_use("holdfast/x:1"), in_use("holdfast/x:1"):
        assert remove_earlier(CLIENT, ["r"], []) == ["docker.io/holdfast/x:0"]
    assert remove_earlier(CLIENT, ["r"], []) == ["docker.io/holdfast/x:1"]


def test_an_image_that_a_container_needs_and_one_with_a_name_of_the_users_own_stay(place: Place) -> None:
    place.images = {"old": built("r", "holdfast/x:1"), "named": built("r", "mine:1", "holdfast/x:2")}
    place.needed = {"old"}
    assert remove_earlier(CLIENT, ["r"], []) == ["holdfast/x:2"]
    assert place.images["named"].tags == ["mine:1"]
    assert "old" in place.images


def test_clean_takes_steps_of_failed_builds_after_what_was_built_on_them(place: Place) -> None:
    place.images = {
        "1": Kept([], OURS),
        "2": Kept([], OURS, "1"),
        "3": Kept([], OURS, "2"),
        "whole": Kept(["holdfast/x:1"], OURS, "1"),
        "foreign": Kept([], {}),
    }
    assert sorted(sweep_built(CLIENT, "holdfast.image=1")) == ["1", "2", "3", "holdfast/x:1"]
    assert set(place.images) == {"foreign"}


def test_clean_takes_the_base_only_where_holdfast_made_it(place: Place) -> None:
    place.images = {"base": Kept(["debian:bookworm-slim"], {})}
    assert sweep_images(CLIENT) == []
    place.images = {"base": Kept(["debian:bookworm-slim"], {"holdfast.base": "1"})}
    assert sweep_images(CLIENT) == ["debian:bookworm-slim"]
    place.images = {"child": Kept(["mine:1"], {"holdfast.base": "1"}, "base")}
    assert sweep_images(CLIENT) == []


def test_a_recipe_is_where_an_image_is_built_from_and_with_what(tmp_path: Path) -> None:
    recipe = Build(tmp_path, args={"A": "1"})
    others = [
        Build(tmp_path / "x", args={"A": "1"}),
        Build(tmp_path, "Other", {"A": "1"}),
        Build(tmp_path, args={"A": "2"}),
        Build(tmp_path, args={"A": "1"}, target="t"),
        Build(tmp_path, args={"A": "1"}, platform="linux/arm64"),
    ]
    assert len({recipe_id(each, "holdfast/x") for each in (recipe, *others)}) == 6
    assert recipe_id(recipe, "holdfast/x") == recipe_id(recipe, "holdfast/y"), "services may share a recipe"
    inline = Build(tmp_path, inline="FROM a")
    assert recipe_id(inline, "holdfast/x") == recipe_id(Build(tmp_path, inline="FROM b"), "holdfast/x")
    assert recipe_id(inline, "holdfast/x") != recipe_id(inline, "holdfast/y")

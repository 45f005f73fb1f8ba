"""Images: found by digest, never told a secret. The engine here is a stand-in of a few lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import docker
import docker.errors
import pytest
import requests

from chaos.errors import ImageError
from chaos.stack.images.images import ImageRef, build, ensure_image, without_values
from chaos.stack.spec import Build, Service

SECRET = "pass-phrase-42"


def not_found() -> docker.errors.ImageNotFound:
    response = requests.Response()
    response.status_code = 404
    return docker.errors.ImageNotFound("none", response=response, explanation="none")


@dataclass
class Engine:
    """Has images by name; builds what it is asked to build, or says the given lines."""

    there: dict[str, str]
    lines: list[dict[str, str]] = field(default_factory=list)
    pullable: bool = False
    built: list[dict[str, Any]] = field(default_factory=list)

    @property
    def client(self) -> docker.DockerClient:
        api = SimpleNamespace(build=self._build, pull=self._pull)
        return cast("docker.DockerClient", SimpleNamespace(api=api, images=SimpleNamespace(get=self._get)))

    def _get(self, name: str) -> SimpleNamespace:
        if name not in self.there:
            raise not_found()
        return SimpleNamespace(id=self.there[name])

    def _build(self, **asked: Any) -> Iterator[dict[str, str]]:
        self.built.append(asked)
        yield from self.lines
        if not any("error" in line for line in self.lines):
            self.there[asked["tag"]] = "sha256:made"

    def _pull(self, repository: str, tag: str | None, **_: Any) -> Iterator[dict[str, str]]:
        if self.pullable:
            self.there[f"{repository}:{tag}"] = "sha256:pulled"
            yield {"status": "done"}
        else:
            yield {"error": "no route to the registry"}


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def recipe(tmp_path: Path) -> Build:
    folder = tmp_path / "gateway"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM debian:bookworm-slim\nARG TOKEN\nRUN make\n")
    return Build(context=folder, args={"TOKEN": SECRET})


def test_an_image_is_built_once_for_the_same_files(recipe: Build) -> None:
    engine = Engine({"debian:bookworm-slim": "sha256:base"})
    first = ensure_image(engine.client, Service("gateway", build=recipe), "Mini Stack")
    again = ensure_image(engine.client, Service("gateway", build=recipe), "Mini Stack")
    assert first == again
    assert first.id == "sha256:made"
    assert first.tag.startswith("holdfast/mini-stack-gateway:")
    assert len(engine.built) == 1
    assert engine.built[0]["labels"] == {"holdfast.image": "1"}


def test_another_base_argument_or_file_makes_another_image(recipe: Build) -> None:
    engine = Engine({"debian:bookworm-slim": "sha256:base"})
    tags = {build(engine.client, recipe, "gateway").tag}
    engine.there["debian:bookworm-slim"] = "sha256:other"
    tags.add(build(engine.client, recipe, "gateway").tag)
    tags.add(build(engine.client, Build(context=recipe.context, args={"TOKEN": "x"}), "gateway").tag)
    (recipe.context / "new.py").write_text("")
    tags.add(build(engine.client, recipe, "gateway").tag)
    assert len(tags) == 4


def test_no_tag_holds_the_value_of_an_argument(recipe: Build) -> None:
    engine = Engine({"debian:bookworm-slim": "sha256:base"})
    assert SECRET not in build(engine.client, recipe, "gateway").tag


def test_a_failed_build_shows_its_last_lines_without_the_arguments_values(recipe: Build) -> None:
    lines = [{"stream": f"line {number} of {SECRET}\n"} for number in range(30)]
    engine = Engine({"debian:bookworm-slim": "sha256:base"}, [*lines, {"error": f"'make {SECRET}' returned 2"}])
    with pytest.raises(ImageError) as caught:
        build(engine.client, recipe, "gateway")
    text = str(caught.value)
    assert SECRET not in text
    assert "does not build: 'make ***' returned 2" in text
    assert "line 9 of" not in text
    assert "line 10 of ***" in text
    assert text.endswith(f"correct {recipe.context / 'Dockerfile'}")


def test_short_values_are_blanked_only_where_they_stand_alone() -> None:
    assert without_values("version 15 of 2015, 1 of 15x", {"A": "15", "B": "1", "C": ""}) == (
        "version *** of 2015, *** of 15x"
    )


def test_a_local_image_is_used_as_it_is() -> None:
    engine = Engine({"postgres:15": "sha256:pg"})
    assert ensure_image(engine.client, Service("db", image="postgres:15")) == ImageRef("sha256:pg", "postgres:15")


def test_an_image_that_is_not_there_is_pulled() -> None:
    engine = Engine({}, pullable=True)
    assert ensure_image(engine.client, Service("db", image="postgres:15")).id == "sha256:pulled"


def test_an_image_that_cannot_be_had_is_an_error_with_the_remedy() -> None:
    expected = r"image postgres:15 of service db .* no route to the registry; correct its name, .*`docker load`"
    with pytest.raises(ImageError, match=expected):
        ensure_image(Engine({}).client, Service("db", image="postgres:15"))

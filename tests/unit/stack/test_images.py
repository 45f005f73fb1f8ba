"""Images: found by digest, never told a secret. The engine here is a stand-in of a few lines."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, cast

import docker.errors
import pytest
import requests

from chaos.errors import EngineError, ImageError
from chaos.stack.engine import images as engine_images
from chaos.stack.engine.client import Engine
from chaos.stack.images import images as module
from chaos.stack.images.builders import Command
from chaos.stack.images.context import Context
from chaos.stack.images.images import (
    ImageRef,
    build,
    ensure_image,
    find_built,
    labelled,
    require_builders,
    without_syntax,
    without_values,
)
from chaos.stack.images.pulling import pull
from chaos.stack.spec import Build, Service

SECRET = "pass-phrase-42"
BASE = "debian:bookworm-slim"


@dataclass
class Answer:
    """An HTTP answer of JSON lines."""

    lines: list[dict[str, Any]]
    status_code: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.status_code < 400

    def iter_lines(self, chunk_size: int | None) -> Iterator[bytes]:
        for line in self.lines:
            if "broken" in line:
                raise requests.exceptions.ConnectionError("Read timed out.")
            yield json.dumps(line).encode()

    def json(self) -> Any:
        return self.lines[0]

    def close(self) -> None:
        pass


@dataclass
class Place:
    """An engine with images by name; it builds what it is asked to build, or says the given lines."""

    there: dict[str, str]
    lines: list[dict[str, Any]] = field(default_factory=list)
    pullable: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    built: list[dict[str, Any]] = field(default_factory=list)
    sent: list[dict[str, str]] = field(default_factory=list)

    @property
    def client(self) -> Engine:
        api = SimpleNamespace(post=self._post, get=self._ask, base_url="http://engine", api_version="1.50", timeout=1)
        return cast("Engine", SimpleNamespace(api=api, images=SimpleNamespace(get=self._get)))

    def _get(self, name: str) -> SimpleNamespace:
        if name not in self.there:
            response = requests.Response()
            response.status_code = 404
            raise docker.errors.ImageNotFound("none", response=response, explanation="none")
        return SimpleNamespace(attrs={"Id": self.there[name]})

    def _ask(self, url: str, **_: Any) -> Answer:
        return Answer([], headers=self.headers)

    def _post(
        self, url: str, params: dict[str, str], headers: dict[str, str], data: IO[bytes] | None, **_: Any
    ) -> Answer:
        self.sent.append(headers)
        if url == "http://engine/v1.50/build":
            self.built.append(params)
            if not any("error" in line for line in self.lines):
                self.there[params["t"]] = "sha256:made"
            return Answer(self.lines)
        assert url == "http://engine/v1.50/images/create"
        if not self.pullable:
            return Answer([{"message": "no route to the registry"}], 500)
        self.there[f"{params['fromImage']}:{params['tag']}"] = "sha256:pulled"
        return Answer(self.lines or [{"status": "done"}])


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setattr(module, "find_command", lambda: None)


@pytest.fixture
def recipe(tmp_path: Path) -> Build:
    folder = tmp_path / "gateway"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM debian:bookworm-slim\nARG TOKEN\nRUN make\n")
    return Build(context=folder, args={"TOKEN": SECRET})


def test_an_image_is_built_once_for_the_same_files(recipe: Build) -> None:
    engine = Place({"debian:bookworm-slim": "sha256:base"})
    first = ensure_image(engine.client, Service("gateway", build=recipe), "Mini Stack")
    again = ensure_image(engine.client, Service("gateway", build=recipe), "Mini Stack")
    assert first == again
    assert first.id == "sha256:made"
    assert first.tag.startswith("holdfast/mini-stack-gateway:")
    assert len(engine.built) == 1
    assert json.loads(engine.built[0]["labels"]) == {"holdfast.image": "1", "holdfast.recipe": first.recipe}
    assert find_built(engine.client, recipe, "Mini Stack-gateway") == first
    assert find_built(engine.client, recipe, "other") is None


def test_another_base_argument_or_file_makes_another_image(recipe: Build) -> None:
    engine = Place({"debian:bookworm-slim": "sha256:base"})
    tags = {build(engine.client, recipe, "gateway").tag}
    engine.there["debian:bookworm-slim"] = "sha256:other"
    tags.add(build(engine.client, recipe, "gateway").tag)
    tags.add(build(engine.client, Build(context=recipe.context, args={"TOKEN": "x"}), "gateway").tag)
    (recipe.context / "new.py").write_text("")
    tags.add(build(engine.client, recipe, "gateway").tag)
    assert len(tags) == 4


def test_no_tag_holds_the_value_of_an_argument(recipe: Build) -> None:
    engine = Place({"debian:bookworm-slim": "sha256:base"})
    assert SECRET not in build(engine.client, recipe, "gateway").tag


def test_a_failed_build_shows_its_last_lines_without_the_arguments_values(recipe: Build) -> None:
    lines = [{"stream": f"line {number} of {SECRET}\n"} for number in range(30)]
    engine = Place({"debian:bookworm-slim": "sha256:base"}, [*lines, {"error": f"'make {SECRET}' returned 2"}])
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
    engine = Place({"postgres:15": "sha256:pg"})
    assert ensure_image(engine.client, Service("db", image="postgres:15")) == ImageRef("sha256:pg", "postgres:15")


def test_an_image_that_is_not_there_is_pulled() -> None:
    engine = Place({}, pullable=True)
    assert ensure_image(engine.client, Service("db", image="postgres:15")).id == "sha256:pulled"


def test_an_image_that_cannot_be_had_is_an_error_with_the_remedy() -> None:
    expected = r"image postgres:15 of service db .* no route to the registry; correct its name, log in .*`docker load`"
    with pytest.raises(ImageError, match=expected):
        ensure_image(Place({}).client, Service("db", image="postgres:15"))


def test_what_is_said_is_passed_on_while_it_is_built_and_pulled(recipe: Build) -> None:
    said = list[str]()
    engine = Place({BASE: "sha256:base"}, [{"stream": f"Step 1 : {SECRET}\n"}, {"stream": "done\n"}])
    build(engine.client, recipe, "gateway", said.append)
    assert said == ["Step 1 : ***", "done"]
    said.clear()
    progress = [("a", 1_000_000, 4_000_000), ("b", 3_000_000, 5_000_000), ("a", 4_000_000, 4_000_000)]
    lines: list[dict[str, Any]] = [{"status": "Pulling from x", "id": "15"}]
    lines += [
        {"status": "Downloading", "id": layer, "progressDetail": {"current": done, "total": total}}
        for layer, done, total in progress
    ]
    assert pull(Place({}, lines, pullable=True).client, "postgres:15", say=said.append) == ""
    assert said == [
        "pulling postgres:15: 15 pulling from x",
        "pulling postgres:15: downloading 1 of 4 MB",
        "pulling postgres:15: downloading 4 of 9 MB",
        "pulling postgres:15: downloading 7 of 9 MB",
    ]


def test_a_pull_and_a_build_are_by_the_users_login(recipe: Build, tmp_path: Path) -> None:
    (tmp_path / "docker").mkdir()
    auths = {"a.example": {"auth": "YWRhOnBhc3MtcGhyYXNlLTQy"}}
    (tmp_path / "docker" / "config.json").write_text(json.dumps({"auths": auths}))
    engine = Place({"b.example/y:1": "sha256:y"}, pullable=True)
    (recipe.context / "Dockerfile").write_text("FROM a.example/x:1\nCOPY --from=b.example/y:1 / /\n")
    build(engine.client, recipe, "gateway")
    pulled, built = engine.sent
    assert decoded(pulled["X-Registry-Auth"])["password"] == SECRET
    assert decoded(built["X-Registry-Config"])["a.example"]["username"] == "ada"
    assert pull(engine.client, "c.example/z") == ""
    assert "X-Registry-Auth" not in engine.sent[-1]


def decoded(header: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(header))


def test_a_pull_that_fails_names_the_helper_that_could_not_be_asked(tmp_path: Path) -> None:
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "config.json").write_text('{"credsStore": "nowhere"}')
    said = pull(Place({}).client, "postgres:15")
    assert said == "no route to the registry; docker-credential-nowhere is not installed"


def test_an_engine_that_falls_silent_is_told(recipe: Build) -> None:
    engine = Place({BASE: "sha256:base"}, [{"stream": "Step 1\n"}, {"broken": "yes"}])
    with pytest.raises(EngineError, match=r"building holdfast/gateway:\w+: the engine gave no answer in time"):
        build(engine.client, recipe, "gateway")


def test_what_nobody_can_build_is_refused_before_anything_is_built(recipe: Build, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "Dockerfile").write_text(f"FROM {BASE}\nRUN --mount=type=ssh true\n")
    (recipe.context / "Dockerfile").write_text(f"FROM {BASE}\n\nRUN <<EOT\ntrue\nEOT\n")
    engine = Place({BASE: "sha256:base"})
    services = [Service("a", build=recipe), Service("b", build=Build(other)), Service("c", image="x")]
    with pytest.raises(ImageError) as caught:
        require_builders(engine.client, services, "mini")
    assert f"{recipe.context}/Dockerfile:3: RUN <<EOT needs BuildKit" in str(caught.value)
    assert f"{other}/Dockerfile:2: RUN --mount needs BuildKit" in str(caught.value)
    with pytest.raises(ImageError, match="RUN <<EOT needs BuildKit"):
        build(engine.client, recipe, "gateway")
    assert engine.built == []


def test_what_is_built_already_needs_no_builder(recipe: Build) -> None:
    (recipe.context / "Dockerfile").write_text(f"FROM {BASE}\nRUN <<EOT\ntrue\nEOT\n")
    engine = Place({BASE: "sha256:base"}, headers={"Builder-Version": "2"})
    build(engine.client, recipe, "mini-gateway")
    engine.headers.clear()
    require_builders(engine.client, [Service("gateway", build=recipe)], "mini")
    build(engine.client, recipe, "mini-gateway")
    assert len(engine.built) == 1


def test_buildkit_builds_the_dockerfile_as_it_is_and_the_engines_first_builder_one_with_labels(recipe: Build) -> None:
    engine = Place({BASE: "sha256:base"}, headers={"Builder-Version": "2"})
    build(engine.client, recipe, "gateway")
    (recipe.context / "Dockerfile").write_text(f"FROM {BASE}\nCOPY --link a b\n")
    build(engine.client, recipe, "gateway")
    first, second = engine.built
    assert ("version" in first, first["dockerfile"]) == (False, ".holdfast.Dockerfile")
    assert (second["version"], second["dockerfile"]) == ("2", "Dockerfile")


def test_each_stage_is_labelled(recipe: Build) -> None:
    (recipe.context / "Dockerfile").write_text("ARG A=b\nFROM a \\\n AS x\nRUN y\nFROM $A")
    assert labelled(Context.of(recipe)) == (
        "ARG A=b\nFROM a \\\n AS x\nLABEL holdfast.image=1\nRUN y\nFROM $A\nLABEL holdfast.image=1\n"
    )


def test_a_frontend_of_dockers_that_cannot_be_had_is_buildkits_own(recipe: Build) -> None:
    text = f"# syntax=docker/dockerfile:1\nFROM {BASE}\nCOPY --link a b\n"
    (recipe.context / "Dockerfile").write_text(text)
    assert without_syntax(Context.of(recipe)) == text.replace("# syntax=docker/dockerfile:1", "#")
    engine = Place({BASE: "sha256:base"}, [{"error": "docker.io/docker/dockerfile:1: no such host"}])
    engine.headers["Builder-Version"] = "2"
    with pytest.raises(ImageError):
        build(engine.client, recipe, "gateway")
    assert [each["dockerfile"] for each in engine.built] == ["Dockerfile", ".holdfast.Dockerfile"]
    engine.lines = [{"error": "exit code: 1"}]
    with pytest.raises(ImageError):
        build(engine.client, recipe, "gateway")
    assert len(engine.built) == 3, "it had been had"
    (recipe.context / "Dockerfile").write_text(text.replace("dockerfile:1", "dockerfile:1-labs"))
    engine.lines = [{"error": "docker.io/docker/dockerfile:1-labs: no such host"}]
    with pytest.raises(ImageError):
        build(engine.client, recipe, "gateway")
    assert len(engine.built) == 4, "BuildKit has none of those built in"


def test_secrets_of_a_build_are_the_commands_and_blanked_out(
    recipe: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_command(*given: Any) -> str:
        given[-1](f"it says {SECRET} and other-secret")
        return f"no {SECRET}"

    monkeypatch.setattr(module, "find_command", lambda: Command(has_buildx=True))
    monkeypatch.setattr(module, "build_by_command", by_command)
    (tmp_path / "file").write_text(f"{SECRET}\n")
    secret = Build(recipe.context, secrets={"a": tmp_path / "file"}, secret_texts={"b": b"other-secret"})
    with pytest.raises(ImageError, match=r"does not build: no \*\*\*\n  it says \*\*\* and \*\*\*\n"):
        build(Place({BASE: "sha256:base"}).client, secret, "gateway")


def test_a_further_context_and_an_image_that_is_copied_from_make_another_image(recipe: Build, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (recipe.context / "Dockerfile").write_text(f"FROM {BASE}\nCOPY --from=x:1 / /\n")
    engine, tags = Place({BASE: "sha256:base", "x:1": "1"}), list[str]()
    tags.append(build(engine.client, recipe, "gateway").tag)
    engine.there["x:1"] = "2"
    tags.append(build(engine.client, recipe, "gateway").tag)
    for text in ("1", "2"):
        (other / "file").write_text(text)
        tags.append(module._wanted(Build(recipe.context, contexts={"o": str(other)}), "gateway", lambda *_: "").tag)
    assert len(set(tags)) == 4


@pytest.mark.parametrize(
    ("headers", "info", "abilities"),
    [
        ({"Builder-Version": "1"}, {}, engine_images.Abilities((1, 50))),
        ({"Builder-Version": "2"}, {}, engine_images.Abilities((1, 50), buildkit=True)),
        (
            {"Libpod-API-Version": "5.8.0"},
            {"host": {"buildahVersion": "1.43.2"}},
            engine_images.Abilities((1, 50), buildah=(1, 43)),
        ),
        ({"Libpod-API-Version": "5.8.0"}, {"cause": "x"}, engine_images.Abilities((1, 50), buildah=(1, 0))),
    ],
)
def test_the_engine_is_asked_what_it_builds_with(
    headers: dict[str, str], info: Any, abilities: engine_images.Abilities
) -> None:
    def get(url: str, **_: Any) -> Answer:
        assert url in ("http://engine/_ping", "http://engine/v5.8.0/libpod/info")
        return Answer([info], headers=headers)

    api = SimpleNamespace(get=get, base_url="http://engine", api_version="1.50", timeout=1)
    assert engine_images.abilities(cast("Engine", SimpleNamespace(api=api))) == abilities

"""Images on the real engine: built once, also by two at a time, by the user's login; none left that nobody needs."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import docker
import pytest

from chaos.errors import ImageError
from chaos.stack.engine import images
from chaos.stack.engine.client import connect
from chaos.stack.engine.identity import IMAGE_LABEL, RUN_LABEL
from chaos.stack.engine.images import abilities, image_id
from chaos.stack.images.base import BASE, ensure_base
from chaos.stack.images.command import find_command
from chaos.stack.images.images import build, ensure_agent_image, ensure_image, find_agent_image, require_builders
from chaos.stack.images.leftover import remove_earlier, sweep_built
from chaos.stack.spec import Build, Service
from tests.contract.registry import registry

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def client() -> Iterator[docker.DockerClient]:
    with closing(connect()) as client:
        yield client


@pytest.fixture
def own(client: docker.DockerClient) -> Iterator[str]:
    """A word that is the label of all that a test builds, by which it is removed."""
    made = uuid.uuid4().hex
    yield made
    sweep_built(client, f"holdfast.contract={made}")


@pytest.fixture
def recipe(own: str, tmp_path: Path) -> Build:
    text = f"FROM {BASE}\nLABEL holdfast.contract={own}\nARG TOKEN\nCOPY file /file-{own}\nRUN test -s /file-{own}\n"
    (tmp_path / "Dockerfile").write_text(text)
    (tmp_path / "file").write_text(own)
    return Build(context=tmp_path, args={"TOKEN": "pass-phrase-42"})


def containers(client: docker.DockerClient) -> set[str]:
    """Those over the base image that belong to no run: a build's containers carry no run's label, other work's do."""
    found = client.api.containers(all=True, filters={"ancestor": BASE})
    return {each["Id"] for each in found if RUN_LABEL not in (each.get("Labels") or {})}


def test_the_base_image_is_there_and_stays_the_same(client: docker.DockerClient) -> None:
    assert ensure_base(client) == ensure_base(client) == image_id(client, BASE)


def test_the_agents_image_is_found_once_it_is_built(client: docker.DockerClient) -> None:
    built = ensure_agent_image(client)
    assert find_agent_image(client) == built


def test_two_at_a_time_get_one_image(client: docker.DockerClient, recipe: Build) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: build(client, recipe, "contract-test"), range(2))
    assert first == second
    assert client.images.get(first.id).labels[IMAGE_LABEL] == "1"


def test_a_build_that_fails_says_why_and_leaves_no_container_and_no_step(
    client: docker.DockerClient, recipe: Build, own: str
) -> None:
    (recipe.context / "file").write_text("")
    before, said = containers(client), list[str]()
    with pytest.raises(ImageError, match=r"(?s)does not build: .*RUN test -s") as caught:
        build(client, recipe, "contract-test", said.append)
    assert "pass-phrase-42" not in str(caught.value)
    assert containers(client) <= before
    assert any("COPY file" in line for line in said), "what is built is told while it is built"
    label = f"holdfast.contract={own}"
    steps = images.labelled(client, label, with_steps=True)
    assert steps, "the engine keeps steps of what failed"
    assert {each.labels[IMAGE_LABEL] for each in steps} == {"1"}, "and each can be told to be ours"
    sweep_built(client, label)
    assert images.labelled(client, label, with_steps=True) == []


def test_a_dockerfile_outside_its_context_builds(client: docker.DockerClient, recipe: Build, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (recipe.context / "file").rename(context / "file")
    outside = Build(context, str(recipe.context / "Dockerfile"))
    assert build(client, outside, "contract-test").id


def test_the_image_of_an_earlier_edit_goes_once_no_run_uses_it(client: docker.DockerClient, recipe: Build) -> None:
    with ExitStack() as run:
        earlier = build(client, recipe, "contract-test", using=run)
        (recipe.context / "file").write_text("edited")
        now = build(client, recipe, "contract-test")
        assert earlier.recipe == now.recipe
        assert remove_earlier(client, [now.recipe], [now.id]) == []
    [removed] = remove_earlier(client, [now.recipe], [now.id])
    assert removed.endswith(earlier.tag)
    assert image_id(client, earlier.id) == ""
    assert image_id(client, now.tag) == now.id


def test_an_image_of_a_private_registry_is_had_by_the_users_login_for_itself_and_for_a_build(
    client: docker.DockerClient, own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if abilities(client).buildah != (0, 0):
        pytest.skip("Podman asks a registry of this host by TLS alone")
    (tmp_path / "login").mkdir()
    (tmp_path / "context").mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "login"))
    with registry(own) as place, ExitStack() as after:
        service = Service("db", image=place.image)
        with pytest.raises(ImageError, match=r"private/one:1 of service db .* cannot be pulled: .*log in with"):
            ensure_image(client, service)
        assert place.refused
        helper = tmp_path / "docker-credential-contract"
        said = json.dumps({"ServerURL": place.address, "Username": place.username, "Secret": place.password})
        helper.write_text(f"#!/bin/sh\ncat > /dev/null\necho '{said}'\n")
        helper.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        (tmp_path / "login" / "config.json").write_text(json.dumps({"credHelpers": {place.address: "contract"}}))
        (tmp_path / "context" / "Dockerfile").write_text(f"FROM {place.image}\nCOPY --from={place.image} / /again/\n")
        built = build(client, Build(tmp_path / "context"), "contract-test")
        after.callback(images.remove, client, place.image)
        assert ensure_image(client, service).id == image_id(client, place.image)
        found = images.find(client, built.id)
        assert found is not None
        assert found.labels["holdfast.contract"] == own


BUILDKIT = """\
FROM {base} AS one
LABEL holdfast.contract={own}
COPY --chmod=700 file /file
ARG TARGETARCH
RUN --mount=type=bind,source=file,target=/seen <<EOT
    [ "$(stat -c %a /file)" = 700 ] && [ -n "$TARGETARCH" ] && cat /seen > /copied
EOT
COPY <<-END /written
	FROM nothing
	END
FROM {base}
LABEL holdfast.contract={own}
COPY --link --from=one /copied /written /
RUN grep -q {own} /copied && grep -q '^FROM nothing$' /written
"""


@pytest.mark.parametrize("syntax", ["", "# syntax=docker/dockerfile:1\n"], ids=["built-in", "syntax"])
def test_what_buildkit_brought_builds_or_is_refused_by_its_line(
    client: docker.DockerClient, recipe: Build, own: str, syntax: str
) -> None:
    (recipe.context / "Dockerfile").write_text(syntax + BUILDKIT.format(base=BASE, own=own))
    can, command = abilities(client), find_command()
    if can.buildah >= (1, 41) or (can.buildah == (0, 0) and can.api >= (1, 42) and (can.buildkit or command)):
        said = list[str]()
        assert build(client, recipe, "contract-test", said.append).id
        assert any("COPY --link" in line for line in said)
        return
    if syntax and command is not None:
        pytest.skip("whether an old BuildKit gets the frontend is up to a registry")
    line = f"{recipe.context / 'Dockerfile'}:{5 + bool(syntax)}: RUN <<EOT needs "
    with pytest.raises(ImageError) as caught:
        require_builders(client, [Service("x", build=recipe)])
    assert line in str(caught.value)
    with pytest.raises(ImageError, match="RUN <<EOT needs "):
        build(client, recipe, "contract-test")
    assert images.labelled(client, f"holdfast.contract={own}", with_steps=True) == [], "nothing was built"


def test_secrets_and_further_contexts_reach_a_build_by_the_command_or_are_refused_by_name(
    client: docker.DockerClient, recipe: Build, own: str, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "theirs").write_text(own)
    (recipe.context / "Dockerfile").write_text(
        f"FROM {BASE}\nLABEL holdfast.contract={own}\nCOPY --from=other theirs /theirs\n"
        "RUN --mount=type=secret,id=a --mount=type=secret,id=b cmp /theirs /run/secrets/a && cat /run/secrets/b\n"
    )
    given = Build(
        recipe.context,
        secrets={"a": tmp_path / "other" / "theirs"},
        secret_texts={"b": b"pass-phrase-42"},
        contexts={"other": str(tmp_path / "other")},
    )
    can, command, said = abilities(client), find_command(), list[str]()
    if can.buildah == (0, 0) and can.api >= (1, 42) and command is not None and command.contexts:
        assert build(client, given, "contract-test", said.append).id
        assert not [line for line in said if "pass-phrase-42" in line]
    else:
        with pytest.raises(ImageError, match=r"build\.additional_contexts needs"):
            build(client, given, "contract-test")

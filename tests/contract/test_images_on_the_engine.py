"""Images on the real engine: built once, also by two at a time, and nothing left of a build that fails."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import docker
import pytest

from chaos.errors import ImageError
from chaos.stack.engine.client import connect
from chaos.stack.engine.identity import RUN_LABEL
from chaos.stack.images.base import BASE, ensure_base, image_id
from chaos.stack.images.images import IMAGE_LABEL, build, ensure_agent_image, find_agent_image
from chaos.stack.spec import Build

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def client() -> Iterator[docker.DockerClient]:
    with closing(connect()) as client:
        yield client


@pytest.fixture
def recipe(client: docker.DockerClient, tmp_path: Path) -> Iterator[Build]:
    own = uuid.uuid4().hex
    (tmp_path / "Dockerfile").write_text(f"FROM {BASE}\nARG TOKEN\nCOPY file /file-{own}\nRUN test -s /file-{own}\n")
    (tmp_path / "file").write_text(own)
    yield Build(context=tmp_path, args={"TOKEN": "pass-phrase-42"})
    for image in client.images.list(name="holdfast/contract-test"):
        client.images.remove(str(image.id), force=True)


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


def test_a_build_that_fails_says_why_and_leaves_no_container(client: docker.DockerClient, recipe: Build) -> None:
    (recipe.context / "file").write_text("")
    before = containers(client)
    with pytest.raises(ImageError, match=r"(?s)does not build: .*returned a non-zero code: 1.*RUN test -s") as caught:
        build(client, recipe, "contract-test")
    assert "pass-phrase-42" not in str(caught.value)
    assert containers(client) <= before

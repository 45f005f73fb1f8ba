"""Who builds an image, and the command by which it is built where that is the `docker` command."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.stack.engine.images import Abilities, BuildOrder
from chaos.stack.images.builders import Choice, Command, choose
from chaos.stack.images.command import arguments, environment
from chaos.stack.images.dockerfile import read_dockerfile
from chaos.stack.spec import Build

DOCKER_20 = Abilities((1, 41))
DOCKER_28 = Abilities((1, 50), buildkit=True)
BUILDX = Command(has_buildx=True)
PLAIN = "FROM a\nRUN true\n"
MOUNT = "FROM a\nRUN --mount=type=cache,target=/x true\n"
HEREDOC = "FROM a\nRUN <<EOT\ntrue\nEOT\n"


def choice(text: str, abilities: Abilities, command: Command | None = None, *keys: str) -> Choice:
    dockerfile = read_dockerfile(text)
    return choose(dockerfile, dockerfile.needs(), keys, abilities, command, "/x/Dockerfile")


@pytest.mark.parametrize("abilities", [DOCKER_20, DOCKER_28, Abilities((1, 41), buildah=(1, 28))])
def test_what_every_builder_can_do_the_engines_own_does(abilities: Abilities) -> None:
    assert choice(PLAIN, abilities, BUILDX) == Choice("engine")


def test_buildkit_is_the_commands_where_it_is_there_and_else_the_engines() -> None:
    assert choice(HEREDOC, DOCKER_28, BUILDX) == Choice("command")
    assert choice(HEREDOC, DOCKER_28) == Choice("buildkit")
    assert choice(MOUNT, DOCKER_20, BUILDX) == Choice("command")


def test_without_buildkit_each_place_is_refused_by_file_and_line() -> None:
    lines = choice("FROM a\nRUN <<EOT\nx\nEOT\nCOPY --chmod=1 a b\n", DOCKER_20).refused
    assert lines[0] == "/x/Dockerfile:2: RUN <<EOT needs BuildKit"
    assert lines[1].startswith("/x/Dockerfile:5: COPY --chmod needs BuildKit; it is not here; install docker buildx")


def test_an_old_buildkit_has_no_here_documents_unless_the_dockerfile_brings_them() -> None:
    [line] = choice(HEREDOC, DOCKER_20, BUILDX).refused
    assert line.startswith("/x/Dockerfile:2: RUN <<EOT needs a newer BuildKit; ")
    assert "# syntax=docker/dockerfile:1" in line
    assert choice(f"# syntax=docker/dockerfile:1\n{HEREDOC}", DOCKER_20, BUILDX) == Choice("command")


def test_keys_that_only_the_command_honours_are_refused_without_it() -> None:
    assert choice(PLAIN, DOCKER_28, BUILDX, "secrets", "ssh") == Choice("command")
    lines = choice(HEREDOC, DOCKER_28, None, "secrets", "ssh").refused
    assert lines[0] == "/x/Dockerfile: build.secrets needs BuildKit by the docker command"
    assert lines[1].startswith("/x/Dockerfile: build.ssh needs BuildKit by the docker command; it is not here; install")


def test_further_contexts_need_a_newer_command() -> None:
    old = Command(has_buildx=False, contexts=False)
    [line] = choice(PLAIN, DOCKER_28, old, "additional_contexts").refused
    assert line.startswith("/x/Dockerfile: build.additional_contexts needs a newer docker command than this; install")
    assert choice(PLAIN, DOCKER_28, old, "secrets") == Choice("command")


def test_an_old_buildkit_has_no_further_contexts() -> None:
    [line] = choice(PLAIN, DOCKER_20, BUILDX, "additional_contexts", "secrets").refused
    assert line.startswith("/x/Dockerfile: build.additional_contexts needs a newer BuildKit; ")
    assert choice(PLAIN, DOCKER_20, BUILDX, "secrets", "ssh") == Choice("command")


@pytest.mark.parametrize(
    ("line", "version", "is_able"),
    [
        ("RUN <<EOT\nEOT", (1, 28), False),
        ("RUN <<EOT\nEOT", (1, 33), False),
        ("RUN <<EOT\nEOT", (1, 35), True),
        ("COPY --link a b", (1, 39), False),
        ("COPY --link a b", (1, 41), True),
        ("RUN --mount=type=cache,target=/x true", (1, 28), True),
        ("COPY --chmod=1 a b", (1, 28), True),
        ("ARG TARGETARCH", (1, 28), True),
    ],
)
def test_buildah_is_asked_for_its_version(line: str, version: tuple[int, int], is_able: bool) -> None:
    found = choice(f"FROM a\n{line}\n", Abilities((1, 41), buildah=version), BUILDX)
    assert (found == Choice("engine")) == is_able
    assert is_able or found.refused[0].startswith("/x/Dockerfile:2: ")


def test_buildah_takes_no_frontend_and_no_keys_of_buildkits() -> None:
    podman = Abilities((1, 41), buildah=(1, 43))
    [frontend] = choice("# syntax=example.org/x\nFROM a\n", podman).refused
    assert "is BuildKit's, not buildah's; use a newer engine, or build the image yourself" in frontend
    [key] = choice(PLAIN, podman, BUILDX, "secrets").refused
    assert key.startswith("/x/Dockerfile: build.secrets needs BuildKit, and this engine builds with buildah")


ORDER = BuildOrder(
    "holdfast/x:1", "Dockerfile", {"TOKEN": "s3cret", "PATH": "/own"}, {"l": "1"}, "stage", "linux/arm64"
)
RECIPE = Build(
    Path("/c"),
    secrets={"file": Path("/s")},
    secret_texts={"text": b"s3cret-too"},
    ssh=("default",),
    contexts={"other": "/o"},
)


def test_no_value_of_an_argument_or_secret_is_on_the_command_line() -> None:
    line = arguments(BUILDX, ORDER, RECIPE)
    assert line[:6] == ["docker", "buildx", "build", "--builder", "default", "--load"]
    assert line[-1] == "-"
    pairs = list(zip(line[6:-1:2], line[7:-1:2], strict=True))
    assert pairs == [
        ("--progress", "plain"),
        ("--tag", "holdfast/x:1"),
        ("--file", "Dockerfile"),
        ("--label", "l=1"),
        ("--build-arg", "TOKEN"),
        ("--build-arg", "PATH=/own"),
        ("--target", "stage"),
        ("--platform", "linux/arm64"),
        ("--secret", "id=file,src=/s"),
        ("--secret", "id=text,env=HOLDFAST_SECRET_0"),
        ("--ssh", "default"),
        ("--build-context", "other=/o"),
    ]
    assert arguments(Command(has_buildx=False), ORDER, RECIPE)[:2] == ["docker", "build"]


def test_the_command_builds_on_the_engine_that_is_used_whatever_its_user_has_chosen() -> None:
    own = {"PATH": "/bin", "DOCKER_HOST": "x", "DOCKER_CONTEXT": "far", "BUILDX_BUILDER": "b", "DOCKER_CONFIG": "/d"}
    made = environment(own, "unix:///here", ORDER.args, RECIPE)
    assert made == {
        "PATH": "/bin",
        "DOCKER_CONFIG": "/d",
        "DOCKER_HOST": "unix:///here",
        "DOCKER_BUILDKIT": "1",
        "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
        "NO_COLOR": "1",
        "TOKEN": "s3cret",
        "HOLDFAST_SECRET_0": "s3cret-too",
    }

"""Where Toxiproxy's server comes from: the order, the remedy, and what is refused."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from chaos.errors import ImageError
from chaos.stack.carrier import image as module
from chaos.stack.carrier.image import PUBLISHED, VARIABLE, ensure_server, find_go, find_server
from chaos.stack.engine.images import Image
from chaos.stack.images.images import ImageRef
from chaos.stack.spec import Build

STATIC = b"\x7fELF" + b"\0" * 100
GO = """#!/bin/sh
if [ "$1" = version ]; then echo "go version go{version} linux/amd64"; exit; fi
echo "$@" > "$GOBIN.said"; {build}
"""


class Place:
    """An engine with some images, a registry with some, and what was asked of them."""

    def __init__(self) -> None:
        self.here: dict[str, str] = {}
        self.labels: list[Image] = []
        self.registry: set[str] = set()
        self.built: list[tuple[str, str]] = []
        self.pulled: list[str] = []

    def labelled(self, client: object, label: str) -> list[Image]:
        assert label == f"holdfast.toxiproxy={module.VERSION}"
        return self.labels

    def image_id(self, client: object, name: str) -> str:
        return self.here.get(name, "")

    def pull(self, client: object, name: str, say: object) -> str:
        self.pulled.append(name)
        if name not in self.registry:
            return "no such host"
        self.here[name] = "sha256:pulled"
        return ""

    def build(self, client: object, recipe: Build, name: str, say: object) -> ImageRef:
        self.built.append(((recipe.context / "Dockerfile").read_text(), recipe.context.name))
        assert (recipe.context / "toxiproxy").stat().st_mode & stat.S_IXUSR
        return ImageRef("sha256:built", f"holdfast/{name}:x")


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Place:
    """Nothing here, nothing to be pulled, and no Go."""
    made = Place()
    for name in ("image_id", "labelled", "pull", "build"):
        monkeypatch.setattr(module, name, getattr(made, name))
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(module, "_GO_PLACES", ())
    (tmp_path / "bin").mkdir()
    return made


def go(tmp_path: Path, version: str = "1.23.4", build: str = "") -> None:
    program = tmp_path / "bin" / "go"
    default = '/bin/mkdir -p "$GOBIN"; printf "\\177ELF" > "$GOBIN/server"'
    program.write_text(GO.format(version=version, build=build or default))
    program.chmod(0o755)


def ensure(place: Place) -> ImageRef:
    return ensure_server(place)  # type: ignore[arg-type]


def test_a_published_image_on_the_engine_is_taken(place: Place) -> None:
    place.here[PUBLISHED] = "sha256:here"
    assert ensure(place) == ImageRef("sha256:here", PUBLISHED)
    assert (place.pulled, place.built) == ([], [])
    assert find_server(place) == PUBLISHED  # type: ignore[arg-type]


def test_an_image_that_was_built_before_is_taken(place: Place) -> None:
    place.labels = [Image("sha256:old", ("holdfast/toxiproxy:abc",))]
    assert ensure(place) == ImageRef("sha256:old", "holdfast/toxiproxy:abc")
    assert (place.pulled, place.built) == ([], [])


def test_it_is_pulled_before_it_is_built(place: Place, tmp_path: Path) -> None:
    go(tmp_path)
    place.registry.add(PUBLISHED)
    assert ensure(place) == ImageRef("sha256:pulled", PUBLISHED)
    assert place.built == []


def test_it_is_built_by_go_once_and_then_kept(place: Place, tmp_path: Path) -> None:
    go(tmp_path)
    assert "can build it" in find_server(place)  # type: ignore[arg-type]
    assert ensure(place).id == "sha256:built"
    [(dockerfile, _)] = place.built
    assert dockerfile.startswith("FROM scratch\n")
    assert f"LABEL holdfast.toxiproxy={module.VERSION}\n" in dockerfile
    (tmp_path / "bin" / "go").unlink()
    assert ensure(place).id == "sha256:built"
    assert place.pulled == [PUBLISHED], "what is kept needs no network"
    assert "a binary in" in find_server(place)  # type: ignore[arg-type]
    assert [path.name for path in (tmp_path / "cache" / "toxiproxy").iterdir()] == [f"go-{module.VERSION}"]


def test_nothing_helps_and_the_error_says_what_would(place: Place) -> None:
    with pytest.raises(ImageError, match=r"cannot be pulled \(no such host\), and there is no Go") as caught:
        ensure(place)
    for way in ("Go 1.23", "docker load", VARIABLE):
        assert way in str(caught.value)
    assert find_server(place) == ""  # type: ignore[arg-type]


def test_a_go_that_cannot_fetch_a_newer_one_is_no_go(place: Place, tmp_path: Path) -> None:
    go(tmp_path, "1.19.8")
    assert find_go() == ""
    go(tmp_path, "1.21.0")
    assert find_go() == str(tmp_path / "bin" / "go")
    go(tmp_path, "1.24rc1")
    assert find_go()


def test_a_build_that_fails_says_its_last_words_and_leaves_nothing(place: Place, tmp_path: Path) -> None:
    go(tmp_path, build="echo no route to proxy >&2; exit 1")
    with pytest.raises(ImageError, match=r"(?s)go install .* failed:.*no route to proxy.*docker load"):
        ensure(place)
    assert list((tmp_path / "cache" / "toxiproxy").iterdir()) == []


def test_a_configured_binary_goes_before_everything(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.here[PUBLISHED] = "sha256:here"
    binary = tmp_path / "server"
    binary.write_bytes(STATIC)
    monkeypatch.setenv(VARIABLE, str(binary))
    assert ensure(place).id == "sha256:built"
    assert ensure(place).id == "sha256:built"
    assert len({name for _, name in place.built}) == 1, "known by its digest"
    assert str(binary) in find_server(place)  # type: ignore[arg-type]


def test_a_configured_image_goes_before_everything(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.here |= {PUBLISHED: "sha256:here", "mirror/toxiproxy:1": "sha256:own"}
    monkeypatch.setenv(VARIABLE, "mirror/toxiproxy:1")
    assert ensure(place).id == "sha256:own"
    monkeypatch.setenv(VARIABLE, "mirror/toxiproxy:2")
    with pytest.raises(ImageError, match="mirror/toxiproxy:2, which is no file, and no image"):
        ensure(place)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"#!/bin/sh\n", "which is no Linux program"),
        (b"\x7fELF\0\0/lib64/ld-linux-x86-64.so.2", "needs shared libraries"),
        (None, "which is not there"),
    ],
)
def test_a_configured_binary_that_cannot_run_is_refused(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, why: str
) -> None:
    binary = tmp_path / "server"
    if content is not None:
        binary.write_bytes(content)
    monkeypatch.setenv(VARIABLE, str(binary))
    with pytest.raises(ImageError, match=why):
        ensure(place)
    if content is None:
        with pytest.raises(ImageError, match=why):
            find_server(place)  # type: ignore[arg-type]


def test_a_configured_address_that_nobody_answers_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "http://127.0.0.1:9/toxiproxy")
    with pytest.raises(ImageError, match="which cannot be fetched"):
        ensure(place)

"""The image of Toxiproxy's server: configured, on the engine, pulled, or built by the Go toolchain, in this order.

A binary of one's own, or one that Go built, is put into an otherwise empty image. It is kept in the cache folder by
its digest, so an image that was removed is made again without a network.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from chaos.errors import ImageError
from chaos.stack.cache import cache_folder, cache_place, locked, unfinished
from chaos.stack.engine.client import Engine
from chaos.stack.engine.images import image_id, labelled
from chaos.stack.images.images import ImageRef, build
from chaos.stack.images.pulling import pull
from chaos.stack.programs import run_program
from chaos.stack.pulse import Say, quiet
from chaos.stack.spec import Build

VERSION = "2.12.0"
PUBLISHED = f"ghcr.io/shopify/toxiproxy:{VERSION}"
MODULE = f"github.com/Shopify/toxiproxy/v2/cmd/server@v{VERSION}"
VARIABLE = "HOLDFAST_TOXIPROXY"
"""Names a binary (a path, or a URL) or an image."""
REMEDY = (
    f"install Go 1.23 or later (bookworm's own is older, bookworm-backports' is not), bring {PUBLISHED} with "
    f"`docker load`, or name a static binary, its URL or an image with {VARIABLE}"
)
_LABEL = "holdfast.toxiproxy"
_BUILT = f"go-{VERSION}"
_BINARY = "toxiproxy"
_GO_SECONDS_MAX = 300.0
_LOCK_SECONDS_MAX = 900.0
_FETCH_SECONDS_MAX = 20.0
_BINARY_BYTES_MAX = 200 << 20
_GO_PLACES = ("/usr/local/go/bin/go", "/usr/lib/go/bin/go")
_HEAD_BYTES = 4096
_LOADERS = (b"/ld-linux", b"/ld-musl", b"/lib/ld")


def ensure_server(client: Engine, say: Say = quiet) -> ImageRef:
    """Have the image of a Toxiproxy server; the first time this may take as long as Go needs to build it.

    Raises:
        ImageError: It cannot be had; the message says what was tried, and the remedy.
        EngineError: The engine refused.
    """
    named = os.environ.get(VARIABLE, "").strip()
    if named:
        return _configured(client, named, say)
    found = _on_the_engine(client)
    if found is not None:
        return found
    with locked("toxiproxy", _LOCK_SECONDS_MAX):
        kept = _kept()
        if kept is None:
            trouble = pull(client, PUBLISHED, say=say)
            if not trouble:
                return ImageRef(image_id(client, PUBLISHED), PUBLISHED)
            kept = _built(trouble, say)
        return _image_of(client, kept, say)


def find_server(client: Engine) -> str:
    """Where a run would take its server from, in words; "" where only a pull could help. Makes nothing.

    Raises:
        ImageError: The environment names a file that is not there.
    """
    named = os.environ.get(VARIABLE, "").strip()
    if named:
        _file_named(named)
        return f"{VARIABLE} names {named}"
    found = _on_the_engine(client)
    if found is not None:
        return found.tag
    if _kept() is not None:
        return f"a binary in {cache_place() / 'toxiproxy'}"
    go = find_go()
    return f"{go} can build it" if go else ""


def find_go() -> str:
    """The Go toolchain's command, "" where there is none, or none that is new enough."""
    for place in (shutil.which("go"), *_GO_PLACES):
        if place and Path(place).is_file() and _can_build(place):
            return place
    return ""


def _can_build(go: str) -> bool:
    try:
        said = subprocess.run([go, "version"], capture_output=True, text=True, timeout=20, check=True).stdout
        major, minor = said.split("go version go")[1].split()[0].split(".")[:2]
        # 1.21 was the first to fetch the toolchain that a module asks for
        return (int(major), int("".join(filter(str.isdigit, minor[:2])))) >= (1, 21)
    except (OSError, subprocess.SubprocessError, IndexError, ValueError):
        return False


def _configured(client: Engine, named: str, say: Say) -> ImageRef:
    if "://" in named:
        with locked("toxiproxy", _LOCK_SECONDS_MAX):
            return _image_of(client, _fetched(named), say)
    path = _file_named(named)
    if path is not None:
        return _image_of(client, _adopted(path), say)
    found = image_id(client, named)
    trouble = "" if found else pull(client, named, say=say)
    found = found or image_id(client, named)
    if not found:
        raise ImageError(
            f"{VARIABLE} names {named}, which is no file, and no image that is here or can be pulled: {trouble}; "
            "correct or unset it"
        )
    return ImageRef(found, named)


def _file_named(named: str) -> Path | None:
    """The binary of this name; None where it is the name of something else."""
    path = Path(named).expanduser()
    if path.exists():
        return path
    if named.startswith(("/", ".", "~")):
        raise ImageError(f"{VARIABLE} names {named}, which is not there; correct or unset it")
    return None


def _on_the_engine(client: Engine) -> ImageRef | None:
    found = image_id(client, PUBLISHED)
    if found:
        return ImageRef(found, PUBLISHED)
    images = labelled(client, f"{_LABEL}={VERSION}")
    tags = [(image.id, tag) for image in images for tag in image.tags]
    return ImageRef(*tags[0]) if tags else None


def _kept() -> Path | None:
    folder = cache_place() / "toxiproxy" / _BUILT
    return folder if (folder / _BINARY).is_file() else None


def _image_of(client: Engine, folder: Path, say: Say) -> ImageRef:
    return build(client, Build(folder), "toxiproxy", say)


def _fetched(url: str) -> Path:
    with _staging() as part:
        file = part / _BINARY
        try:
            with requests.get(url, stream=True, timeout=_FETCH_SECONDS_MAX) as answer:
                answer.raise_for_status()
                with file.open("wb") as binary:
                    for chunk in answer.iter_content(1 << 20):
                        binary.write(chunk)
                        if binary.tell() > _BINARY_BYTES_MAX:
                            raise ImageError(f"{VARIABLE} names {url}, which is too large for a server's binary")
        except requests.exceptions.RequestException as error:
            raise ImageError(f"{VARIABLE} names {url}, which cannot be fetched: {error}; correct or unset it") from None
        return _adopted(file)


def _adopted(binary: Path) -> Path:
    """Keep a server's binary under its digest."""
    try:
        with binary.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise ImageError(f"{VARIABLE} names {binary}, which cannot be read: {error.strerror}; correct it") from None
    if not head.startswith(b"\x7fELF"):
        raise ImageError(f"{VARIABLE} names {binary}, which is no Linux program; correct or unset it")
    if any(loader in head for loader in _LOADERS):
        raise ImageError(f"{binary} needs shared libraries; build it with CGO_ENABLED=0, or unset {VARIABLE}")
    with binary.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    with _staging() as part:
        shutil.copyfile(binary, part / _BINARY)
        return _settled(part, digest[:16], "own")


def _built(trouble: str, say: Say) -> Path:
    tried = f"{PUBLISHED} is not on the engine and cannot be pulled ({trouble})"
    go, shown = find_go(), f"go install {MODULE}"
    if not go:
        raise ImageError(
            f"no Toxiproxy server for the carrier: {tried}, and there is no Go that could build it; {REMEDY}"
        )
    with _staging() as part:
        # paths of its own, so that nothing stays outside the cache folder
        paths = {"GOBIN": str(part / "bin"), "GOPATH": str(part / "go"), "GOCACHE": str(part / "cache")}
        command = [go, "install", "-modcacherw", "-trimpath", "-ldflags=-s -w", MODULE]
        try:
            environment = {**os.environ, **paths, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOWORK": "off"}
            code, said = run_program(command, _GO_SECONDS_MAX, environment=environment, folder=part, say=say)
        except TimeoutError:
            raise ImageError(f"{tried}; `{shown}` did not end in {_GO_SECONDS_MAX:.0f} s; {REMEDY}") from None
        if code != 0:
            tail = "\n  ".join(said.splitlines()[-10:])
            raise ImageError(f"{tried}; `{shown}` failed:\n  {tail}\n{REMEDY}")
        ready = part / "image"
        ready.mkdir()
        (part / "bin" / "server").rename(ready / _BINARY)
        return _settled(ready, _BUILT, VERSION)


@contextmanager
def _staging() -> Iterator[Path]:
    part = unfinished(cache_folder() / "toxiproxy" / "part")
    part.mkdir(parents=True)
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _settled(part: Path, name: str, version: str) -> Path:
    """Complete a folder with its Dockerfile and give it its name; one that is there already stays."""
    (part / _BINARY).chmod(0o755)
    (part / "Dockerfile").write_text(
        f"FROM scratch\nCOPY {_BINARY} /{_BINARY}\nLABEL {_LABEL}={version}\nUSER 65534:65534\n"
        f'ENTRYPOINT ["/{_BINARY}"]\nCMD ["-host=0.0.0.0"]\n'
    )
    folder = cache_folder() / "toxiproxy" / name
    if not (folder / _BINARY).is_file():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(part, folder)
    return folder

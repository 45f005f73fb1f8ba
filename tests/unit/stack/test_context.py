"""A build's context: what is in it, and what its digest depends on."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from chaos.errors import ImageError
from chaos.stack.images.context import Context, bases_of
from chaos.stack.spec import Build


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text("FROM debian:bookworm-slim\nCOPY . /app\n")
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "main.py").write_text("print(1)\n")
    return tmp_path


def digest(folder: Path) -> str:
    return Context.of(Build(context=folder)).digest()


def test_the_digest_depends_on_contents_and_not_on_times(folder: Path) -> None:
    before = digest(folder)
    os.utime(folder / "app" / "main.py", (1, 1))
    assert digest(folder) == before
    (folder / "app" / "main.py").write_text("print(2)\n")
    assert digest(folder) != before


def test_the_digest_depends_on_names_and_on_the_executable_bit(folder: Path) -> None:
    before = digest(folder)
    (folder / "app" / "main.py").chmod(0o600)
    assert digest(folder) == before
    (folder / "app" / "main.py").chmod(0o755)
    changed = digest(folder)
    assert changed != before
    (folder / "app" / "main.py").rename(folder / "app" / "other.py")
    assert digest(folder) not in {before, changed}


def test_what_python_leaves_beside_its_sources_does_not_count(folder: Path) -> None:
    before = digest(folder)
    (folder / "app" / "__pycache__").mkdir()
    (folder / "app" / "__pycache__" / "main.cpython-311.pyc").write_bytes(b"\0")
    assert digest(folder) == before


def test_dockerignore_is_honoured_with_its_exceptions(folder: Path) -> None:
    (folder / "secret.txt").write_text("hidden")
    (folder / "notes.md").write_text("hidden")
    (folder / "README.md").write_text("shown")
    (folder / ".dockerignore").write_text("# a comment\nsecret.txt\n*.md\n!README.md\n")
    paths = Context.of(Build(context=folder)).paths
    assert "README.md" in paths
    assert not {"secret.txt", "notes.md"} & set(paths)


def test_a_dockerfile_that_is_ignored_is_sent_all_the_same(folder: Path) -> None:
    (folder / ".dockerignore").write_text("*\n")
    # the engine reads both files itself, and drops what they name from the context
    assert Context.of(Build(context=folder)).paths == (".dockerignore", "Dockerfile")


def test_the_same_files_give_the_same_tar(folder: Path) -> None:
    first = Context.of(Build(context=folder)).tar().read()
    os.utime(folder / "app" / "main.py", (1, 1))
    assert Context.of(Build(context=folder)).tar().read() == first


def test_links_stay_links_in_the_tar(folder: Path) -> None:
    (folder / "link").symlink_to("app/main.py")
    with tarfile.open(fileobj=Context.of(Build(context=folder)).tar()) as archive:
        assert archive.getmember("link").linkname == "app/main.py"
        assert archive.getmember("app/main.py").uid == 0


def test_a_missing_folder_or_dockerfile_is_named(folder: Path) -> None:
    with pytest.raises(ImageError, match=r"nowhere is not a folder"):
        Context.of(Build(context=folder / "nowhere"))
    with pytest.raises(ImageError, match=r"Other is not there; correct `build\.dockerfile`"):
        Context.of(Build(context=folder, dockerfile="Other"))


def test_bases_are_the_images_that_are_not_own_stages() -> None:
    text = "FROM --platform=linux/amd64 golang:1 AS build\nRUN x\nFROM scratch\nFROM debian:12\nCOPY --from=build a b\n"
    assert bases_of(text, {}) == ("golang:1", "debian:12")
    assert bases_of("FROM a AS One\nFROM one\n", {}) == ("a",)


def test_arguments_before_the_first_from_are_filled_in() -> None:
    text = '# comment\nARG VERSION="15"\nARG PLAIN\nFROM postgres:${VERSION}\nFROM ${PLAIN:-debian}:12\n'
    assert bases_of(text, {}) == ("postgres:15", "debian:12")
    assert bases_of(text, {"VERSION": "16", "PLAIN": "ubuntu"}) == ("postgres:16", "ubuntu:12")


def test_an_instruction_goes_on_over_lines() -> None:
    assert bases_of("FROM \\\n  debian:12 \\\n  AS x\n", {}) == ("debian:12",)

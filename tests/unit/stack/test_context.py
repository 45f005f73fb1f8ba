"""A build's context: what is in it, and what its digest depends on."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from chaos.errors import ImageError
from chaos.stack.images.context import GIVEN, Context
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


def test_a_dockerfile_outside_its_context_is_sent_under_a_name_of_our_own(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("docker") / "Dockerfile"
    elsewhere.write_text("FROM scratch\n")
    for name in (str(elsewhere), os.path.relpath(elsewhere, folder)):
        context = Context.of(Build(context=folder, dockerfile=name))
        with tarfile.open(fileobj=context.tar()) as archive:
            member = archive.extractfile(context.dockerfile)
            assert member is not None
            assert member.read() == b"FROM scratch\n"
        assert context.place == str(elsewhere)
        assert "Dockerfile" in context.paths, "a file of that name in the context stays what it is"
    before = Context.of(Build(context=folder, dockerfile=str(elsewhere))).digest()
    elsewhere.write_text("FROM debian\n")
    assert Context.of(Build(context=folder, dockerfile=str(elsewhere))).digest() != before


def test_what_is_to_be_built_instead_of_the_dockerfile_lies_beside_it(folder: Path) -> None:
    with tarfile.open(fileobj=Context.of(Build(context=folder)).tar("FROM other\n")) as archive:
        member = archive.extractfile(GIVEN)
        assert member is not None
        assert member.read() == b"FROM other\n"
        assert archive.getmember("Dockerfile")


def test_a_dockerignore_of_the_dockerfile_alone_counts_instead_of_the_folders(folder: Path) -> None:
    (folder / "a").write_text("")
    (folder / "b").write_text("")
    (folder / ".dockerignore").write_text("a\n")
    (folder / "Dockerfile.dockerignore").write_text("b\n")
    paths = Context.of(Build(context=folder)).paths
    assert "a" in paths
    assert not {"b", ".dockerignore"} & set(paths), "a builder that got the folder's would leave out a, too"

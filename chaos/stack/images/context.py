"""A build's context: its files, the digest of their contents, the tar for the builder, the images it needs."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Iterator, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from chaos.errors import ImageError
from chaos.stack.images.dockerfile import Dockerfile, read_dockerfile
from chaos.stack.images.ignoring import lines_of, not_ignored
from chaos.stack.spec import Build

_NEVER = ("**/__pycache__", "**/*.pyc")
"""What Python leaves beside its sources; it would change the digest from one run to the next."""
GIVEN = ".holdfast.Dockerfile"
"""The name, in the tar, of a Dockerfile that is no file of the context: it stands in the Compose file, or lies
elsewhere, or what is built is not quite what is written there."""
_IGNORE = ".dockerignore"


@dataclass(frozen=True)
class Context:
    """The files of a build, by path relative to the context's folder, in order.

    Attributes:
        dockerfile: Its name in the tar.
        text: Of the Dockerfile where it is no file of the context.
        place: The Dockerfile, for messages.
    """

    folder: Path
    paths: tuple[str, ...]
    dockerfile: str
    text: str
    place: str

    @classmethod
    def of(cls, build: Build) -> Context:
        """List the context's files, less what its .dockerignore names, or the one beside the Dockerfile.

        Raises:
            ImageError: The folder or the Dockerfile is not there, or cannot be read.
        """
        folder = build.context
        if not folder.is_dir():
            raise ImageError(f"the build context {folder} is not a folder; correct `build.context`")
        if build.inline:
            found = _files(folder, lines_of(folder / _IGNORE))
            return cls(folder, tuple(sorted({*found} - {GIVEN})), GIVEN, build.inline, f"{folder} (dockerfile_inline)")
        file = folder / build.dockerfile
        if not file.is_file():
            raise ImageError(f"{file} is not there; correct `build.dockerfile`")
        own = Path(f"{file}{_IGNORE}")
        found = _files(folder, lines_of(own if own.is_file() else folder / _IGNORE))
        # the builder reads that file, too, where it gets it, and would leave out what it names
        found = found - {_IGNORE} if own.is_file() else found
        name = os.path.normpath(build.dockerfile)
        if build.is_dockerfile_outside:
            try:
                text = file.read_text(errors="surrogateescape")
            except OSError as error:
                raise ImageError(f"{file} cannot be read: {error.strerror}; correct `build.dockerfile`") from None
            return cls(folder, tuple(sorted(found - {GIVEN})), GIVEN, text, os.path.normpath(file))
        return cls(folder, tuple(sorted(found | {name})), name, "", str(file))

    @cached_property
    def instructions(self) -> Dockerfile:
        """What the Dockerfile says."""
        return read_dockerfile(self.dockerfile_text)

    @property
    def dockerfile_text(self) -> str:
        """The Dockerfile's text."""
        return self.text or (self.folder / self.dockerfile).read_text(errors="surrogateescape")

    def digest(self) -> str:
        """Hash names, modes and contents; not times or owners, which a checkout changes."""
        whole = hashlib.sha256()
        for path in self.paths:
            full = self.folder / path
            mode = full.lstat().st_mode
            if stat.S_ISLNK(mode):
                content = os.fsencode(full.readlink())
            elif stat.S_ISREG(mode):
                with full.open("rb") as file:
                    content = hashlib.file_digest(file, "sha256").digest()
            else:
                content = b""
            head = f"{path}\0{stat.S_IFMT(mode):o}\0{_mode(mode):o}\0{len(content)}\0"
            whole.update(head.encode("utf-8", "surrogateescape") + content)
        whole.update(self.text.encode("utf-8", "surrogateescape"))
        return whole.hexdigest()

    def tar(self, instead: str = "") -> io.BytesIO:
        """Pack the files as a builder wants them; the same files give the same bytes.

        Args:
            instead: A text that is to be built in the place of the Dockerfile's, under the name `GIVEN`.
        """
        packed, text = io.BytesIO(), (instead or self.text).encode("utf-8", "surrogateescape")
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for path in self.paths:
                archive.add(self.folder / path, path, recursive=False, filter=_normal)
            if text:
                made = tarfile.TarInfo(GIVEN)
                made.size = len(text)
                archive.addfile(_normal(made), io.BytesIO(text))
        packed.seek(0)
        return packed


def _files(folder: Path, ignored: list[str]) -> set[str]:
    return set(without_runs(set(not_ignored(folder, [*_NEVER, *ignored, f"!{_IGNORE}"]))))


def without_runs(paths: Set[str]) -> Set[str]:
    """Leave out run folders, and the link to the latest, where they lie in a build context or a bind.

    They would change it from one run to the next, and each would carry those before it.
    """
    runs = {
        folder
        for folder in {path.rpartition("/")[0] for path in paths if path.endswith("/plan.yaml")}
        if f"{folder}/inputs.json" in paths or f"{folder}/history.jsonl" in paths
    }
    if not runs:
        return paths
    links = {f"{run.rpartition('/')[0]}/latest" for run in runs}
    return {path for path in paths - links if runs.isdisjoint(_upward(path))}


def _upward(path: str) -> Iterator[str]:
    """The path and every folder above it."""
    while path:
        yield path
        path = path.rpartition("/")[0]


def _mode(mode: int) -> int:
    # git keeps only the executable bit, so the rest (the umask at checkout) must not change the image
    return 0o755 if mode & 0o100 or stat.S_ISDIR(mode) else 0o644


def _normal(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    member.mode = _mode(member.mode) if not member.isdir() else 0o755
    return member

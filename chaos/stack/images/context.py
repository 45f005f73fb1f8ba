"""A build's context: its files, the digest of their contents, the tar for the engine, the images it needs."""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import tarfile
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from docker.utils.build import PatternMatcher

from chaos.errors import ImageError
from chaos.stack.spec import Build

_NEVER = ("**/__pycache__", "**/*.pyc")
"""What Python leaves beside its sources; it would change the digest from one run to the next."""
INLINE = ".holdfast.Dockerfile"
"""The name of a Dockerfile whose text stands in the Compose file, within the context that the engine gets."""
_FROM = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?\s*$", re.IGNORECASE)
_ARG = re.compile(r"^\s*ARG\s+([A-Za-z_]\w*)(?:=(\S*))?\s*$", re.IGNORECASE)
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)(?::?-([^}]*))?\}|([A-Za-z_]\w*))")


@dataclass(frozen=True)
class Context:
    """The files of a build, by path relative to the context's folder, in order; `inline` is the Dockerfile's text."""

    folder: Path
    paths: tuple[str, ...]
    dockerfile: str
    inline: str = ""

    @classmethod
    def of(cls, build: Build) -> Context:
        """List the context's files, less what .dockerignore names.

        Raises:
            ImageError: The folder or the Dockerfile is not there.
        """
        folder = build.context
        if not folder.is_dir():
            raise ImageError(f"the build context {folder} is not a folder; correct `build.context`")
        if build.inline:
            found = without_runs(set(PatternMatcher([*_NEVER, *_ignored(folder)]).walk(str(folder))))
            return cls(folder, tuple(sorted({*found} - {INLINE})), INLINE, build.inline)
        if not (folder / build.dockerfile).is_file():
            raise ImageError(f"{folder / build.dockerfile} is not there; correct `build.dockerfile`")
        patterns = [*_NEVER, *_ignored(folder), f"!{build.dockerfile}"]
        paths = without_runs(set(PatternMatcher(patterns).walk(str(folder))))
        return cls(folder, tuple(sorted(paths)), build.dockerfile)

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
        whole.update(self.inline.encode())
        return whole.hexdigest()

    def tar(self) -> io.BytesIO:
        """Pack the files as the engine wants them; the same files give the same bytes."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for path in self.paths:
                archive.add(self.folder / path, path, recursive=False, filter=_normal)
            if self.inline:
                made = tarfile.TarInfo(INLINE)
                made.size = len(self.inline.encode())
                archive.addfile(_normal(made), io.BytesIO(self.inline.encode()))
        packed.seek(0)
        return packed

    def bases(self, args: Mapping[str, str]) -> tuple[str, ...]:
        """Images that the Dockerfile starts from, without its own stages, its first ARGs filled in."""
        return bases_of(self.inline or (self.folder / self.dockerfile).read_text(errors="replace"), args)


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


def bases_of(dockerfile: str, args: Mapping[str, str]) -> tuple[str, ...]:
    """The images named by FROM in a Dockerfile's text, in order, once each."""
    known: dict[str, str] = {}
    stages: set[str] = set()
    found: dict[str, None] = {}
    for line in _instructions(dockerfile):
        if not stages and not found and (arg := _ARG.match(line)):
            known[arg[1]] = args.get(arg[1], (arg[2] or "").strip("\"'"))
        elif start := _FROM.match(line):
            image = _VARIABLE.sub(lambda hit: known.get(hit[1] or hit[3]) or hit[2] or "", start[1])
            if image.lower() not in stages and image != "scratch":
                found[image] = None
            stages.add((start[2] or "").lower())
    return tuple(found)


def _instructions(dockerfile: str) -> Sequence[str]:
    lines = [line for line in dockerfile.splitlines() if not line.lstrip().startswith("#")]
    return "\n".join(lines).replace("\\\n", " ").splitlines()


def _ignored(folder: Path) -> list[str]:
    file = folder / ".dockerignore"
    lines = file.read_text().splitlines() if file.is_file() else []
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _mode(mode: int) -> int:
    # git keeps only the executable bit, so the rest (the umask at checkout) must not change the image
    return 0o755 if mode & 0o100 or stat.S_ISDIR(mode) else 0o644


def _normal(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    member.mode = _mode(member.mode) if not member.isdir() else 0o755
    return member

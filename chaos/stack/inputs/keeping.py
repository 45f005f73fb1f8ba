"""Keeps in a run folder what the run read, so that it can be run again, from a copy on another machine too.

Carried are the Compose files, the driver's modules, the build contexts and what is bound, as far as the Compose files
name them by relative paths or they lie below the folder of one of them: what else has an absolute path belongs to the
machine. Never carried are env files and secrets, nor files in a context or bind that are called `.env`; of them, and
of every value from the environment, the run folder has a salted digest. Of what is too large it has a digest.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from chaos.experiment.plan import ACTIONS_FILE, Plan
from chaos.stack.images.context import GIVEN
from chaos.stack.inputs.digests import content, listed, salted, size_of, walked
from chaos.stack.inputs.manifest import FOLDER, MANIFEST_FILE, Manifest, Unit
from chaos.stack.inputs.sources import Sources
from chaos.stack.spec import Stack

KEPT_BYTES_MAX = 50 << 20
_SALT_BYTES = 16


@dataclass(frozen=True)
class _Read:
    """A file or folder that was read, before it is known whether it can be carried."""

    name: Path
    what: str
    is_own: bool
    is_secret: bool = False
    dockerfile: str = ""


class Kept:
    """The inputs of a run, kept in its first folder."""

    def __init__(self, folder: Path, manifest: Manifest, sources: Sources) -> None:
        self._folder = folder
        self._manifest = manifest
        self._sources = sources

    def into(self, folder: Path, plan: Plan) -> Plan:
        """Have the inputs in this run folder too, and return the plan that runs from there."""
        if folder != self._folder:
            shutil.copyfile(self._folder / MANIFEST_FILE, folder / MANIFEST_FILE)
            _copy(self._folder / FOLDER, sorted(walked(self._folder / FOLDER)), folder / FOLDER, _link)
        actions = None if plan.actions is None else folder.resolve() / ACTIONS_FILE
        if plan.actions is not None and plan.actions != actions:
            shutil.copyfile(plan.actions, folder / ACTIONS_FILE)
        there = Sources(self._manifest.carried(folder))
        has_driver = any(unit.what == "driver" for unit in self._manifest.units)
        return dataclasses.replace(
            plan,
            stack=tuple(there.carried_place(_name(file, self._sources)) for file in plan.stack),
            actions=actions,
            driver_folder=there.carried_place(_folder_name(plan, self._sources)) if has_driver else None,
            inputs=folder.resolve() / MANIFEST_FILE,
        )


def keep(plan: Plan, stack: Stack, sources: Sources, driver_files: Collection[Path], folder: Path) -> Kept:
    """Keep what a run reads.

    Args:
        plan: Of one of the run's trials.
        stack: Its stack.
        sources: With which the stack was loaded.
        driver_files: Modules and packages of a driver of the user's own.
        folder: The run folder.

    Raises:
        OSError: The run folder cannot be written.
    """
    read = [*_read(plan, stack, sources, driver_files)]
    own = [each.name for each in read if each.is_own]
    folders = [name if sources.place(name).is_dir() else name.parent for name in own]
    root = Path(os.path.commonpath(folders))
    salt = secrets.token_bytes(_SALT_BYTES)
    (folder / FOLDER).mkdir()
    withheld = {each.name for each in read if each.is_secret}
    withheld |= {sources.name(sources.place(name).resolve()) for name in withheld}  # a link may lead into a bind
    keeper = _Keeper(folder / FOLDER, root, salt, sources, withheld)
    units = [keeper.keep(each) for each in sorted(read, key=keeper.order)]
    variables = {
        name: None if value is None else salted(value.encode("utf-8", "surrogateescape"), salt, name)
        for name, value in sorted(sources.variables.items())
    }
    manifest = Manifest(str(root), salt.hex(), tuple(sorted(units, key=lambda unit: unit.name)), variables)
    manifest.write(folder)
    return Kept(folder, manifest, sources)


def _read(plan: Plan, stack: Stack, sources: Sources, driver_files: Collection[Path]) -> Iterator[_Read]:
    """Each thing once."""
    files = {_name(file, sources) for file in plan.stack}
    modules = {sources.name(file) for file in driver_files}
    projects = {name.parent for name in (*files, *modules)}

    def own(name: Path) -> bool:
        return name in sources.relative or any(name.is_relative_to(project) for project in projects)

    def names(places: Iterable[Path]) -> list[Path]:
        return sorted({sources.name(place) for place in places})

    services = stack.services.values()
    for name in sorted(files):
        yield _Read(name, "Compose file", True)
    for name in sorted(sources.files - files):
        yield _Read(name, "file of the stack", own(name))
    for name in sorted(modules):
        yield _Read(name, "driver", True)
    for name in sorted(sources.env_files):
        yield _Read(name, "env file", own(name), True)
    builds = [service.build for service in services if service.build is not None]
    secrets = [service.secrets for service in services] + [build.secrets for build in builds]
    for name in names(place for each in secrets for place in each.values()):
        yield _Read(name, "secret", own(name), True)
    contexts = {(build.context, GIVEN if build.is_dockerfile_outside else build.dockerfile) for build in builds}
    for context, dockerfile in sorted(contexts):
        name = sources.name(context)
        yield _Read(name, "build context", own(name), dockerfile=dockerfile)
    for name in names(Path(place) for build in builds for place in build.contexts.values() if place.startswith("/")):
        yield _Read(name, "build context", own(name))
    for file in sorted({build.dockerfile for build in builds if build.is_dockerfile_outside and not build.inline}):
        for place in (Path(file), Path(f"{file}.dockerignore")):
            if place.is_file():
                yield _Read(sources.name(place), "Dockerfile", own(sources.name(Path(file))))
    for name in names(map(Path, stack.bound)):
        yield _Read(name, "bind", own(name))


def _name(file: Path, sources: Sources) -> Path:
    return sources.name(file.parent.resolve() / file.name)


def _folder_name(plan: Plan, sources: Sources) -> Path:
    assert plan.driver_folder is not None
    return sources.name(plan.driver_folder.resolve())


class _Keeper:
    """Copies what may be copied, the small first, until the room is used up."""

    def __init__(self, folder: Path, root: Path, salt: bytes, sources: Sources, withheld: set[Path]) -> None:
        self._folder = folder
        self._root = root
        self._salt = salt
        self._sources = sources
        self._withheld = withheld
        self._room = KEPT_BYTES_MAX
        self._runs = folder.resolve().parents[1]

    def order(self, read: _Read) -> tuple[bool, int]:
        """What nothing runs without goes first, then the smaller."""
        try:
            place = self._sources.place(read.name)
            return read.what not in ("Compose file", "driver"), size_of(place, listed(place, read.dockerfile))
        except OSError:
            return True, 0

    def keep(self, read: _Read) -> Unit:
        place = self._sources.place(read.name)
        try:
            if read.is_secret or (place.is_file() and self._is_withheld(read.name)):
                digest = salted(place.read_bytes(), self._salt, str(read.name))
                return Unit(str(read.name), read.what, digest, is_kept=False)
            if not place.is_dir() and not place.is_file():
                return Unit(str(read.name), read.what, "", is_kept=False)  # such as a socket
            every = [path for path in listed(place, read.dockerfile) if not self._is_run(place, path)]
            paths = [path for path in every if not self._is_withheld(read.name / path)]
            lacks = tuple(str(read.name / path) for path in every if self._is_withheld(read.name / path))
            size, digest = size_of(place, paths), content(place, paths)
        except OSError:  # of another user, or gone
            return Unit(str(read.name), read.what, "", is_kept=False)
        is_kept = read.is_own and size <= self._room and read.name.is_relative_to(self._root)
        if is_kept:
            self._room -= size
            _copy(place, paths, self._folder / read.name.relative_to(self._root))
        return Unit(str(read.name), read.what, digest, is_kept, size, read.dockerfile, lacks)

    def _is_run(self, place: Path, path: str) -> bool:
        """Whether it is of the runs that are just being made, in a folder that is read."""
        return self._runs in (place / path).parents and not place.is_relative_to(self._runs)

    def _is_withheld(self, name: Path) -> bool:
        return name in self._withheld or is_env_name(name.name)


def is_env_name(name: str) -> bool:
    """Whether a file of this name holds variables by custom, so that it may hold secrets."""
    is_template = name.endswith((".example", ".sample", ".template", ".dist"))
    return (name == ".env" or name.startswith(".env.") or name.endswith(".env")) and not is_template


def _copy(
    place: Path, paths: Collection[str], target: Path, copy_file: Callable[[Path, Path], object] = shutil.copy2
) -> None:
    """Copy files, links and folders, with modes and owners; what is neither, such as a socket, is left out."""
    folders = []
    if place.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        folders.append((place.stat(), target))
    for path in paths:
        source, copy = place / path, target / path
        found = source.lstat() if path else source.stat()
        copy.parent.mkdir(parents=True, exist_ok=True)
        if stat.S_ISDIR(found.st_mode):
            copy.mkdir(exist_ok=True)
            folders.append((found, copy))
        elif not os.path.lexists(copy):
            if stat.S_ISLNK(found.st_mode):
                copy.symlink_to(source.readlink())
            elif stat.S_ISREG(found.st_mode):
                copy_file(source, copy)
                _own(found, copy)
    for found, copy in reversed(folders):  # last, since they may forbid to write into them
        _own(found, copy)
        copy.chmod(stat.S_IMODE(found.st_mode))


def _own(found: os.stat_result, copy: Path) -> None:
    """Only root may give a file away; a service of another user reads a bind as its owner."""
    if (found.st_uid, found.st_gid) != (os.geteuid(), os.getegid()):
        with contextlib.suppress(PermissionError):
            os.chown(copy, found.st_uid, found.st_gid)


def _link(source: Path, copy: Path) -> None:
    """One file for all trials of a run where the disk can; they are never written again."""
    try:
        copy.hardlink_to(source)
    except OSError:
        shutil.copy2(source, copy)

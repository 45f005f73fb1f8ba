"""All the files of a stack as one tree: read, interpolated, written out, `include` and `extends` followed, merged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from chaos.errors import Problem, SourceError
from chaos.experiment.source import Document, Items, Node, Place, Scalar, Table, did_you_mean, read_compose
from chaos.stack.compose.reading.canonical import canonical, text_of
from chaos.stack.compose.reading.dotenv import read_env_file
from chaos.stack.compose.reading.interpolate import Lookup, interpolate
from chaos.stack.compose.reading.merge import merge, settled
from chaos.stack.compose.reading.short import is_elsewhere
from chaos.stack.compose.reading.tree import changed, each_service, table_at
from chaos.stack.inputs.sources import Folder

_IMPORTED = ("services", "volumes", "networks", "secrets", "configs")
_INCLUDE = ("path", "project_directory", "env_file")
FILES_MAX = 100
Trail = tuple[tuple[Path, str], ...]


class Gathered:
    """Reads the files, and those that they name.

    Attributes:
        documents: Everything that was read, for the lines that errors show.
        problems: What was wrong so far; the tree goes on without it.
    """

    def __init__(self) -> None:
        self.documents: list[Document] = []
        self.problems: list[Problem] = []

    def tree(self, files: Sequence[Path], folder: Folder, lookup: Lookup, including: tuple[Path, ...] = ()) -> Node:
        """The files laid over each other, relative paths being relative to `folder`.

        Raises:
            SourceError: One of `files` cannot be read.
        """
        root: Node | None = None
        for file in files:
            for one in self._documents(file, lookup):
                with_all = self._included(one, folder, lookup, (*including, file.resolve()))
                whole = self._extended(with_all, file, folder, lookup)
                root = whole if root is None else merge(root, whole)
        assert root is not None, "a file has at least one document"
        return settled(root)

    def _documents(self, file: Path, lookup: Lookup) -> Iterator[Node]:
        if len({one.path for one in self.documents}) > FILES_MAX:
            raise SourceError([Problem(str(file), 0, 0, f"more than {FILES_MAX} files", "include fewer")])
        documents = read_compose(file)
        self.documents += documents
        for one in documents:
            yield canonical(interpolate(one.root, lookup, self.problems), self.problems)

    def _followed(self, place: Place, file: Path, lookup: Lookup) -> list[Node]:
        """The documents of a file that another names; none, and a problem there, where it cannot be read."""
        try:
            return list(self._documents(file, lookup))
        except SourceError as error:
            self._cannot_follow(place, error)
            return []

    # --- include

    def _included(self, root: Node, folder: Folder, lookup: Lookup, including: tuple[Path, ...]) -> Node:
        if not isinstance(root, Table) or "include" not in root.entries:
            return root
        _, listed = root.entries["include"]
        entries = {key: entry for key, entry in root.entries.items() if key != "include"}
        if not isinstance(listed, Items):
            self.problems.append(listed.place.problem("include should be a list", "write include: [file]"))
            return replace(root, entries=entries)
        for item in listed.items:
            imported = self._include(item, folder, lookup, including)
            for key in (*_IMPORTED, "x-chaos"):
                if isinstance(imported, Table) and key in imported.entries:
                    place, there = imported.entries[key]
                    entries[key] = (place, merge(there, entries[key][1], (key,)) if key in entries else there)
        return replace(root, entries=entries)

    def _include(self, item: Node, folder: Folder, lookup: Lookup, including: tuple[Path, ...]) -> Node | None:
        given = {key: node for key, (_, node) in item.entries.items()} if isinstance(item, Table) else {"path": item}
        files, home, env_files = (self._paths(given.get(key), folder) for key in _INCLUDE)
        if unknown := [key for key in given if key not in _INCLUDE]:
            message = f"unknown key {unknown[0]!r}"
            self.problems.append(given[unknown[0]].place.problem(message, did_you_mean(unknown[0], _INCLUDE)))
        if not files:
            return None
        place, inner = files[0][0], folder.of(home[0][1] if home else files[0][1].parent)
        if again := [file.name for _, file in files if file.resolve() in including]:
            self.problems.append(place.problem(f"{again[0]} includes itself", "remove one include"))
            return None
        if not env_files and (beside := inner.below(".env")).is_file():
            env_files = [(place, beside)]
        values: dict[str, str] = {}
        try:
            for at, file in env_files:
                place = at
                values |= read_env_file(file, lookup.get, values, miss=lookup.miss)
                folder.sources.env_files.add(folder.sources.name(file))
            inside, place = lookup.below(values), files[0][0]
            folder.sources.files |= {folder.sources.name(file) for _, file in files}
            tree = self.tree([file for _, file in files], inner, inside, including)
        except SourceError as error:
            self._cannot_follow(place, error)
            return None
        return _filled_in(_absolute(tree, inner), inside)

    def _paths(self, node: Node | None, folder: Folder) -> list[tuple[Place, Path]]:
        """One path, or a list of them, each with its place in the file."""
        items = node.items if isinstance(node, Items) else () if node is None else (node,)
        texts = [(item.place, text_of(item)) for item in items]
        self.problems += [at.problem("this should be a path", "write it as text") for at, text in texts if not text]
        return [(at, folder.below(text)) for at, text in texts if text]

    def _cannot_follow(self, place: Place, error: SourceError) -> None:
        """What is wrong with a file that is named at a place: told there, unless it has a place of its own."""
        self.problems += [
            one if one.line else place.problem(f"{one.path}: {one.message}", one.hint) for one in error.problems
        ]

    # --- extends

    def _extended(self, root: Node, file: Path, folder: Folder, lookup: Lookup) -> Node:
        services = table_at(root, "services")
        if services is None:
            return root
        return each_service(root, lambda name, _: self._service(name, services, file, folder, lookup, ()))

    def _service(self, name: str, services: Table, file: Path, folder: Folder, lookup: Lookup, trail: Trail) -> Node:
        """A service with all that it extends."""
        service = services.entries[name][1]
        if not isinstance(service, Table) or "extends" not in service.entries:
            return service
        place, extends = service.entries["extends"]
        own = replace(service, entries={key: entry for key, entry in service.entries.items() if key != "extends"})
        given = {key: node for key, (_, node) in extends.entries.items()} if isinstance(extends, Table) else {}
        where = {key: node.place for key, node in given.items()}
        other, elsewhere, base = text_of(given.pop("service", extends)), text_of(given.pop("file", extends)), None
        if not other or given or not isinstance(extends, Table):
            self.problems.append(place.problem("extends names a service", "write {file: other.yaml, service: name}"))
        elif (file.resolve(), name) in trail:
            self.problems.append(place.problem(f"{name} extends itself", "remove one extends"))
        else:
            trail = (*trail, (file.resolve(), name))
            if elsewhere:
                base = self._elsewhere(where, folder.below(elsewhere), folder, other, lookup, trail)
            elif other in services.entries:
                base = self._service(other, services, file, folder, lookup, trail)
            else:
                hint = did_you_mean(other, services.entries)
                self.problems.append(where["service"].problem(f"no service {other!r} to extend in this file", hint))
        return own if base is None else merge(base, own, ("services", name))

    def _elsewhere(
        self, where: Mapping[str, Place], file: Path, folder: Folder, name: str, lookup: Lookup, trail: Trail
    ) -> Node | None:
        place, roots = where["service"], self._followed(where["file"], file, lookup)
        found: Node | None = None
        for root in roots:
            found = root if found is None else merge(found, root)
        services = table_at(found, "services")
        if services is None or name not in services.entries:
            if roots:
                hint = did_you_mean(name, services.entries if services else ())
                self.problems.append(place.problem(f"no service {name!r} to extend in that file", hint))
            return None
        folder.sources.files.add(folder.sources.name(file))
        inner = folder.of(file.parent)
        service = self._service(name, services, file, inner, lookup, trail)
        alone = Table(place, {"services": (place, Table(place, {name: (place, service)}))})
        return table_at(_absolute(alone, inner), "services", name)


_PATHS = (
    ("services", "*", "build", "context"),
    ("services", "*", "build", "additional_contexts", "*"),
    ("services", "*", "env_file", "*", "path"),
    ("secrets", "*", "file"),
    ("configs", "*", "file"),
)


def _absolute(root: Node, folder: Folder) -> Node:
    """The tree with paths that are relative to `folder` made absolute."""

    def path(node: Node) -> Node:
        text = text_of(node)
        if text is None or not isinstance(node, Scalar) or is_elsewhere(text):
            return node
        return replace(node, value=str(folder.named(text)))

    def bind(node: Node) -> Node:
        kind = node.entries.get("type") if isinstance(node, Table) else None
        return changed(node, ("source",), path) if kind and text_of(kind[1]) == "bind" else node

    for each in _PATHS:
        root = changed(root, each, path)
    return changed(root, ("services", "*", "volumes", "*"), bind)


def _filled_in(root: Node, lookup: Lookup) -> Node:
    """The tree with variables that services take from outside filled in: the files around know them no more."""

    def fill(environment: Node) -> Node:
        if not isinstance(environment, Table):
            return environment
        entries = {
            name: (place, replace(node, value=lookup.get(name)) if text_of(node) is None else node)
            for name, (place, node) in environment.entries.items()
            if isinstance(node, Scalar)
        }
        return replace(environment, entries={**environment.entries, **entries})

    return changed(root, ("services", "*", "environment"), fill)

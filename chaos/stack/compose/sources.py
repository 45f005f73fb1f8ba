"""All the files of a stack as one tree: read, interpolated, written out, `include` and `extends` followed, merged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from chaos.errors import Problem, SourceError
from chaos.experiment.source import Document, Items, Node, Place, Scalar, Table, did_you_mean, read_compose
from chaos.stack.compose.canonical import canonical, text_of
from chaos.stack.compose.dotenv import read_env_file
from chaos.stack.compose.interpolate import Lookup, interpolate
from chaos.stack.compose.merge import merge, settled
from chaos.stack.compose.tree import changed, each_service, table_at
from chaos.stack.compose.values import below

_IMPORTED = ("services", "volumes", "networks", "secrets", "configs")
FILES_MAX = 100
Trail = tuple[tuple[Path, str], ...]


class Sources:
    """Reads the files, and those that they name.

    Attributes:
        documents: Everything that was read, for the lines that errors show.
        problems: What was wrong so far; the tree goes on without it.
    """

    def __init__(self) -> None:
        self.documents: list[Document] = []
        self.problems: list[Problem] = []

    def tree(self, files: Sequence[Path], folder: Path, lookup: Lookup, including: tuple[Path, ...] = ()) -> Node:
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
            self.problems += [
                one if one.line else place.problem(f"{one.path}: {one.message}", one.hint) for one in error.problems
            ]
            return []

    # --- include

    def _included(self, root: Node, folder: Path, lookup: Lookup, including: tuple[Path, ...]) -> Node:
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

    def _include(self, item: Node, folder: Path, lookup: Lookup, including: tuple[Path, ...]) -> Node | None:
        given = dict(item.entries) if isinstance(item, Table) else {"path": (item.place, item)}
        files = [below(folder, text) for text in self._texts(given.pop("path", (item.place, item))[1])]
        if not files:
            return None
        home = [below(folder, text) for text in self._texts(given.pop("project_directory", (item.place, None))[1])]
        inner = home[0] if home else files[0].parent
        env_files = [below(folder, text) for text in self._texts(given.pop("env_file", (item.place, None))[1])]
        for key, (place, _) in given.items():
            hint = did_you_mean(key, ("path", "project_directory", "env_file"))
            self.problems.append(place.problem(f"unknown key {key!r}", hint))
        if again := [file for file in files if file.resolve() in including]:
            self.problems.append(item.place.problem(f"{again[0].name} includes itself", "remove one include"))
            return None
        try:
            found = env_files or [inner / ".env"] * (inner / ".env").is_file()
            inside = lookup.below(dotenv(found, lookup))
            tree = self.tree(files, inner, inside, including)
        except SourceError as error:
            self.problems += [
                one if one.line else item.place.problem(f"{one.path}: {one.message}", one.hint)
                for one in error.problems
            ]
            return None
        return _filled_in(_absolute(tree, inner), inside)

    def _texts(self, node: Node | None) -> list[str]:
        """One text, or a list of them."""
        items = node.items if isinstance(node, Items) else () if node is None else (node,)
        texts = [text_of(item) for item in items]
        self.problems += [
            item.place.problem("this should be a path", "write it as text")
            for item, text in zip(items, texts, strict=True)
            if not text
        ]
        return [text for text in texts if text]

    # --- extends

    def _extended(self, root: Node, file: Path, folder: Path, lookup: Lookup) -> Node:
        services = table_at(root, "services")
        if services is None:
            return root
        return each_service(root, lambda name, _: self._service(name, services, file, folder, lookup, ()))

    def _service(self, name: str, services: Table, file: Path, folder: Path, lookup: Lookup, trail: Trail) -> Node:
        """A service with all that it extends."""
        service = services.entries[name][1]
        if not isinstance(service, Table) or "extends" not in service.entries:
            return service
        place, extends = service.entries["extends"]
        own = replace(service, entries={key: entry for key, entry in service.entries.items() if key != "extends"})
        given = {key: text_of(node) for key, (_, node) in extends.entries.items()} if isinstance(extends, Table) else {}
        other, base = given.get("service"), None
        if not other or given.keys() - {"service", "file"}:
            self.problems.append(place.problem("extends names a service", "write {file: other.yaml, service: name}"))
        elif (file.resolve(), name) in trail:
            self.problems.append(place.problem(f"{name} extends itself", "remove one extends"))
        else:
            trail = (*trail, (file.resolve(), name))
            if given.get("file"):
                base = self._elsewhere(place, below(folder, str(given["file"])), other, lookup, trail)
            elif other in services.entries:
                base = self._service(other, services, file, folder, lookup, trail)
            else:
                hint = did_you_mean(other, services.entries)
                self.problems.append(place.problem(f"no service {other!r} to extend in this file", hint))
        return own if base is None else merge(base, own, ("services", name))

    def _elsewhere(self, place: Place, file: Path, name: str, lookup: Lookup, trail: Trail) -> Node | None:
        roots = self._followed(place, file, lookup)
        found: Node | None = None
        for root in roots:
            found = root if found is None else merge(found, root)
        services = table_at(found, "services")
        if services is None or name not in services.entries:
            if roots:
                hint = did_you_mean(name, services.entries if services else ())
                self.problems.append(place.problem(f"no service {name!r} to extend in {file.name}", hint))
            return None
        service = self._service(name, services, file, file.parent, lookup, trail)
        alone = Table(place, {"services": (place, Table(place, {name: (place, service)}))})
        return table_at(_absolute(alone, file.parent), "services", name)


def dotenv(files: Sequence[Path], lookup: Lookup) -> dict[str, str]:
    """The variables of `.env` files, the later before the earlier.

    Raises:
        SourceError: One cannot be read.
    """
    found: dict[str, str] = {}
    for file in files:
        found |= read_env_file(file, lookup.get, found)
    return found


_PATHS = (
    ("services", "*", "build", "context"),
    ("services", "*", "env_file", "*", "path"),
    ("secrets", "*", "file"),
    ("configs", "*", "file"),
)


def _absolute(root: Node, folder: Path) -> Node:
    """The tree with paths that are relative to `folder` made absolute."""

    def path(node: Node) -> Node:
        text = text_of(node)
        if text is None or not isinstance(node, Scalar) or "://" in text or text.startswith("git@"):
            return node
        return replace(node, value=str(below(folder, text)))

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

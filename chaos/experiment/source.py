"""YAML with places: a user's file as a tree of nodes that know their file, line and column.

Whatever the bytes, reading ends in a `Document` or in a `SourceError`. Only text, whole and decimal numbers,
true, false and null are understood, as in YAML 1.2: `off`, `no` and `22:22` are text, as in Compose.
No object is ever constructed from a tag. Size, depth and the expansion of aliases are bounded.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import yaml

from chaos.errors import Problem, SourceError

SIZE_BYTES_MAX = 256 * 1024
DEPTH_MAX = 40
NODES_MAX = 20_000

Loc = tuple[str | int, ...]
Tag = Literal["", "reset", "override"]
"""Compose's own tags: what stands here takes away what earlier files say, or replaces it whole."""
Plain = str | int | float | bool | None | list["Plain"] | dict[str, "Plain"]

_TAG = "tag:yaml.org,2002:"
_COMPOSE_TAGS: Mapping[str, Tag] = {"!reset": "reset", "!override": "override"}
_CORE = (
    ("null", re.compile(r"~|null|Null|NULL|")),
    ("bool", re.compile(r"true|True|TRUE|false|False|FALSE")),
    ("int", re.compile(r"[-+]?[0-9]{1,30}|0o[0-7]{1,30}|0x[0-9a-fA-F]{1,30}")),
    ("float", re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,4})?")),
)


class Unquoted(str):
    """A value that YAML takes for a number or a truth value, as the text that is written there."""

    __slots__ = ()

    @property
    def value(self) -> str | int | float | bool | None:
        """What YAML takes it for."""
        return _value(next((tag for tag, core in _CORE if core.fullmatch(self)), "str"), str(self))


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands; line and column count from 1."""

    path: str
    line: int
    column: int

    def problem(self, message: str, hint: str = "") -> Problem:
        """A problem at this place."""
        return Problem(self.path, self.line, self.column, message, hint)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A leaf: its value, its text as written (None for null), and the span of characters it takes."""

    place: Place
    value: str | int | float | bool | None
    text: str | None
    span: tuple[int, int] = (0, 0)
    tag: Tag = ""


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    place: Place
    items: tuple[Node, ...]
    tag: Tag = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping: by key, the key's own place and the value."""

    place: Place
    entries: Mapping[str, tuple[Place, Node]]
    tag: Tag = ""


Node = Scalar | Items | Table


@dataclass(frozen=True, slots=True)
class Document:
    """A file that could be read as YAML."""

    path: str
    text: str
    root: Node


def read(path: Path, *, quote: bool = True) -> Document:
    """Read one YAML document.

    Args:
        path: The file, as the user named it.
        quote: Whether a syntax error may quote the line (not where it may hold a secret).

    Raises:
        SourceError: The file cannot be read, or is not such a document; with every problem found.
    """
    (document,) = _read(path, quote=quote, compose=False)
    return document


def read_compose(path: Path) -> list[Document]:
    """Read a Compose file: several documents, Compose's tags and anchors of one name are allowed; no line is quoted.

    Raises:
        SourceError: As `read`.
    """
    return _read(path, quote=False, compose=True)


def _read(path: Path, *, quote: bool, compose: bool) -> list[Document]:
    text = _text_of(path)
    name = str(path)
    try:
        return [Document(name, text, root) for root in _compose(name, text, compose=compose)]
    except SourceError as error:
        raise SourceError(error.problems, text if quote else "") from None


def plain(node: Node, *, text_at: Callable[[Loc], bool] = lambda _: False, loc: Loc = ()) -> Plain:
    """The node as plain Python data; leaves for which `text_at` holds as their text as written."""
    if isinstance(node, Scalar):
        return node.text if text_at(loc) else node.value
    if isinstance(node, Items):
        return [plain(item, text_at=text_at, loc=(*loc, i)) for i, item in enumerate(node.items)]
    return {key: plain(item, text_at=text_at, loc=(*loc, key)) for key, (_, item) in node.entries.items()}


def cut(data: Plain, loc: Loc) -> bool:
    """Take what stands at `loc` out of plain data, or what it stands in; whether there was anything to take out."""
    above: list[tuple[Plain, str | int]] = []
    node = data
    for step in loc:
        if isinstance(node, dict) and step in node:
            above.append((node, step))
            node = node[str(step)]
        elif isinstance(node, list) and isinstance(step, int) and step < len(node):
            above.append((node, step))
            node = node[step]
    for inside, step in reversed(above):
        if isinstance(inside, dict):  # an item stays where it is, so that the others keep their numbers
            del inside[str(step)]
            return True
    return False


def tree(value: Plain, name: str) -> Node:
    """The tree of a value that stands in no file, each node's place called after the keys that lead to it."""
    place = Place(name, 0, 0)
    if isinstance(value, dict):
        inner = {key: tree(each, f"{name}.{key}") for key, each in value.items()}
        return Table(place, {key: (node.place, node) for key, node in inner.items()})
    if isinstance(value, list):
        return Items(place, tuple(tree(each, f"{name}[{number}]") for number, each in enumerate(value)))
    return Scalar(place, value, None if value is None else str(value))


def find(node: Node, loc: Iterable[str | int]) -> tuple[Node, Place]:
    """The node at `loc`, or the nearest one above it, and its place."""
    for step in loc:
        if isinstance(node, Table) and step in node.entries:
            node = node.entries[str(step)][1]
        elif isinstance(node, Items) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
        else:
            break
    return node, node.place


def key_place(node: Node, loc: Loc) -> Place:
    """The place of the key that `loc` ends with, or of the nearest node above it."""
    above, place = find(node, loc[:-1])
    if isinstance(above, Table) and loc and loc[-1] in above.entries:
        return above.entries[str(loc[-1])][0]
    return place


def leaves(node: Node, loc: Loc = ()) -> Iterator[tuple[Loc, Scalar]]:
    """All leaves below a node, with their locs."""
    if isinstance(node, Scalar):
        yield loc, node
    elif isinstance(node, Items):
        for i, item in enumerate(node.items):
            yield from leaves(item, (*loc, i))
    else:
        for key, (_, item) in node.entries.items():
            yield from leaves(item, (*loc, key))


def reads_as_text(text: str) -> bool:
    """Whether this, written without quotes, is a text and no number, truth value or null."""
    return not any(pattern.fullmatch(text) for _, pattern in _CORE)


def did_you_mean(seen: str, known: Iterable[str]) -> str:
    """Guess which known name was meant; where none is near, list them."""
    names = sorted(known)
    near = difflib.get_close_matches(seen, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    return f"known: {', '.join(names)}" if names else "none are known here"


def _text_of(path: Path) -> str:
    name = str(path)
    try:
        with path.open("rb") as file:
            content = file.read(SIZE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise SourceError([Problem(name, 0, 0, "no such file", _sibling(path))]) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SourceError([Problem(name, 0, 0, f"cannot be read: {reason}", "name a YAML file")]) from None
    if len(content) > SIZE_BYTES_MAX:
        message = f"larger than {SIZE_BYTES_MAX // 1024} KiB"
        raise SourceError([Problem(name, 0, 0, message, "is this the file that you meant?")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        problem = Problem(name, line, 1, "this is not UTF-8 text", "save the file as UTF-8")
        raise SourceError([problem]) from None


def _sibling(path: Path) -> str:
    try:
        near = difflib.get_close_matches(path.name, [other.name for other in path.parent.iterdir()], n=1)
    except (OSError, ValueError):
        near = []
    return f"did you mean {path.with_name(near[0])}?" if near else "check the path"


class _Composer(yaml.SafeLoader):
    """Composes nodes and never constructs: resolves plain scalars by the core schema, bounds the depth."""

    depth = 0
    anchors_again = False

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if self.depth >= DEPTH_MAX:
            raise yaml.composer.ComposerError(None, None, f"nested deeper than {DEPTH_MAX} levels", event.start_mark)
        if self.anchors_again and isinstance(event, yaml.NodeEvent) and not isinstance(event, yaml.AliasEvent):
            self.anchors.pop(event.anchor, None)  # YAML allows a name again: aliases mean the last one
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def scan_to_next_token(self) -> None:
        if self.column:  # at the end of a line YAML allows tabs, PyYAML does not
            while self.peek() in (" ", "\t"):
                self.forward()
        super().scan_to_next_token()

    def resolve(self, kind: type, value: str, implicit: tuple[bool, bool] | bool) -> str:
        if kind is yaml.MappingNode or kind is yaml.SequenceNode:
            return _TAG + ("map" if kind is yaml.MappingNode else "seq")
        if isinstance(implicit, tuple) and implicit[0]:
            for tag, pattern in _CORE:
                if pattern.fullmatch(value):
                    return _TAG + tag
        return _TAG + "str"


def _compose(name: str, text: str, *, compose: bool) -> list[Node]:
    try:
        loader = _Composer(text)
        loader.anchors_again = compose
        roots = [*_documents(loader)] if compose else [loader.get_single_node()]
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - (text.rfind("\n", 0, error.position) + 1) + 1
        message = f"unprintable character #x{int(error.character):04x}"
        raise SourceError([Problem(name, line, column, message, "remove it")]) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(name, mark.line + 1, mark.column + 1) if mark else Place(name, 0, 0)
        message = ", ".join(part for part in (error.context, error.problem) if part)
        raise SourceError([place.problem(f"not YAML: {message}", "is the indentation right?")]) from None
    except Exception as error:  # PyYAML's scanner lets ValueError and others out, e.g. on "\UFFFFFFFF"
        raise SourceError([Problem(name, 0, 0, "not YAML", "a quoted text has a wrong escape")]) from error
    found = [root for root in roots if root is not None]
    if not found:
        raise SourceError([Problem(name, 0, 0, "the file is empty", "`holdfast docs experiments` shows what goes in")])
    reader = _Reader(name, compose=compose)
    nodes = [reader.node(root, 0) for root in found]
    if reader.problems:
        raise SourceError([*dict.fromkeys(reader.problems)])  # an alias is read again each time
    return nodes


def _documents(loader: _Composer) -> Iterator[yaml.Node | None]:
    while loader.check_node():
        yield loader.get_node()


class _Reader:
    """Turns composed nodes into ours: merges, aliases, duplicates and bounds."""

    def __init__(self, name: str, *, compose: bool = False) -> None:
        self.name = name
        self.tags = _COMPOSE_TAGS if compose else {}
        self.problems: list[Problem] = []
        self.count = 0

    def node(self, node: yaml.Node, depth: int) -> Node:
        place = self.place(node)
        self.count += 1
        if depth > DEPTH_MAX or self.count > NODES_MAX:
            what = "an alias contains itself" if depth > DEPTH_MAX else f"more than {NODES_MAX} values"
            raise SourceError([place.problem(f"{what}, once aliases are expanded", "write it out")])
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node, place)
        tag = self.tags.get(node.tag, "")
        if node.tag not in (_TAG + "map", _TAG + "seq") and not tag:
            self.tag_problem(node, place)
        if isinstance(node, yaml.SequenceNode):
            return Items(place, tuple(self.node(item, depth + 1) for item in node.value), tag)
        assert isinstance(node, yaml.MappingNode)
        return Table(place, self.entries(node, depth), tag)

    def place(self, node: yaml.Node) -> Place:
        return Place(self.name, node.start_mark.line + 1, node.start_mark.column + 1)

    def tag_problem(self, node: yaml.Node, place: Place) -> None:
        tag = str(node.tag).replace(_TAG, "!!")
        self.problems.append(place.problem(f"the tag {tag[:40]!r} is not supported", "remove the tag"))

    def scalar(self, node: yaml.ScalarNode, place: Place) -> Scalar:
        text = str(node.value)
        span = (node.start_mark.index, node.end_mark.index)
        if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
            message = "a text with a NUL or half a surrogate pair"
            self.problems.append(place.problem(message, "remove the escape"))
            return Scalar(place, "", "", span)
        if of_compose := self.tags.get(node.tag):
            plain_one = node.style is None
            node.tag = _TAG + next((tag for tag, core in _CORE if plain_one and core.fullmatch(text)), "str")
            return replace(self.scalar(node, place), tag=of_compose)
        tag = str(node.tag).removeprefix(_TAG)
        pattern = dict(_CORE).get(tag)
        if tag == "null":
            return Scalar(place, None, None, span)
        if tag != "str" and (pattern is None or not pattern.fullmatch(text)):
            self.tag_problem(node, place)
            return Scalar(place, text, text, span)
        value = _value(tag, text)
        if isinstance(value, float) and not math.isfinite(value):
            self.problems.append(place.problem("a number out of range", "write a smaller number"))
        return Scalar(place, value, text, span)

    def entries(self, node: yaml.MappingNode, depth: int) -> dict[str, tuple[Place, Node]]:
        own: dict[str, tuple[Place, Node]] = {}
        merged: dict[str, tuple[Place, Node]] = {}
        merges = False
        for key, value in node.value:
            place = self.place(key)
            if not isinstance(key, yaml.ScalarNode) or key.tag == _TAG + "null":
                self.problems.append(place.problem("a key must be text", "quote it"))
            elif key.value == "<<" and key.style is None:
                if merges:
                    self.problems.append(place.problem("the key '<<' stands here twice", "write <<: [*a, *b]"))
                merges = True
                self.merge(self.node(value, depth + 1), merged)
            elif key.value in own:
                first = own[key.value][0].line
                message = f"the key {key.value[:60]!r} stands here twice"
                self.problems.append(place.problem(message, f"the first is in line {first}; remove one"))
            else:
                name = self.scalar(key, place).text or ""
                own[name] = (place, self.node(value, depth + 1))
        return merged | own

    def merge(self, value: Node, merged: dict[str, tuple[Place, Node]]) -> None:
        for part in value.items if isinstance(value, Items) else (value,):
            if not isinstance(part, Table):
                self.problems.append(part.place.problem("<< needs a mapping, or a list of them", "remove it"))
                continue
            for key, entry in part.entries.items():  # of several, the first wins
                merged.setdefault(key, entry)


def _value(tag: str, text: str) -> str | int | float | bool:
    if tag == "bool":
        return text.lower() == "true"
    if tag == "int":
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    return float(text) if tag == "float" else text

"""Compose's short forms written out as its long ones, on the tree, so that every place is kept.

What remains for the model (`schema`) and for merging (`merge`) is one form of each key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from chaos.errors import Problem
from chaos.experiment.source import Items, Node, Place, Scalar, Table
from chaos.stack.compose.values import WrongValueError, port_parts, volume_parts

_FREE = frozenset({"environment", "labels", "args", "variables"})
"""Mappings in which a key beginning with x- is no extension."""


def canonical(root: Node, problems: list[Problem]) -> Node:
    """The tree of a Compose file with short forms written out, extensions and labels left out."""
    root = _without_extensions(root, keep="x-chaos")
    if not isinstance(root, Table) or "services" not in root.entries:
        return root
    place, services = root.entries["services"]
    if not isinstance(services, Table):
        return root
    written = {
        name: (at, _service(service, problems) if isinstance(service, Table) else service)
        for name, (at, service) in services.entries.items()
    }
    return replace(root, entries={**root.entries, "services": (place, replace(services, entries=written))})


def _without_extensions(node: Node, keep: str = "") -> Node:
    if isinstance(node, Items):
        return replace(node, items=tuple(_without_extensions(item) for item in node.items))
    if not isinstance(node, Table):
        return node
    entries = {
        key: (place, item if key in _FREE or key == keep else _without_extensions(item))
        for key, (place, item) in node.entries.items()
        if key == keep or not key.startswith("x-")
    }
    return replace(node, entries=entries)


def _service(service: Table, problems: list[Problem]) -> Table:
    entries = {key: entry for key, entry in service.entries.items() if key != "labels"}
    for key, write_out in _FORMS.items():
        if key in entries:
            place, node = entries[key]
            entries[key] = (place, write_out(node, problems))
    if "build" in entries and isinstance(entries["build"][1], Table):
        entries["build"] = (entries["build"][0], _build(entries["build"][1], problems))
    return replace(service, entries=entries)


def _build(build: Table, problems: list[Problem]) -> Table:
    entries = {key: entry for key, entry in build.entries.items() if key != "labels"}
    if "args" in entries:
        entries["args"] = (entries["args"][0], _pairs(entries["args"][1], problems))
    return replace(build, entries=entries)


def _pairs(node: Node, problems: list[Problem]) -> Node:
    """`[A=b, C]` as `{A: b, C: null}`."""
    if not isinstance(node, Items):
        return node
    entries: dict[str, tuple[Place, Node]] = {}
    for item in node.items:
        if not isinstance(item, Scalar) or not isinstance(item.value, str):
            problems.append(item.place.problem("this should be NAME=value", "write it as text"))
            continue
        name, equals, value = item.value.partition("=")
        entries[name] = (item.place, Scalar(item.place, value if equals else None, None, item.span))
    return Table(node.place, entries)


def _names(inside: Callable[[Place], Node]) -> Callable[[Node, list[Problem]], Node]:
    """`[a, b]` as `{a: inside, b: inside}`."""

    def write_out(node: Node, problems: list[Problem]) -> Node:
        if not isinstance(node, Items):
            return node
        entries: dict[str, tuple[Place, Node]] = {}
        for item in node.items:
            name = text_of(item)
            if name is None:
                problems.append(item.place.problem("this should be a name", "write one name"))
            else:
                entries[name] = (item.place, inside(item.place))
        return Table(node.place, entries)

    return write_out


def _each(write_out: Callable[[str], Mapping[str, str]]) -> Callable[[Node, list[Problem]], Node]:
    """A list whose texts are written out as mappings; one text stands for a list of one."""

    def all_of(node: Node, problems: list[Problem]) -> Node:
        if isinstance(node, Scalar) and node.text is not None:
            node = Items(node.place, (node,))
        if not isinstance(node, Items):
            return node
        made: list[Node] = []
        for item in node.items:
            text = text_of(item)
            try:
                made.append(item if text is None else _table(item.place, write_out(text)))
            except WrongValueError as wrong:
                problems.append(item.place.problem(wrong.message, wrong.hint))
        return replace(node, items=tuple(made))

    return all_of


def text_of(node: Node) -> str | None:
    """A leaf as the text that Compose reads; None for null, and for a list or mapping."""
    if not isinstance(node, Scalar) or node.value is None:
        return None
    return node.value if isinstance(node.value, str) else node.text


def _table(place: Place, values: Mapping[str, str]) -> Table:
    return Table(place, {key: (place, Scalar(place, value, value)) for key, value in values.items()})


def _null(place: Place) -> Node:
    return Scalar(place, None, None)


def _started(place: Place) -> Node:
    return _table(place, {"condition": "service_started"})


def _context(node: Node, _: list[Problem]) -> Node:
    text = text_of(node)
    return node if text is None else Table(node.place, {"context": (node.place, node)})


_FORMS: Mapping[str, Callable[[Node, list[Problem]], Node]] = {
    "environment": _pairs,
    "depends_on": _names(_started),
    "networks": _names(_null),
    "build": _context,
    "ports": _each(port_parts),
    "volumes": _each(volume_parts),
    "env_file": _each(lambda text: {"path": text}),
    "secrets": _each(lambda text: {"source": text}),
}

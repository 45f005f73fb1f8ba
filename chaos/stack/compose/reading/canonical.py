"""Compose's short forms written out as its long ones, on the tree, so that every place is kept.

What remains for the model (`schema`) and for merging (`merge`) is one form of each key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from chaos.errors import Problem
from chaos.experiment.source import Items, Node, Place, Scalar, Table
from chaos.stack.compose.reading.short import WrongValueError, port_parts, volume_parts
from chaos.stack.compose.reading.tree import each_service

_NAMED_BY_USER = ("environment", "labels", "annotations", "sysctls", "extra_hosts", "variables")
_FREE = frozenset((*_NAMED_BY_USER, "args", "ssh", "additional_contexts"))
"""Mappings in which a key beginning with x- is no extension."""
_MAY_BE_NULL = frozenset({"command", "entrypoint", "pid", "deploy", "develop"})

Write = Callable[[Node, list[Problem]], Node]
Parts = Mapping[str, "str | Mapping[str, str]"]


def canonical(root: Node, problems: list[Problem]) -> Node:
    """The tree of a Compose file with short forms written out, extensions left out."""
    root = _without_extensions(root, keep="x-chaos")
    return each_service(root, lambda _, service: _service(service, problems))


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
    entries = dict(service.entries)
    for key, (place, node) in service.entries.items():
        if isinstance(node, Scalar) and node.value is None and not node.tag and key not in _MAY_BE_NULL:
            problems.append(place.problem(f"{key} has no value", "give it one, or remove the key"))
            del entries[key]
        elif key in _FORMS:
            entries[key] = (place, replace(_FORMS[key](node, problems), tag=node.tag))
    if "build" in entries and isinstance(entries["build"][1], Table):
        entries["build"] = (entries["build"][0], _build(entries["build"][1], problems))
    return replace(service, entries=entries)


def _build(build: Table, problems: list[Problem]) -> Table:
    entries = dict(build.entries)
    for key, form in _BUILD_FORMS.items():
        if key in entries:
            entries[key] = (entries[key][0], form(entries[key][1], problems))
    return replace(build, entries=entries)


def _pairs(node: Node, problems: list[Problem]) -> Node:
    """`[A=b, C]` as `{A: b, C: null}`; numbers of a mapping as Compose writes them."""
    if isinstance(node, Table):
        return replace(node, entries={key: (place, _as_go(item)) for key, (place, item) in node.entries.items()})
    if not isinstance(node, Items):
        return node
    entries: dict[str, tuple[Place, Node]] = {}
    for item in node.items:
        if not isinstance(item, Scalar) or not isinstance(item.value, str):
            problems.append(item.place.problem("this should be NAME=value", "write it as text"))
            continue
        name, equals, value = item.value.partition("=")
        if name != name.rstrip():
            problems.append(item.place.problem("a space before the =", "write NAME=value"))
        entries[name] = (item.place, replace(item, value=value if equals else None, text=None))
    return Table(node.place, entries)


def _as_go(node: Node) -> Node:
    """A number or truth value as Compose's own loader prints it: `1.50` is 1.5, `022` is octal."""
    if not isinstance(node, Scalar) or isinstance(node.value, str | None):
        return node
    if isinstance(node.value, bool):
        return replace(node, value=str(node.value).lower())
    if isinstance(node.value, int):
        digits = (node.text or "").lstrip("+-")
        octal = digits.startswith("0") and digits.isdecimal() and not {"8", "9"} & {*digits}
        value = int(digits, 8) * (-1 if node.value < 0 else 1) if octal else node.value
        return replace(node, value=str(value))
    if node.value.is_integer() and abs(node.value) < 1e21:
        return replace(node, value=str(int(node.value)))
    return replace(node, value=repr(node.value))


def _names(inside: Callable[[Place], Node]) -> Write:
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


def _each(write_out: Callable[[str], Iterable[Parts]]) -> Write:
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
                made += [item] if text is None else [_table(item.place, parts) for parts in write_out(text)]
            except WrongValueError as wrong:
                problems.append(item.place.problem(wrong.message, wrong.hint))
        return replace(node, items=tuple(made))

    return all_of


def _hosts(node: Node, problems: list[Problem]) -> Node:
    """`["a=1.2.3.4,1.2.3.5", b:1.2.3.4]` as `{a: [1.2.3.4, 1.2.3.5], b: [1.2.3.4]}`."""
    entries: dict[str, tuple[Place, Node]] = {}
    if isinstance(node, Table):
        for key, (place, item) in node.entries.items():
            entries[key] = (place, Items(item.place, (item,)) if isinstance(item, Scalar) else item)
        return replace(node, entries=entries)
    if not isinstance(node, Items):
        return node
    for item in node.items:
        text = text_of(item) or ""
        name, sign, address = text.partition("=" if "=" in text else ":")
        if not (name and sign and address):
            problems.append(item.place.problem("this should be name=address", "such as db=192.0.2.1"))
            continue
        before = entries[name][1] if name in entries else Items(item.place, ())
        assert isinstance(before, Items)
        several = (Scalar(item.place, one.strip(" []"), one) for one in address.split(","))
        entries[name] = (item.place, Items(item.place, (*before.items, *several)))
    return Table(node.place, entries)


def _ulimits(node: Node, _: list[Problem]) -> Node:
    if not isinstance(node, Table):
        return node
    entries = {}
    for name, (place, item) in node.entries.items():
        both = isinstance(item, Scalar) and item.text is not None
        made = Table(item.place, {"soft": (place, item), "hard": (place, item)}) if both else item
        entries[name] = (place, made)
    return replace(node, entries=entries)


def _key(key: str) -> Write:
    """A text as `{key: text}`."""

    def write_out(node: Node, _: list[Problem]) -> Node:
        return node if text_of(node) is None else Table(node.place, {key: (node.place, node)})

    return write_out


def text_of(node: Node) -> str | None:
    """A leaf as the text that Compose reads; None for null, and for a list or mapping."""
    if not isinstance(node, Scalar) or node.value is None:
        return None
    return node.value if isinstance(node.value, str) else node.text


def _table(place: Place, values: Parts) -> Table:
    return Table(
        place,
        {
            key: (place, Scalar(place, value, value) if isinstance(value, str) else _table(place, value))
            for key, value in values.items()
        },
    )


def _null(place: Place) -> Node:
    return Scalar(place, None, None)


def _started(place: Place) -> Node:
    return _table(place, {"condition": "service_started"})


_FORMS: Mapping[str, Write] = {
    "environment": _pairs,
    "labels": _pairs,
    "annotations": _pairs,
    "sysctls": _pairs,
    "extra_hosts": _hosts,
    "ulimits": _ulimits,
    "depends_on": _names(_started),
    "networks": _names(_null),
    "build": _key("context"),
    "extends": _key("service"),
    "ports": _each(port_parts),
    "volumes": _each(lambda text: [volume_parts(text)]),
    "env_file": _each(lambda text: [{"path": text}]),
    "secrets": _each(lambda text: [{"source": text}]),
    "configs": _each(lambda text: [{"source": text}]),
}
_BUILD_FORMS: Mapping[str, Write] = {
    "args": _pairs,
    "additional_contexts": _pairs,
    "ssh": _pairs,
    "secrets": _each(lambda text: [{"source": text}]),
    "extra_hosts": _hosts,
}

"""Several Compose files laid over each other, by Compose's own rules for the keys that we load.

Mappings are merged key by key, single values replaced, lists appended without doubles, except that `command`,
`entrypoint` and `healthcheck.test` are replaced whole, that volumes, secrets and configs are told apart by their
target and env files by their path, and that every key directly under `x-chaos` is replaced whole: an overlay states
all arrays, or none. `!override` replaces whatever it stands at, and `!reset` takes it away.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace

from chaos.experiment.source import Items, Loc, Node, Scalar, Table, plain

_REPLACED = frozenset({"command", "entrypoint", "test"})
_IDENTITY: Mapping[str, tuple[str, ...]] = {
    "volumes": ("target",),
    "env_file": ("path",),
    "secrets": ("target", "source"),
    "configs": ("target", "source"),
}
"""By list, the keys by which its items are told apart: the first that an item has."""


def merge(base: Node, over: Node, loc: Loc = ()) -> Node:
    """`over` laid over `base`; both in canonical form."""
    if over.tag:
        return over
    if isinstance(base, Table) and isinstance(over, Table):
        entries = dict(base.entries)
        for key, (place, node) in over.entries.items():
            if key in entries and loc != ("x-chaos",):
                entries[key] = (place, merge(entries[key][1], node, (*loc, key)))
            else:
                entries[key] = (place, node)
        return Table(base.place, entries)
    if loc and loc[-1] in _REPLACED:
        return over
    if isinstance(over, Scalar) and over.value is None and not isinstance(base, Scalar):
        return base
    if isinstance(base, Items) and isinstance(over, Items):
        by_identity = {_identity(item, loc): item for item in (*base.items, *over.items)}
        return Items(over.place, tuple(by_identity.values()))
    return over


def settled(node: Node) -> Node:
    """The tree without what `!reset` took away, and without tags."""
    if isinstance(node, Items):
        return replace(node, tag="", items=tuple(settled(item) for item in node.items if item.tag != "reset"))
    if isinstance(node, Table):
        kept = {key: entry for key, entry in node.entries.items() if entry[1].tag != "reset"}
        return replace(node, tag="", entries={key: (place, settled(item)) for key, (place, item) in kept.items()})
    return replace(node, tag="")


def _identity(item: Node, loc: Loc) -> Hashable:
    if isinstance(item, Table):
        for key in _IDENTITY.get(str(loc[-1]), ()):
            if key in item.entries:
                return repr(plain(item.entries[key][1]))
    return repr(plain(item))

"""Several Compose files laid over each other, by Compose's own rules for the keys that we load.

Mappings are merged key by key, single values replaced, lists appended without doubles, except that `command`,
`entrypoint` and `healthcheck.test` are replaced whole, volumes are told apart by their target, and that every
key directly under `x-chaos` is replaced whole: an overlay states all arrays, or none.
"""

from __future__ import annotations

from collections.abc import Hashable

from chaos.experiment.source import Items, Loc, Node, Scalar, Table, plain

_REPLACED = frozenset({"command", "entrypoint", "test"})


def merge(base: Node, over: Node, loc: Loc = ()) -> Node:
    """`over` laid over `base`; both in canonical form."""
    if isinstance(base, Table) and isinstance(over, Table):
        entries = dict(base.entries)
        for key, (place, node) in over.entries.items():
            if key in entries and loc != ("x-chaos",):
                entries[key] = (place, merge(entries[key][1], node, (*loc, key)))
            else:
                entries[key] = (place, node)
        return Table(base.place, entries)
    if isinstance(over, Scalar) and over.value is None and not isinstance(base, Scalar):
        return base
    if isinstance(base, Items) and isinstance(over, Items) and loc[-1] not in _REPLACED:
        by_identity = {_identity(item, loc): item for item in base.items}
        by_identity |= {_identity(item, loc): item for item in over.items}
        return Items(over.place, tuple(by_identity.values()))
    return over


def _identity(item: Node, loc: Loc) -> Hashable:
    if loc[-1] == "volumes" and isinstance(item, Table) and "target" in item.entries:
        return repr(plain(item.entries["target"][1]))
    return repr(plain(item))

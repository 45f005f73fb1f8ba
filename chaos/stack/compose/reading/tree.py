"""Changes to parts of a Compose file's tree; what is not there, or has another shape, stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from chaos.errors import UsageError
from chaos.experiment.source import Items, Node, Scalar, Table, did_you_mean


def table_at(node: Node | None, *path: str) -> Table | None:
    """The mapping at a path, if there is one."""
    for key in path:
        node = node.entries[key][1] if isinstance(node, Table) and key in node.entries else None
    return node if isinstance(node, Table) else None


def changed(node: Node, path: Sequence[str], change: Callable[[Node], Node]) -> Node:
    """The tree with every node at a path changed, `*` being every item or entry."""
    if not path:
        return change(node)
    first, rest = path[0], path[1:]
    if isinstance(node, Items) and first == "*":
        return replace(node, items=tuple(changed(item, rest, change) for item in node.items))
    if not isinstance(node, Table):
        return node
    entries = {
        key: (place, changed(item, rest, change) if first in ("*", key) else item)
        for key, (place, item) in node.entries.items()
    }
    return replace(node, entries=entries)


def each_service(root: Node, change: Callable[[str, Table], Node]) -> Node:
    """The tree with every service changed that is a mapping."""
    services = table_at(root, "services")
    if services is None or not isinstance(root, Table):
        return root
    made = {
        name: (place, change(name, node) if isinstance(node, Table) else node)
        for name, (place, node) in services.entries.items()
    }
    whole = (root.entries["services"][0], replace(services, entries=made))
    return replace(root, entries={**root.entries, "services": whole})


def with_images(root: Node, images: Mapping[str, str]) -> Node:
    """The tree with other images for services, which are not built then.

    Raises:
        UsageError: There is no such service: silently the image that is not meant would be tried.
    """
    services = table_at(root, "services")
    known = services.entries if services is not None else {}
    for name in images:
        if name not in known:
            raise UsageError(
                f"an image is given for the service {name!r}, which is not there; {did_you_mean(name, known)}"
            )

    def service(name: str, node: Table) -> Node:
        if name not in images:
            return node
        kept = {key: entry for key, entry in node.entries.items() if key not in ("image", "build")}
        place = node.entries.get("image", node.entries.get("build", (node.place, node)))[0]
        return replace(node, entries={**kept, "image": (place, Scalar(place, images[name], images[name]))})

    return each_service(root, service)

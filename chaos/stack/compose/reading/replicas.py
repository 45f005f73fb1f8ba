"""Services of which there are several: `web` with three replicas is web-1, web-2 and web-3.

Each answers to the name `web` as well. Whatever names the service elsewhere means all of them, but for the front door
and a restore, which are the first one's: phones know one address, and nothing here shares their load out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from chaos.experiment.source import Items, Node, Place, Scalar, Table
from chaos.stack.compose.reading.canonical import text_of
from chaos.stack.compose.reading.tree import changed, each_service, table_at

REPLICAS_MAX = 20
Names = Mapping[str, tuple[str, ...]]
"""The replicas of a service, by its name."""


def replicas_of(root: Node) -> dict[str, tuple[str, ...]]:
    """The services with more than one replica, as far as their number can be read."""
    services = table_at(root, "services")
    found = {}
    for name in services.entries if services else ():
        number = _number(table_at(root, "services", name), "scale")
        number = number or _number(table_at(root, "services", name, "deploy"), "replicas")
        if 1 < number <= REPLICAS_MAX:
            found[name] = tuple(f"{name}-{i}" for i in range(1, number + 1))
    return found


def without_replica(root: Node) -> list[str]:
    """The services of which the file wants none."""
    services = table_at(root, "services")
    found = []
    for name in services.entries if services else ():
        own, deploy = table_at(root, "services", name), table_at(root, "services", name, "deploy")
        table, key = (own, "scale") if own and "scale" in own.entries else (deploy, "replicas")
        if table and key in table.entries and text_of(table.entries[key][1]) == "0":
            found.append(name)
    return found


def _number(table: Table | None, key: str) -> int:
    text = text_of(table.entries[key][1]) if table and key in table.entries else None
    return int(text) if text and text.isdecimal() and len(text) < 4 else 0


def replicated(root: Node, names: Names) -> Node:
    """The tree with every replica as a service of its own."""
    services = table_at(root, "services")
    if not names or services is None or not isinstance(root, Table):
        return root
    made: dict[str, tuple[Place, Node]] = {}
    for name, (place, service) in services.entries.items():
        for one in names.get(name, (name,)):
            several = name in names and isinstance(service, Table)
            made[one] = (place, _one(service, name) if several and isinstance(service, Table) else service)
    root = replace(
        root, entries={**root.entries, "services": (root.entries["services"][0], replace(services, entries=made))}
    )
    root = each_service(root, lambda _, service: changed(service, ("depends_on",), lambda node: _keys(node, names)))
    root = each_service(root, lambda _, service: _naming_the_first(service, names))
    return changed(root, ("x-chaos",), lambda node: _chaos(node, names))


def _naming_the_first(service: Node, names: Names) -> Node:
    """What a service links to, or mounts from: of several replicas the first."""
    for key in ("links", "volumes_from"):
        service = changed(service, (key, "*"), lambda node: _each(node, names)[0])
    return service


def _one(service: Table, name: str) -> Table:
    """One replica: its own ports and container, the service's name as an alias."""
    entries = {key: entry for key, entry in service.entries.items() if key not in ("scale", "container_name")}
    alias = Items(service.place, (Scalar(service.place, name, name),))
    default = Table(service.place, {"default": (service.place, Scalar(service.place, None, None))})
    networks = entries.get("networks", (service.place, default))[1]

    def with_alias(use: Node) -> Node:
        inside = use.entries if isinstance(use, Table) else {}
        given = inside.get("aliases", (use.place, alias))[1]
        aliases = replace(given, items=(*given.items, *alias.items)) if isinstance(given, Items) else given
        return Table(use.place, {**inside, "aliases": (use.place, aliases)})

    def without_published(port: Node) -> Node:
        if not isinstance(port, Table):
            return port
        return replace(port, entries={key: entry for key, entry in port.entries.items() if key != "published"})

    entries["networks"] = (service.place, changed(networks, ("*",), with_alias))
    made = changed(replace(service, entries=entries), ("ports", "*"), without_published)
    assert isinstance(made, Table)
    return made


def _keys(node: Node, names: Names) -> Node:
    if not isinstance(node, Table):
        return node
    entries = {one: entry for key, entry in node.entries.items() for one in names.get(key, (key,))}
    return replace(node, entries=entries)


def _places(node: Node, names: Names) -> Node:
    """Keys `service:/path` once for each replica; a volume may be called as a service is."""
    if not isinstance(node, Table):
        return node
    entries: dict[str, tuple[Place, Node]] = {}
    for key, entry in node.entries.items():
        name, colon, path = key.partition(":")
        entries |= {f"{one}{colon}{path}": entry for one in (names.get(name, (name,)) if colon else (name,))}
    return replace(node, entries=entries)


def _copies(node: Node, names: Names) -> Node:
    """The same of a list."""
    if not isinstance(node, Items):
        return node
    every = [_each(item, names) if ":" in (text_of(item) or "") else [item] for item in node.items]
    return replace(node, items=tuple(one for each in every for one in each))


def _chaos(chaos: Node, names: Names) -> Node:
    if not isinstance(chaos, Table):
        return chaos

    def listed(node: Node) -> Node:
        if not isinstance(node, Items):
            return node
        return replace(node, items=tuple(one for item in node.items for one in _each(item, names)))

    def first(node: Node) -> Node:
        return _each(node, names)[0]

    for path in ("may_lose", "doors.*", "roles.*", "roles.*.of", "recovery.*.rebuild"):
        chaos = changed(chaos, path.split("."), listed)
    chaos = changed(chaos, ("copies", "*"), lambda node: _copies(node, names))
    for path in ("front_door", "recovery.*.restore.service"):
        chaos = changed(chaos, path.split("."), first)
    chaos = changed(chaos, ("steady",), lambda node: _keys(node, names))
    chaos = changed(chaos, ("arrays", "*", "luns"), lambda node: _places(node, names))
    roles = table_at(chaos, "roles")
    given = dict(roles.entries) if roles else {}
    for name, replicas in names.items():
        members = Items(chaos.place, tuple(Scalar(chaos.place, one, one) for one in replicas))
        given.setdefault(name, (chaos.place, members))
    assert isinstance(chaos, Table)
    return replace(chaos, entries={**chaos.entries, "roles": (chaos.place, Table(chaos.place, given))})


def _each(node: Node, names: Names) -> list[Node]:
    """A text that begins with a service's name, once for each of its replicas."""
    name, colon, rest = (text_of(node) or "").partition(":")
    if name not in names or not isinstance(node, Scalar):
        return [node]
    return [replace(node, value=f"{one}{colon}{rest}") for one in names[name]]

"""The engine's objects by their labels: containers, networks and volumes, listed and removed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from chaos.stack.engine.client import Engine

Kind = Literal["container", "network", "volume"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""In the order in which they can be removed."""


@dataclass(frozen=True)
class Object:
    """One of them. `name` is for people; the engine knows it by its id."""

    kind: Kind
    id: str
    name: str
    labels: Mapping[str, str]


def labelled(client: Engine, kind: Kind, label: str) -> list[Object]:
    """All of a kind that have a label, `name` or `name=value`."""
    api, filters = client.api, {"label": [label]}
    rows: list[dict[str, Any]]
    if kind == "container":
        rows = api.containers(all=True, filters=filters)
        named = [(each["Id"], each["Names"][0].lstrip("/") if each.get("Names") else each["Id"][:12]) for each in rows]
    elif kind == "network":
        rows = api.networks(filters=filters)
        named = [(each["Id"], each["Name"]) for each in rows]
    else:
        rows = api.volumes(filters=filters).get("Volumes") or []
        named = [(each["Name"], each["Name"]) for each in rows]
    return [Object(kind, *names, each.get("Labels") or {}) for names, each in zip(named, rows, strict=True)]


def remove(client: Engine, found: Object) -> None:
    """Remove it, a container at once, with the volumes that are its alone.

    Raises:
        Refusal: It is gone, is on its way out, is in use, or cannot be removed.
    """
    if found.kind == "container":
        client.api.remove_container(found.id, force=True, v=True)
    elif found.kind == "network":
        client.api.remove_network(found.id)
    else:
        client.api.remove_volume(found.id, force=True)

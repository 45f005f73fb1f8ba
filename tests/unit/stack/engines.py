"""An engine that only keeps lists: containers, networks and volumes with their labels."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import docker
import docker.errors
import requests

from chaos.stack.engine.identity import Run


class ListEngine:
    """The part of the engine's low-level API that sweeping and networks use."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, dict[str, str]]] = {"container": {}, "network": {}, "volume": {}}
        self.refusals: dict[str, list[int]] = {}
        """Status codes that the next removals of an object are refused with, by name; 409 on a container removes it."""
        self.removed: list[str] = []
        self.overlapping: set[str] = set()
        self.layers: dict[str, list[dict[str, Any]]] = {}
        """Of images of Holdfast, by name."""

    @property
    def client(self) -> docker.DockerClient:
        def no_image(name: str) -> None:
            raise refusal(404, f"no image {name}")

        class Client:
            api = self
            images = SimpleNamespace(get=no_image)

            def close(self) -> None:
                pass

        return cast(docker.DockerClient, Client())

    def make(self, kind: str, name: str, run: Run, role: str = "service") -> None:
        self.objects[kind][name] = run.labels(role)

    def left(self) -> set[str]:
        return {name for names in self.objects.values() for name in names}

    def containers(self, *, all: bool, filters: dict[str, list[str]]) -> list[dict[str, Any]]:  # noqa: A002 - the SDK's
        assert all
        return [{"Id": n, "Names": [f"/{n}"], "Labels": labels} for n, labels in self._found("container", filters)]

    def networks(self, *, filters: dict[str, list[str]]) -> list[dict[str, Any]]:
        return [{"Id": name, "Name": name, "Labels": labels} for name, labels in self._found("network", filters)]

    def volumes(self, *, filters: dict[str, list[str]]) -> dict[str, Any]:
        found = [{"Name": name, "Labels": labels} for name, labels in self._found("volume", filters)]
        return {"Volumes": found or None}

    def images(self, *, all: bool, filters: dict[str, list[str]]) -> list[dict[str, Any]]:  # noqa: A002 - the SDK's
        assert filters == {"label": ["holdfast.image=1"]}
        return [{"Id": f"id of {name}", "RepoTags": [name]} for name in self.layers]

    def history(self, image: str) -> list[dict[str, Any]]:
        return self.layers[image.removeprefix("id of ")]

    def remove_image(self, image: str) -> None:
        name = image.removeprefix("id of ")
        if codes := self.refusals.get(name, []):
            raise refusal(codes.pop(0), f"{name} is busy")
        del self.layers[name]
        self.removed.append(name)

    def remove_container(self, name: str, *, force: bool, v: bool) -> None:
        assert force
        assert v
        self._remove("container", name)

    def remove_network(self, name: str) -> None:
        self._remove("network", name)

    def remove_volume(self, name: str, *, force: bool) -> None:
        self._remove("volume", name)

    def create_network(self, name: str, *, ipam: Any, labels: dict[str, str], **_: Any) -> dict[str, str]:
        subnet = ipam["Config"][0]["Subnet"]
        if subnet in self.overlapping:
            raise refusal(403, "Pool overlaps with other one on this address space")
        self.objects["network"][name] = labels
        return {"Id": f"id of {name}"}

    def _found(self, kind: str, filters: dict[str, list[str]]) -> list[tuple[str, dict[str, str]]]:
        key, _, value = filters["label"][0].partition("=")
        return [
            (name, labels)
            for name, labels in self.objects[kind].items()
            if key in labels and value in ("", labels[key])
        ]

    def _remove(self, kind: str, name: str) -> None:
        codes = self.refusals.get(name, [])
        if codes:
            raise refusal(codes.pop(0), f"{name} is busy")
        if name not in self.objects[kind]:
            raise refusal(404, f"no such {kind}")
        del self.objects[kind][name]
        self.removed.append(name)


def refusal(code: int, explanation: str) -> docker.errors.APIError:
    """What the SDK raises for a status code."""
    response = requests.Response()
    response.status_code = code
    return docker.errors.APIError("refused", response=response, explanation=explanation)

"""Network namespaces that are kept for services that are started again and again: most of what an engine does for a
container is its network.

A *frame* is a container that does nothing but keep one. Each container of the service joins it, and has its addresses,
its host name and its name server. What a service could leave there is its sockets, and what it writes into the files
that all containers of a namespace share: the agent closes the former and compares the latter, and a frame that is not
as it was is made anew. What runs on are the kernel's counters of packets.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace

from chaos.agent.wire import Tidy
from chaos.stack.agent.link import Agent
from chaos.stack.engine import containers
from chaos.stack.engine.client import Engine
from chaos.stack.engine.containers import Container, ServicePlace
from chaos.stack.spec import Service


@dataclass(frozen=True)
class _Frame:
    """One that is there."""

    container: Container
    hostname: str


class Frames:
    """Those of one stack copy."""

    def __init__(self, client: Engine, agent: Agent, image: str, places: Mapping[str, ServicePlace]) -> None:
        """There are none yet.

        Args:
            client: The engine.
            agent: Of the copy.
            image: One that has `sleep`.
            places: By service.
        """
        self._client = client
        self._agent = agent
        self._image = image
        self._places = places
        self._frames: dict[str, _Frame] = {}
        self._attempts = itertools.count(1)

    async def place(self, service: Service, hostname: str) -> ServicePlace:
        """Where the next container of a service goes; none of it may run any more.

        A service that may change its network, by a capability or a setting of the kernel, has a namespace of its own.
        """
        place = self._places[service.name]
        if service.cap_add or service.sysctls:
            return place
        frame = self._frames.get(service.name)
        if frame is not None and (frame.hostname != hostname or not await self.tidy(service.name)):
            del self._frames[service.name]
            await asyncio.to_thread(containers.remove, self._client, frame.container)
            frame = None
        if frame is None:
            make, attempt = containers.create_frame, next(self._attempts)
            made = await asyncio.to_thread(make, self._client, service, place, attempt, self._image, hostname)
            frame = self._frames[service.name] = _Frame(made, hostname)
            await self.tidy(service.name)
        return replace(place, frame=frame.container.id)

    async def tidy(self, service: str) -> bool:
        """Close what the service has left in its frame; whether that is as it was first. One without a frame is."""
        frame = self._frames.get(service)
        return frame is None or not (await self._agent.call(Tidy(frame.container.pid))).left

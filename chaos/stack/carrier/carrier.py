"""The carrier: the path of the phones to the front door, through a Toxiproxy server in a container of the run.

Phones knock at a port of 127.0.0.1 that keeps its number over restarts; so does the server's API, which is beside
the path that it spoils. The container carries the run's labels, so whoever ends the run ends every fault with it.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.agent.wire import Confine, Forget
from chaos.errors import CarrierError
from chaos.stack.agent.link import Agent
from chaos.stack.carrier.toxic import Toxic
from chaos.stack.carrier.toxiproxy import ProxyState, Toxiproxy
from chaos.stack.engine import containers, own
from chaos.stack.engine.client import Engine, Refusal, reason_of
from chaos.stack.engine.containers import Container
from chaos.stack.engine.identity import Run
from chaos.stack.engine.network import Network
from chaos.stack.engine.ports import free_port

NAME = "x-chaos.carrier"
"""As the agent knows it, beside the services."""
DOOR = "front-door"
"""The one proxy's name."""
_DOOR_PORT = 8666
_API_PORT = 8474
_POLL_SECONDS = 0.01


@dataclass(frozen=True)
class CarrierPlace:
    """Where a run's carrier lives, over all of its incarnations.

    Attributes:
        image: The id of the server's image.
        index: Of its fixed address in the run's network.
        upstream: The front door's "address:port" there.
    """

    run: Run
    network: Network
    image: str
    index: int
    upstream: str


class Carrier:
    """One run's carrier. All methods belong to one event loop; blocking calls run in threads."""

    def __init__(self, client: Engine, agent: Agent, place: CarrierPlace) -> None:
        """Nothing runs yet; both ports of 127.0.0.1 are chosen for good."""
        self._client = client
        self._agent = agent
        self._place = place
        self._door_port, self._api_port = free_port(), free_port()
        self._api = Toxiproxy(self._api_port)
        self._container: Container | None = None
        self._names = itertools.count(1)
        self._state = ProxyState(True, {})
        self._one_at_a_time = asyncio.Lock()

    @property
    def address(self) -> tuple[str, int]:
        """The address of the proxy, where phones connect."""
        return "127.0.0.1", self._door_port

    @property
    def pid(self) -> int:
        """Its process in the host's namespace; 0 where it does not run."""
        return self._container.pid if self._container else 0

    async def start(self, seconds_max: float) -> None:
        """Make and start the container, and wait until its proxy stands.

        Raises:
            CarrierError: It does not come up in time.
        """
        try:
            made = await asyncio.to_thread(self._create_and_start)
        except Refusal as error:
            raise CarrierError(f"the carrier cannot be started: {reason_of(error)}; see `holdfast doctor`") from error
        self._container = Container(made, "carrier")
        await self._begin(seconds_max)

    async def restart(self, seconds_max: float) -> None:
        """SIGKILL the container and start it again, with its address, its ports and its proxy, and without toxics.

        Raises:
            CarrierError: It does not come back in time.
        """
        if self._container is None:
            raise CarrierError("the carrier does not run, so it cannot be restarted; keep the run folder and report it")
        await self._agent.call(Forget(NAME))
        try:
            await asyncio.to_thread(containers.kill_and_wait, self._client, self._container)
        except Refusal as error:
            raise CarrierError(f"the carrier cannot be restarted: {reason_of(error)}") from error
        await self._begin(seconds_max)

    async def apply(self, open_: bool, toxics: Sequence[Toxic]) -> int:
        """Bring the path into this state, and read it back; concurrent calls take effect in their order.

        Toxics that are wanted and there already are left alone, so that other faults' connections stay as they are.

        Returns:
            CLOCK_MONOTONIC ns when the last change was in force.

        Raises:
            CarrierError: The server is gone, or is not as it was told.
        """
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._apply, open_, toxics)

    async def verify(self) -> None:
        """Whether it still serves: a carrier that died is the harness's failure, not the service's.

        Raises:
            CarrierError: It does not.
        """
        await asyncio.to_thread(self._api.state, DOOR)

    async def remove(self, logs: Path | None, hush: Callable[[bytes], bytes]) -> None:
        """Remove the container; its log goes into the folder `logs`."""
        container, self._container = self._container, None
        self.close()
        if container is None:
            return
        await self._agent.call(Forget(NAME))
        if logs is not None:
            await asyncio.to_thread(containers.save_log, self._client, container, logs, hush)
        await asyncio.to_thread(containers.remove, self._client, container)

    def close(self) -> None:
        """Close the connection to the server, which stays as it is; the next call makes another one."""
        self._api.close()

    async def _begin(self, seconds_max: float) -> None:
        """Start, confine, and populate; the container is there."""
        assert self._container is not None
        deadline = time.monotonic() + seconds_max
        self.close()  # a kept connection led to the server before
        self._container = await asyncio.to_thread(containers.start, self._client, self._container)
        await self._agent.call(Confine(NAME, self.pid, self._place.network.subnet))
        while True:
            try:
                await asyncio.to_thread(self._api.version)
                break
            except CarrierError as error:
                if time.monotonic() > deadline:
                    raise CarrierError(f"the carrier does not come up in {seconds_max:.0f} s: {error}") from error
            await asyncio.sleep(_POLL_SECONDS)
        await asyncio.to_thread(self._api.populate, DOOR, f"0.0.0.0:{_DOOR_PORT}", self._place.upstream)
        self._state = ProxyState(True, {})

    def _apply(self, open_: bool, toxics: Sequence[Toxic]) -> int:
        state = self._state  # as last read back: what changed it since will be found below
        wanted, there = list(toxics), dict(state.toxics)
        for name, toxic in state.toxics.items():
            if toxic in wanted:
                wanted.remove(toxic)
                del there[name]
        if state.enabled and not open_:
            self._api.enable(DOOR, False)
        for toxic in wanted:
            self._api.add(DOOR, f"{toxic.type}-{next(self._names)}", toxic)
        for name in there:
            self._api.remove(DOOR, name)
        if open_ and not state.enabled:
            self._api.enable(DOOR, True)
        at = time.monotonic_ns()
        found = self._api.state(DOOR)
        if found.enabled is not open_ or _sorted(found.toxics.values()) != _sorted(toxics):
            raise CarrierError(f"the carrier is not as it was told: {found}; see the carrier's log")
        self._state = found
        return at

    def _create_and_start(self) -> str:
        place, ports = self._place, {_DOOR_PORT: self._door_port, _API_PORT: self._api_port}
        command = f"-host=0.0.0.0 -port={_API_PORT}"
        return own.start_carrier(self._client, place.run, place.image, command, place.network, place.index, ports)


def _sorted(toxics: Any) -> list[str]:
    return sorted(repr((each.type, each.stream, sorted(each.attributes.items()), each.toxicity)) for each in toxics)

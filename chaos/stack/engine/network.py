"""One bridge per run: an own /24 of the benchmarking range 198.18.0.0/15, not translated to the outside.

Not `--internal`: such a network publishes no ports. What the containers may reach is confined by the agent
(`chaos.agent.network.links`); without masquerade an answer from outside could not find its way back either.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import docker.types

from chaos.errors import EngineError
from chaos.stack.engine.client import Engine, Refusal
from chaos.stack.engine.identity import Run
from chaos.stack.spec import Stack

_SUBNETS = 128
_FIRST_HOST = 10


@dataclass(frozen=True)
class Network:
    """A run's bridge. `subnet` such as "198.18.7.0/24"."""

    id: str
    name: str
    subnet: str

    def address(self, index: int) -> str:
        """The fixed address of the index-th service."""
        return self.subnet.replace(".0/24", f".{_FIRST_HOST + index}")

    def endpoint(self, client: Engine, index: int, names: Sequence[str] = ()) -> Any:
        """How the index-th service is connected, as the engine's API takes it: always with the same addresses.

        The hardware address, too: some engines draw another one at every start, and the others on the network go on
        sending to the old one until they ask again, which takes them half a minute.
        """
        address = self.address(index)
        hardware = "02:42:" + ":".join(f"{int(part):02x}" for part in address.split("."))
        return client.api.create_endpoint_config(
            ipv4_address=address, mac_address=hardware, aliases=list(names) or None
        )


def create(client: Engine, run: Run) -> Network:
    """Make the run's bridge on a subnet that nobody else uses.

    Raises:
        EngineError: The engine refuses every subnet.
    """
    subnets = [f"198.18.{number}.0/24" for number in range(_SUBNETS)]
    random.SystemRandom().shuffle(subnets)
    name = f"holdfast-{run.id}"
    reason = ""
    for subnet in subnets:
        pool = docker.types.IPAMPool(subnet=subnet)
        try:
            made = client.api.create_network(
                name,
                driver="bridge",
                ipam=docker.types.IPAMConfig(pool_configs=[pool]),
                options={"com.docker.network.bridge.enable_ip_masquerade": "false"},
                labels=run.labels("network"),
                check_duplicate=True,
            )
        except Refusal as error:
            reason = str(error.explanation)
            if error.status_code == 403 or "overlap" in reason or "Pool" in reason:
                continue
            raise EngineError(f"the engine refuses to make a network: {reason}") from error
        return Network(made["Id"], name, subnet)
    raise EngineError(f"no free /24 of 198.18.0.0/15 for the run's network: {reason}; see `docker network ls`")


def addresses(stack: Stack, net: Network) -> dict[str, str]:
    """The address of every name that is one service's alone; a shared alias is left to the engine's name server."""
    named = [
        (name, net.address(index))
        for index, service in enumerate(stack.services.values())
        for name in {service.name, *service.aliases}
    ]
    names = [name for name, _ in named]
    return {name: address for name, address in named if names.count(name) == 1}

"""What services are called that state no `hostname`: as engines call them after their container's id, by chance.

A machine keeps its name when its power is cut or its processes are killed, and so does the container here, however
often it is made anew meanwhile. Golden LUNs may hold the name, so it is drawn once for each set of them and kept with
them. It is another one only where operators would make the container anew: on a blank disk, or for an upgrade.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping

from chaos.stack.spec import Stack

_BYTES = 6
"""Twelve digits, as many as an engine takes of a container's id."""


class Hostnames:
    """The names of the services of one copy of a stack."""

    def __init__(self, stack: Stack) -> None:
        """Draw one for each service that states none."""
        self._stack = stack
        self.drawn: dict[str, str] = {}
        """By service, of those that state none."""
        self.draw(stack.services)

    def __getitem__(self, service: str) -> str:
        """What a service is called."""
        return self._stack.services[service].hostname or self.drawn[service]

    def draw(self, services: Iterable[str]) -> None:
        """Draw new ones for these, where they state none."""
        self.drawn.update(
            {name: secrets.token_hex(_BYTES) for name in services if not self._stack.services[name].hostname}
        )

    def take(self, kept: Mapping[str, str]) -> None:
        """Use the names that are kept with golden LUNs."""
        self.drawn = dict(kept)

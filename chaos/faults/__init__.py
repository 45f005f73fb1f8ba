"""Faults, one file a family. A fault says what state it wants; `injector` brings it about and takes it away.

To add one, write a class in the file of its family and decorate it with `@fault`: see `docs/faults.md`.
"""

from chaos.faults import carrier, disk, network, process, san  # noqa: F401 - importing a family registers its faults
from chaos.faults.registry import catalogue, make

__all__ = ["catalogue", "make"]

"""Faults. A fault says what state it wants its targets in; its medium applies that state and takes it away again.

One folder for each medium (`lun`, `process`, `link`, `carrier`): to add a fault, define a class there (see
`docs/faults.md`); to add a medium, a folder.
"""

from chaos.faults.registry import catalogue, known_faults, make

__all__ = ["catalogue", "known_faults", "make"]

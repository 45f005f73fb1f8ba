"""A Compose file during its cross-checks, and how a problem found there becomes an error with its place."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from chaos.errors import Problem
from chaos.experiment.source import Loc, Node, find, key_place
from chaos.stack.compose.reading.interpolate import Lookup
from chaos.stack.compose.schema import ComposeModel, ServiceModel
from chaos.stack.inputs.sources import Folder

Found = Iterator[Problem]


@dataclass(frozen=True)
class Checked:
    """A Compose file that is right in shape.

    Attributes:
        active: Names of the services that the profiles leave switched on, and that have a replica.
        idle: Those without one.
        folder: To which relative paths are relative.
        wrong: Where the shape is wrong, so that nothing is said of what may be missing there.
        needs_door: Whether `x-chaos` has to name the front door.
    """

    model: ComposeModel
    root: Node
    active: Collection[str]
    folder: Folder
    lookup: Lookup
    wrong: Collection[Loc] = ()
    idle: Collection[str] = ()
    needs_door: bool = True

    def services(self) -> Iterable[tuple[str, ServiceModel]]:
        """The active ones."""
        return [(name, service) for name, service in self.model.services.items() if name in self.active]

    def is_whole(self, *loc: str) -> bool:
        """Whether nothing was wrong at this place or below."""
        return not any(one[: len(loc)] == loc for one in self.wrong)

    def at(self, loc: Loc, message: str, hint: str) -> Problem:
        """A problem at a value."""
        return find(self.root, loc)[1].problem(message, hint)

    def at_key(self, loc: Loc, message: str, hint: str) -> Problem:
        """A problem at a key."""
        return key_place(self.root, loc).problem(message, hint)

"""What a phone knows of its user's records: the versions last read from the service, or acknowledged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from chaos.history.events import Row


@dataclass(frozen=True, slots=True)
class Known:
    """A version of a record, as it stands in the cache."""

    row: Row
    type: str


class Cache:
    """The records of one device incarnation; a reset starts with an empty one."""

    def __init__(self) -> None:
        """Know nothing."""
        self._known: dict[str, Known] = {}
        self._doubtful: set[str] = set()

    def learn(self, row: Row, kind: str) -> None:
        """Take over a version: acknowledged, or read from the service."""
        self._known[row.record] = Known(row, kind)
        self._doubtful.discard(row.record)

    def forget(self, name: str) -> None:
        """The record is deleted."""
        self._known.pop(name, None)

    def replace_all(self, versions: Iterable[Known]) -> None:
        """Take over a full read: what it lacks is not there."""
        self._known.clear()
        self._doubtful.clear()
        for known in versions:
            self.learn(known.row, known.type)

    def doubt(self, name: str) -> None:
        """The service refused a write on what is known of `name`; leave it alone until it is read again.

        It stays in the cache: if the service has not changed it, no delta will ever bring it back.
        """
        self._doubtful.add(name)

    def sure(self) -> Mapping[str, Known]:
        """What may be worked on."""
        return {name: known for name, known in self._known.items() if name not in self._doubtful}

    def rows(self) -> tuple[Row, ...]:
        """All that the phone shows its user."""
        return tuple(known.row for known in self._known.values())

"""Which copies of a record there were when it was acknowledged, and what has struck them since."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from chaos.history.events import BLOBS, COPIES, FaultEvent, Note
from chaos.history.told import struck_by, with_fields


@dataclass(frozen=True)
class Copy:
    """One copy of a store: a volume, the array that it is on ("" for none, and for a local disk), and both in words."""

    volume: str
    array: str
    place: str

    def struck(self, faults: Iterable[FaultEvent]) -> list[FaultEvent]:
        """The faults injected into the volume or its array, by name or by a role, as "primary (primary is pg1)"."""
        places = {self.volume, self.array} - {""}
        return [event for event in faults if event.happened == "injected" and not places.isdisjoint(struck_by(event))]


@dataclass(frozen=True)
class Store:
    """The copies of one store as a note tells them; none where its text is not understood."""

    name: str
    text: str
    copies: tuple[Copy, ...]

    @property
    def one_array(self) -> str:
        """The array that holds all copies, "" where they are on several or on none."""
        arrays = {copy.array for copy in self.copies}
        return arrays.pop() if len(arrays) == 1 else ""


def stores_of(notes: Iterable[Note], type_: str) -> tuple[Store, ...]:
    """The stores that hold a record of a type, from notes in the order of time; the last of a store counts."""
    stores = {store.name: store for store in (_store(with_fields(note)) for note in notes if note.topic == COPIES)}
    if type_ != "photo":
        stores.pop(BLOBS, None)
    return tuple(stores.values())


def _store(note: Note) -> Store:
    return Store(note.store, note.text.partition(":")[2].strip(), tuple(Copy(*copy) for copy in note.copies))

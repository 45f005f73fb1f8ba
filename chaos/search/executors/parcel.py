"""A run folder as bytes: what goes to a worker, and what comes back from it.

Owners and modes stay as they are, since a service of another user may read what is bound.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Collection
from pathlib import Path
from typing import Final

_QUICKLY: Final = 1
"""The level of compression; histories get ten times smaller with it."""


def packed(folder: Path, leave_out: Collection[str] = ()) -> bytes:
    """What is in a folder, without the entries of these names."""
    parcel = io.BytesIO()
    with tarfile.open(fileobj=parcel, mode="w:gz", compresslevel=_QUICKLY) as archive:
        for path in sorted(folder.iterdir()):
            if path.name not in leave_out:
                archive.add(path, path.name)
    return parcel.getvalue()


def unpacked(parcel: bytes, folder: Path) -> None:
    """Lay it into a folder, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(parcel), mode="r:gz") as archive:
        # nothing is refused: who sends this could run any program here (docs/search.md)
        archive.extraction_filter = lambda member, path: member
        archive.extractall(folder, numeric_owner=True)

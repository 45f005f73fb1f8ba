"""What stays on a host between runs, and how large it is: images, golden LUNs, and the rest of the cache folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from chaos.stack.cache import GOLDEN_FILE, cache_place, golden_place
from chaos.stack.engine import images as engine_images
from chaos.stack.engine.client import Engine, connect
from chaos.stack.images.leftover import all_of_ours

_BLOCK_BYTES = 512


@dataclass(frozen=True)
class Kept:
    """What is kept. Sizes of files are what the disk gives for them: a LUN is a file with holes.

    Attributes:
        images: Names of the images that Holdfast has built.
        images_bytes: All of them together; what they share, also with images of others, counts once.
        golden: How many sets of golden LUNs there are, by stack.
        golden_bytes: All of them together.
        cache_folder: Where they and all other files are.
        cache_bytes: The whole folder.
    """

    images: tuple[str, ...]
    images_bytes: int
    golden: Mapping[str, int]
    golden_bytes: int
    cache_folder: Path
    cache_bytes: int

    def __str__(self) -> str:
        """What is kept and how to remove it, one line each."""
        sets = sum(self.golden.values())
        images = f"{len(self.images)} image{'' if len(self.images) == 1 else 's'}"
        lines = [
            (len(self.images), images, self.images_bytes, "holdfast clean --images"),
            (sets, f"golden LUNs of {', '.join(self.golden)}", self.golden_bytes, "holdfast clean --golden"),
            (self.cache_bytes, f"the whole folder {self.cache_folder}", self.cache_bytes, "holdfast clean --all"),
        ]
        told = [f"  {size / 1e6:>9,.1f} MB  {what}  ({remedy})" for found, what, size, remedy in lines if found]
        return "\n".join(["kept for later runs:", *told]) if told else "nothing is kept"


def look() -> Kept:
    """Look at what is kept.

    Raises:
        EngineError: No engine answers.
    """
    client = connect()
    try:
        images, images_bytes = _images(client)
    finally:
        client.close()
    golden: dict[str, int] = {}
    for path in sorted(golden_place().glob(f"*/{GOLDEN_FILE}")):
        name = _stack_of(path)
        golden[name] = golden.get(name, 0) + 1
    folder = cache_place()
    return Kept(images, images_bytes, golden, _size_bytes(golden_place()), folder, _size_bytes(folder))


def _images(client: Engine) -> tuple[tuple[str, ...], int]:
    found = all_of_ours(client)
    names = sorted((*each.tags, each.id)[0] for each in found)
    return tuple(names), engine_images.size_bytes(client, [each.id for each in found])


def _stack_of(golden_file: Path) -> str:
    try:
        return str(json.loads(golden_file.read_text(encoding="utf-8"))["stack"])
    except (OSError, ValueError, KeyError, TypeError):
        return "unknown"  # another command may be removing it


def _size_bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_blocks * _BLOCK_BYTES
        except OSError:
            continue  # gone meanwhile
    return total

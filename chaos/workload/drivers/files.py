"""The files of a driver of the user's own: its module or package, and those beside it that they import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from chaos.experiment.drivers import is_class_of_a_module


def driver_files(driver: str, folder: Path | None) -> tuple[Path, ...]:
    """Modules (files) and packages (folders) of `folder` that the driver consists of.

    Found in the source: imports, those inside functions too, and `module:Class` texts, by which a driver names its
    doors. None for a driver that comes with Holdfast or is installed.
    """
    if folder is None or not is_class_of_a_module(driver):
        return ()
    found: dict[Path, None] = {}
    wanted = [driver.partition(":")[0].partition(".")[0]]
    while wanted:
        top = wanted.pop()
        place = _at(folder, top)
        if place is not None and place not in found:
            found[place] = None
            for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
                wanted += _imported(file)
    return tuple(found)


def _at(folder: Path, top: str) -> Path | None:
    """Where Python would find it in this folder: a package goes before a module."""
    if (folder / top / "__init__.py").is_file():
        return folder / top
    if (folder / f"{top}.py").is_file():
        return folder / f"{top}.py"
    return folder / top if any((folder / top).glob("*.py")) else None


def _imported(file: Path) -> Iterator[str]:
    """Top-level names that a module may import."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and is_class_of_a_module(node.value):
            yield node.value.partition(":")[0].partition(".")[0]

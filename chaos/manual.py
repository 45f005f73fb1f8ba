"""The pages of the documentation: the wheel brings them along, in a source tree they lie beside the package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from chaos.errors import UsageError

_PACKAGE = Path(__file__).parent


def pages() -> Mapping[str, Path]:
    """Every page by its name."""
    installed = _PACKAGE / "docs"
    folder = installed if installed.is_dir() else _PACKAGE.parent / "docs"
    found = {path.stem: path for path in sorted(folder.glob("*.md")) if path.stem != "README"}
    beside = _PACKAGE.parent / "reports" / "README.md"
    return found if "reports" in found or not beside.is_file() else {**found, "reports": beside}


def page(name: str) -> str:
    """The text of a page; "drivers", "drivers.md" and "docs/drivers.md" are the same.

    Raises:
        UsageError: There is none of this name.
    """
    known = pages()
    wanted = known.get(Path(name).stem)
    if wanted is None:
        raise UsageError(f"there is no page {name!r}; there are {', '.join(known) or 'none: install the wheel anew'}")
    return wanted.read_text(encoding="utf-8")


def contents() -> list[str]:
    """One line for each page: its name and its title."""
    titles = {name: path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ") for name, path in pages().items()}
    return [f"{name:<16} {title}" for name, title in titles.items()]

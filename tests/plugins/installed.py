"""Has a package installed as pip would: a folder with its entry points, for the path of Python."""

from __future__ import annotations

from pathlib import Path

SPACE = "[holdfast.faults]\nspace = tests.plugins.space\n"


def installed(folder: Path, entry_points: str = SPACE) -> Path:
    """Write the package's metadata into `folder`; put that on the path, and what it adds is there."""
    info = folder / "holdfast_space-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: holdfast-space\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)
    return folder

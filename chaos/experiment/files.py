"""Finds out which YAML files are experiments without loading them: pytest asks this of every YAML file."""

from __future__ import annotations

import re
from pathlib import Path

_KEYS = tuple(re.compile(rf"^{key}\s*:", re.MULTILINE) for key in ("experiment", "stack"))
_READ_BYTES_MAX = 256 * 1024


def is_experiment(path: Path) -> bool:
    """Whether the keys `experiment` and `stack` stand at the top level; its problems are said when it is loaded."""
    try:
        with path.open("rb") as file:
            text = file.read(_READ_BYTES_MAX).decode("utf-8", errors="replace")
    except OSError:
        return False
    return all(key.search(text) for key in _KEYS)

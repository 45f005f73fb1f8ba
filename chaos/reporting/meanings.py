"""The meaning of each class of anomaly, in one sentence for the report."""

from __future__ import annotations

from chaos.checks.classes import MEANING


def meaning(name: str) -> str:
    """The sentence of a class."""
    said = MEANING.get(name, "a class that this version has no sentence for")
    return f"{said[0].upper()}{said[1:]}."

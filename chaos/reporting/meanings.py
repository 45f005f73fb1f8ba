"""What each class of anomaly means, in a sentence for whoever reads a report in the night."""

from __future__ import annotations

from chaos.checks.classes import MEANING


def meaning(name: str) -> str:
    """The sentence of a class."""
    said = MEANING.get(name, "a class that this version has no sentence for")
    return f"{said[0].upper()}{said[1:]}."

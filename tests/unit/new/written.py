"""`holdfast new` on a Compose file of a test, and what `holdfast validate` makes of what it wrote."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from chaos.new.files import find_stack
from chaos.new.guess import Guess, guess
from chaos.new.writing import Written
from chaos.preflight.opening import Opened
from chaos.preflight.several import open_all

ALL_DRIVERS = ("etcd", "http", "mariadb", "postgresql", "redis", "webdav")


def guessed(folder: Path, text: str, drivers: Collection[str] = ALL_DRIVERS, **environment: str) -> Guess:
    """What is guessed of a Compose file."""
    (folder / "compose.yaml").write_text(text)
    found = find_stack(folder, environment)
    return guess(found.stack, found.variables, drivers)


def opened(written: Written) -> Mapping[str, Opened]:
    """Every experiment that was written, opened as by `validate`, by its name."""
    return {each.plans[0].experiment: each for each in open_all(written.experiments, 1).opened}

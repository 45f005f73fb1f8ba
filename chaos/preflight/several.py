"""Opens all files of a run before anything of it begins, so that what is wrong with any is told with all the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos.errors import SeveralErrors, UsageError
from chaos.experiment.files import PassedOver, experiments_in
from chaos.preflight import opening
from chaos.preflight.opening import Opened


@dataclass(frozen=True)
class Asked:
    """What a user asked to be run.

    Attributes:
        opened: One for each file, in the order in which they were named; those of a folder by name.
        several: Whether several files, or a folder, were named.
        passed_over: What a folder has beside its experiments.
    """

    opened: Sequence[Opened]
    several: bool
    passed_over: Sequence[PassedOver] = ()


def open_all(
    named: Sequence[Path], seed: int | None, *, times: int = 1, images: Mapping[str, str] | None = None
) -> Asked:
    """Open experiments, plans, and folders of experiments.

    Args:
        named: Files and folders. What is named twice is opened once.
        seed: As for `open_experiment`; each file is drawn from the same seed.
        times: How many trials of each file.
        images: By service, the image that it is to run in every file's stack.

    Raises:
        UsageError: The one thing that was named cannot be run.
        SeveralErrors: Everything that is wrong with any of them.
    """
    wrong: dict[str, UsageError] = {}
    files: dict[Path, Path] = {}
    passed_over: list[PassedOver] = []
    for name in named:
        try:
            found, others = experiments_in(name) if name.is_dir() else ([name], [])
        except UsageError as error:
            wrong[str(name)] = error
            continue
        passed_over += others
        for file in found:
            files.setdefault(file.resolve(), file)
    opened = []
    for file in files.values():
        try:
            opened.append(opening.open_experiment(file, seed, times=times, images=images))
        except UsageError as error:
            wrong[str(file)] = error
    several = len(named) > 1 or named[0].is_dir()
    if len(named) == len(wrong) == 1 and not opened:
        raise next(iter(wrong.values()))
    if wrong:
        raise SeveralErrors(wrong, len(wrong) + len(opened))
    return Asked(opened, several, passed_over)

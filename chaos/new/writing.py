"""`holdfast new`: looks at a Compose file, guesses, and writes what a first trial needs beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos.errors import UsageError
from chaos.experiment.drivers import known_drivers
from chaos.new import overlay, own_driver
from chaos.new.experiments import experiments
from chaos.new.files import find_stack
from chaos.new.guess import Guess, guess


@dataclass(frozen=True)
class Written:
    """What was written, and why it is as it is.

    Attributes:
        files: What each file is in a few words, by path.
        experiments: Those of the files that are experiments.
        unsafe: Settings of the stack that switch durability off.
    """

    files: Mapping[Path, str]
    experiments: Sequence[Path]
    guess: Guess
    unsafe: Sequence[str]


def write_new(compose_file: Path | None) -> Written:
    """Write `x-chaos`, three experiments and, where no driver fits, one to fill in; the Compose file stays as it is.

    Raises:
        UsageError: There is no Compose file, it cannot be loaded, or one of the files to be written is there.
    """
    found = find_stack(compose_file)
    guessed = guess(found.stack, found.variables, known_drivers())
    told = experiments(guessed, found.files)
    texts = {overlay.NAME: (f"what {found.files[0].name} cannot say: x-chaos", overlay.overlay(guessed, found.files))}
    texts |= told
    if guessed.has_own_driver:
        what = f"how phones speak to {guessed.front.service}: yours to fill in"
        texts[own_driver.NAME] = (what, own_driver.own_driver(guessed, next(iter(told))))
    _write({found.folder / name: text for name, (_, text) in texts.items()})
    return Written(
        {found.folder / name: what for name, (what, _) in texts.items()},
        [found.folder / name for name in told],
        guessed,
        found.stack.unsafe,
    )


def _write(texts: Mapping[Path, str]) -> None:
    """Write all of it or nothing, and over nothing."""
    if there := [str(path) for path in texts if path.exists() or path.is_symlink()]:
        verb = "is" if len(there) == 1 else "are"
        raise UsageError(f"{', '.join(there)} {verb} there already, and nothing is written over; move or remove first")
    made: list[Path] = []
    try:
        for path, text in texts.items():
            path.parent.mkdir(exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                made.append(path)
                file.write(text)
    except OSError as error:
        for path in made:
            path.unlink(missing_ok=True)
        raise UsageError(f"{error.filename} cannot be written ({error.strerror}); nothing was") from error

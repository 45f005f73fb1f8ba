"""How far something is that has many steps: a bar where somebody looks on, else sparse lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from chaos.reporting.words import duration

_QUIET_SECONDS_MAX = 9.0
"""After so long without a line a plain log says how far it is."""

Step = Callable[[str], None]
"""One step is done; takes a line that is worth telling at once, or ""."""


class Steps(Protocol):
    """How far it is."""

    @property
    def done(self) -> int:
        """Steps that are done."""

    @property
    def total(self) -> int:
        """All steps."""

    @property
    def violated(self) -> int:
        """Those that found something wrong."""

    @property
    def seconds_left(self) -> float | None:
        """None: nobody knows."""


@contextmanager
def shown(steps: Steps, what: str, out: TextIO, *, quiet: bool) -> Iterator[Step]:
    """Show how far it is; `what` is what the steps are, as "states"."""
    if quiet:
        yield lambda line: None
    elif out.isatty():
        with _bar(steps, what, out) as step:
            yield step
    else:
        yield _lines(steps, what, out)


def _lines(steps: Steps, what: str, out: TextIO) -> Step:
    said = time.monotonic()

    def step(line: str) -> None:
        nonlocal said
        if not line:
            if time.monotonic() - said < _QUIET_SECONDS_MAX:
                return
            left = f", {duration(steps.seconds_left)} left" if steps.seconds_left is not None else ""
            line = f"{steps.done:,} of {steps.total:,} {what}{_wrong(steps)}{left}"
        out.write(f"  {line}\n")
        out.flush()
        said = time.monotonic()

    return step


@contextmanager
def _bar(steps: Steps, what: str, out: TextIO) -> Iterator[Step]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(24), MofNCompleteColumn(), TextColumn(f"{what}{{task.fields[wrong]}}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=out, highlight=False, markup=False)) as bar:
        task = bar.add_task("", total=steps.total, completed=steps.done, wrong="")

        def step(line: str) -> None:
            if line:
                bar.console.print(f"  {line}")
            bar.update(task, completed=steps.done, total=steps.total, wrong=_wrong(steps))

        yield step


def _wrong(steps: Steps) -> str:
    return f", {steps.violated:,} violated" if steps.violated else ""

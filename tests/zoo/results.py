"""What searches of the zoo came to, kept in files, a line each, so that what was stopped goes on where it was."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from chaos.reporting.progress.kept import KeptLines

FOLDER: Final = Path("reports/zoo")
Way = Literal["guided", "drawn", "uniform"]


@dataclass(frozen=True)
class Sought:
    """What one search of a variant came to.

    Attributes:
        way: How schedules were chosen.
        anomaly: The class that is expected.
        trials: Up to the first violation, or all that there were.
        seconds: That they took, the audit and the making of the stack copies included.
        classes: Of the first violation; none: nothing was found.
        events: Faults that are left of its schedule.
        executions: That it took to make it smaller; 0: it was left as it was found.
        came_again: How often what is left came again, of `measured`.
        trouble: Why the search did not get to its end.
    """

    name: str
    way: Way
    seed: int
    anomaly: str
    trials: int
    seconds: float
    classes: tuple[str, ...] = ()
    events: int = 0
    executions: int = 0
    came_again: int = 0
    measured: int = 0
    trouble: str = ""

    @property
    def is_found(self) -> bool:
        """Whether something was violated: another schedule may show the same bug with another class."""
        return bool(self.classes)

    @property
    def is_of_its_class(self) -> bool:
        """Whether it was found as what the table says."""
        return self.anomaly in self.classes


@dataclass(frozen=True)
class Searched:
    """What a search of a fixed twin came to: trials that count, and alarms by their schedules."""

    twin: str
    seed: int
    trials: int
    conclusive: int
    seconds: float
    alarms: tuple[str, ...] = ()
    trouble: str = ""

    @property
    def is_quiet(self) -> bool:
        """As it must be: something was proven, and nothing found."""
        return bool(self.conclusive) and not self.alarms and not self.trouble


class Results:
    """What earlier sessions and this one have found."""

    def __init__(self, folder: Path = FOLDER) -> None:
        """Read what there is."""
        folder.mkdir(parents=True, exist_ok=True)
        self._variants = KeptLines(folder / "variants.jsonl", Sought)
        self._twins = KeptLines(folder / "twins.jsonl", Searched)
        self.sought = {(each.name, each.way, each.seed): each for each in self._variants.read()}
        self.twins = {(each.twin, each.seed): each for each in self._twins.read()}

    def keep(self, found: Sought | Searched) -> None:
        """Keep it, for later sessions too; what did not get to its end, or proved nothing, is tried again by them."""
        if isinstance(found, Sought):
            self.sought[found.name, found.way, found.seed] = found
            if not found.trouble:
                self._variants.add(found)
        else:
            self.twins[found.twin, found.seed] = found
            if not found.trouble and found.conclusive:
                self._twins.add(found)

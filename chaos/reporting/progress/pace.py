"""How far a run is and how long it will take, from what its trials tell of themselves."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chaos.reporting.listener import Standing

LOAD = "load"


@dataclass
class UnderWay:
    """A trial under way, with the instants (seconds, of the pace's clock) at which it and its phase began."""

    at: Standing
    begun: float
    phase_begun: float


class Pace:
    """Keeps which trials are under way, and how long those took that are over."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with no trial; `clock` counts seconds."""
        self._clock = clock
        self._by_trial: dict[int, UnderWay] = {}
        self._took: list[float] = []
        self.times = 0

    def take(self, at: Standing) -> None:
        """Hear of a trial."""
        now = self._clock()
        self.times = at.times
        known = self._by_trial.get(at.trial)
        if not at.phase:
            if known is not None:
                self._took.append(now - self._by_trial.pop(at.trial).begun)
        elif known is None:
            self._by_trial[at.trial] = UnderWay(at, now, now)
        else:
            if known.at.phase != at.phase:
                known.phase_begun = now
            known.at = at

    @property
    def over(self) -> int:
        """How many trials are over."""
        return len(self._took)

    @property
    def under_way(self) -> Sequence[UnderWay]:
        """The trials under way, in the order in which they began."""
        return tuple(self._by_trial.values())

    def phase_seconds(self, trial: UnderWay) -> float:
        """How long its phase has lasted."""
        return self._clock() - trial.phase_begun

    def load_left(self, trial: UnderWay) -> float | None:
        """Seconds until the load of a trial is over at the pace of its operations; None: nobody knows."""
        done, total = trial.at.done, trial.at.total
        if trial.at.phase != LOAD or not 0 < done <= total:
            return None
        return self.phase_seconds(trial) * (total - done) / done

    def left(self) -> float | None:
        """Seconds until all trials are over if each lasts as long as those before; None: there was none before."""
        if not self._took:
            return None
        now = self._clock()
        mean = sum(self._took) / len(self._took)
        gone = sum(min(mean, now - each.begun) for each in self._by_trial.values())
        return (mean * (self.times - self.over) - gone) / max(1, len(self._by_trial))

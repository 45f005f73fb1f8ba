"""Whether writes were being acknowledged at an instant, such as when a fault struck."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chaos.history.model import INFINITY

QUIET_NS_MAX: Final = 1_000_000_000
"""The last acknowledgement may lie this long before the instant, or before what was under way then was sent."""
NEVER: Final = -1


@dataclass(frozen=True)
class Traffic:
    """Phones' writes up to an instant, in ns of CLOCK_MONOTONIC.

    Attributes:
        begun: When the first was sent.
        acknowledged: When the last of those that were acknowledged by then was.
        under_way: When the first of those was sent that were under way then, and were not refused afterwards: the
            phones of a service that refuses everything always have something under way.
    """

    begun: int = INFINITY
    acknowledged: int = NEVER
    under_way: int = INFINITY

    def __add__(self, other: Traffic) -> Traffic:
        """The traffic of both together."""
        return Traffic(
            min(self.begun, other.begun),
            max(self.acknowledged, other.acknowledged),
            min(self.under_way, other.under_way),
        )

    def flows(self, t: int) -> bool:
        """Whether writes were being acknowledged until the instant.

        The last acknowledgement is at most a second old, or was when the request was sent that had been under way
        longest: a service that has been silent for longer is not under load, however often phones try. Before the
        first acknowledgement the first request stands for it.
        """
        last = self.begun if self.acknowledged == NEVER else self.acknowledged
        return last <= t and last >= min(t, self.under_way) - QUIET_NS_MAX


def until(sent: int, back: int) -> int:
    """When an attempt was under way no more: one that was never answered, say of a phone that was reset, soon."""
    return back if back < INFINITY else sent + QUIET_NS_MAX

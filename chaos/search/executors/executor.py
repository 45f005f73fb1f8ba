"""What a search asks of whatever runs its trials."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from chaos.experiment.plan import Plan
from chaos.reporting.result import TrialResult


class Executor(Protocol):
    """Runs trials, several at once.

    Attributes:
        at_once: How many trials can run at the same time.
    """

    at_once: int

    async def trial(self, plan: Plan, folder: Path) -> TrialResult:
        """Run a trial in a run folder that has its inputs, and leave everything that it writes in that folder.

        Raises:
            HarnessError: Anything but the service failed; the trial says nothing.
        """
        ...

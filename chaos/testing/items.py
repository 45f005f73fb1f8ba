"""YAML experiments as pytest items: a test passes when the verdict is the one that its file expects.

The trial runs in the item's setup and is judged in its call, so that pytest, JUnit and Allure tell a broken
harness (error) from a property that does not hold (failure). INCONCLUSIVE is never a skip.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chaos.testing.session import UnexpectedVerdictError, session

if TYPE_CHECKING:
    from chaos.reporting.result import TrialResult


class ExperimentFile(pytest.File):
    """A YAML file with one experiment."""

    def collect(self) -> Iterable[ExperimentItem]:
        """Yield its one item."""
        item = ExperimentItem.from_parent(self, name=self.path.stem)
        # The verdict is the service's: a warning in this process must not turn it red, whatever -W says.
        item.add_marker(pytest.mark.filterwarnings("default"))
        yield item


class ExperimentItem(pytest.Item):
    """One trial of an experiment."""

    result: TrialResult

    def setup(self) -> None:
        """Run the trial."""
        from chaos.preflight.opening import open_experiment

        ours = session()
        plans = open_experiment(self.path, ours.seed, images=ours.images).plans
        self.user_properties.append(("seed", plans[0].seed))
        if reason := ours.require({fault.fault for fault in plans[0].schedule}):
            pytest.skip(reason)
        self.result = ours.run(plans)

    def runtest(self) -> None:
        """Compare the verdict with the expected one."""
        if not self.result.as_expected:
            raise UnexpectedVerdictError(self.result)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Place and name in reports."""
        return self.path, None, self.name

"""`@chaos.property`: a test of trials whose fault schedules Hypothesis draws."""

from __future__ import annotations

import functools
import inspect
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chaos.errors import UsageError
from chaos.preflight.opening import open_experiment
from chaos.search import plans
from chaos.testing.session import UnexpectedVerdictError, session


def property(file: Path | str, *, trials: int = 10) -> Callable[[Callable[..., None]], Callable[..., None]]:  # noqa: A001
    """Run a test for each of so many drawn trials of an experiment.

    A loss fails it, with the verdict block as text; so does it if no trial is HELD, since nothing was proven then.

        @chaos.property("experiments/orders.yaml", trials=20)
        def test_no_order_is_lost(trial: chaos.TrialResult) -> None: ...

    Args:
        file: The experiment; drawn are faults beside its own, among those that its `search` allows.
        trials: How many.

    Returns:
        A decorator of a test, whose first parameter is each trial's result: HELD, or INCONCLUSIVE where nothing was
        proven. Further parameters are fixtures.

    Raises:
        UsageError: The test has no parameter; when it runs: the experiment cannot be run.
    """

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        name = next(iter(inspect.signature(test).parameters), None)
        if name is None:
            raise UsageError(f"{test.__name__} needs a parameter: the result of each trial, a chaos.TrialResult")

        @functools.wraps(test)
        def on_each(*args: Any, **given_: Any) -> None:
            drawn = given_.pop(name)
            ours = session()
            with tempfile.TemporaryDirectory(prefix="holdfast-plan-") as folder:
                opened = open_experiment(plans.written(drawn, Path(folder)), images=ours.images)
                result = ours.run(opened.plans)
            ours.drawn.append(result)
            if result.verdict == "VIOLATED":
                raise UnexpectedVerdictError(result)
            test(*args, **{name: result}, **given_)

        drawn_plans = st.deferred(lambda: plans.of(file))
        return plans.trials(trials)(given(**{name: drawn_plans})(on_each))

    return decorate

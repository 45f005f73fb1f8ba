"""For all tests: no session leaves anything on the host, what an engine-less host cannot do is skipped, and
Hypothesis looks at the same examples every time unless it is asked for more.

    HOLDFAST_HYPOTHESIS=full    many more examples, other ones each time; of a state machine 50,000 steps
    HOLDFAST_REQUIRED=1, CI=1   a missing engine is a failure, not a skip
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator

import hypothesis
import pytest

from chaos.errors import HoldfastError
from chaos.stack.engine.client import connect
from chaos.stack.images.images import ensure_agent_image
from tests.residue import leftovers, wait_until_clean

REQUIRED_BY = ("HOLDFAST_REQUIRED", "CI")
_KNOWN = pytest.StashKey[frozenset[str]]()
_LEFT = pytest.StashKey[frozenset[str]]()

hypothesis.settings.register_profile("fast", derandomize=True, database=None, deadline=None, max_examples=60)
hypothesis.settings.register_profile("full", deadline=None, max_examples=500, stateful_step_count=110)
hypothesis.settings.load_profile(os.environ.get("HOLDFAST_HYPOTHESIS", "fast"))


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.stash[_KNOWN] = leftovers()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("engine") is None or not (missing := _missing()):
        return
    if any(os.environ.get(variable) for variable in REQUIRED_BY):
        pytest.fail(f"required here: {missing}", pytrace=False)
    pytest.skip(missing)


def pytest_sessionfinish(session: pytest.Session) -> None:
    left = wait_until_clean(session.config.stash[_KNOWN])
    session.config.stash[_LEFT] = left
    if left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    left = config.stash.get(_LEFT, frozenset())
    if left:
        terminalreporter.section("left on the host", red=True)
        terminalreporter.write_line("\n".join(sorted(left)))


@pytest.fixture
def residue_checked() -> Iterator[None]:
    """Fail the test when anything of it is still there 10 s after its end."""
    known = leftovers()
    yield
    left = wait_until_clean(known)
    assert not left, f"left on the host: {sorted(left)}"


@functools.cache
def _missing() -> str:
    """Why tests on the engine cannot run here; "" when they can."""
    try:
        client = connect()
        try:
            ensure_agent_image(client)
        finally:
            client.close()
    except HoldfastError as error:
        return str(error)
    return ""

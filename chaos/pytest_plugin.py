"""The pytest plugin: `pytest experiments/` runs every YAML experiment, and tests in Python have fixtures for trials.

Its options begin with `--holdfast-`. A capability that this host lacks skips a test on a laptop, and fails it where
HOLDFAST_REQUIRED or CI is set. What it is made of lies in `chaos/testing/`.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from chaos.errors import HoldfastError
from chaos.experiment.files import is_experiment
from chaos.testing.fixtures import devices_fixture, faults_fixture, history_fixture, scene, stack_fixture
from chaos.testing.items import ExperimentFile, ExperimentItem
from chaos.testing.session import LEFT, TRIED_AGAIN, Session, UnexpectedVerdictError, use

__all__ = ["devices_fixture", "faults_fixture", "history_fixture", "scene", "stack_fixture"]

_MINUTE_SECONDS = 60
_SESSION: pytest.StashKey[Session] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of trials."""
    group = parser.getgroup("holdfast", "Holdfast experiments")
    group.addoption("--holdfast-seed", type=int, default=None, help="Seed of every experiment (default: drawn).")
    group.addoption(
        "--holdfast-runs", type=Path, default=Path("reports/runs"), help="Where run folders go (%(default)s)."
    )
    group.addoption(
        "--holdfast-image",
        action="append",
        default=[],
        metavar="SERVICE=REF",
        help="Run a service with this image, in every stack; may be given several times.",
    )
    group.addoption(
        "--holdfast-retries",
        type=int,
        default=0,
        metavar="N",
        help="Try a trial that is INCONCLUSIVE again, at most so often (%(default)s); each time is told at the end.",
    )
    group.addoption(
        "--holdfast-keep",
        type=float,
        default=0.0,
        metavar="MINUTES",
        help="Let the stack of a failed trial run on for so long; how to look at it is told at the end.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the session's options known to trials, and the marker to pytest."""
    config.addinivalue_line(
        "markers",
        "holdfast_needs(*names): faults, or lines of `holdfast doctor`, that the host must be able to; else the test "
        "is skipped, and fails where HOLDFAST_REQUIRED or CI is set",
    )
    for option in ("--holdfast-retries", "--holdfast-keep"):
        if config.getoption(option) < 0:
            raise pytest.UsageError(f"{option} is 0 or more; seen: {config.getoption(option)}")
    images = config.getoption("--holdfast-image")
    config.stash[_SESSION] = Session(
        runs=config.getoption("--holdfast-runs"),
        seed=config.getoption("--holdfast-seed"),
        images=_images(images) if images else {},
        retries=config.getoption("--holdfast-retries"),
        leave_seconds=config.getoption("--holdfast-keep") * _MINUTE_SECONDS,
    )


def _images(given: list[str]) -> dict[str, str]:
    from chaos.preflight.opening import images_by_service

    try:
        return images_by_service(given)
    except HoldfastError as error:
        raise pytest.UsageError(f"--holdfast-image: {error}") from None


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> ExperimentFile | None:
    """Collect a YAML file that has `experiment:` and `stack:` at its top level."""
    if file_path.suffix not in {".yaml", ".yml"} or not is_experiment(file_path):
        return None
    return ExperimentFile.from_parent(parent, path=file_path)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begin a test; skip it, or fail, where the host lacks what it needs."""
    ours = item.config.stash[_SESSION]
    use(ours)  # each time: a test may run a pytest of its own
    ours.allure = item.config.pluginmanager.getplugin("allure_listener")
    ours.begin(item.user_properties)
    needed = [name for marker in item.iter_markers("holdfast_needs") for name in marker.args]
    if needed and (reason := ours.require(needed)):
        pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Run a test; a property of which no trial is HELD has not passed."""
    called = yield
    pyfuncitem.config.stash[_SESSION].require_proof()
    return called


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what Holdfast raises on purpose as its text, and of any other failure the test's last trial."""
    report = yield
    error = call.excinfo.value if call.excinfo is not None else None
    if isinstance(error, UnexpectedVerdictError) or (
        isinstance(item, ExperimentItem) and isinstance(error, HoldfastError)
    ):
        report.longrepr = str(error)  # a traceback of ours tells its reader nothing
    elif report.failed and (last := item.config.stash[_SESSION].last) is not None:
        from chaos.reporting.block import verdict_block

        report.sections.append(("holdfast: the last trial of this test", "\n".join(verdict_block(last))))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell which trials were tried again, and which stacks run on."""
    lines = []
    for reports in terminalreporter.stats.values():
        for report in reports:
            when = getattr(report, "when", "")
            if when == "call" or (when == "setup" and report.failed):  # one of the two tells of a test
                for name, told in report.user_properties:
                    if name == TRIED_AGAIN:
                        lines.append(f"{report.nodeid} was INCONCLUSIVE and was tried again: {told}")
                    elif name == LEFT:
                        lines.append(f"{report.nodeid}: {told}")
    if lines:
        terminalreporter.section("holdfast")
        terminalreporter.write_line("\n".join(lines))

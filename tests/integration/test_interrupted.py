"""Ctrl-C and SIGTERM in every phase: the shell's exit code, a document without a verdict, and a clean host."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import docker
import pytest

from chaos.errors import EXIT_SIGINT, EXIT_SIGTERM
from chaos.experiment.loader import write_plan
from chaos.experiment.plan import Plan
from chaos.stack.engine.client import connect
from chaos.stack.images.base import BASE
from tests.integration.command import running, wait_until
from tests.integration.plans import CORE, plan_of, strike
from tests.residue import of_run

pytestmark = pytest.mark.engine
END_SECONDS_MAX = 10.0

LINE_BEFORE = {
    "reset": "image of gateway",
    "load": "canaries",
    "fault": "disk.power_cut core injected",
    "recover": "heal ",
    "fresh devices": "converge",
    "cold restart": "caches",
}
"""The last line that is said before a phase begins."""

BUILD_SECONDS = 10_000 + os.getpid()
SLOW_TO_BUILD = """
services: {slow: {build: ., ports: ["1"], volumes: ["disk:/disk"]}}
volumes: {disk: {}}
x-chaos:
  arrays: {core: {luns: {disk: {size: 64M}}}}
  front_door: slow:1
  driver: http
"""


@pytest.fixture(autouse=True)
def not_in_the_background() -> Iterator[None]:
    """A shell lets what it starts with `&` ignore SIGINT, and every child of it too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("phase", LINE_BEFORE)
def test_a_signal_in_any_phase_ends_the_run_and_leaves_nothing(phase: str, tmp_path: Path) -> None:
    both_end_at_once(plan_of(strike("disk.power_cut", CORE)), LINE_BEFORE[phase], tmp_path)


def test_a_signal_while_a_stack_is_initialised_leaves_no_half_of_its_disks(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    both_end_at_once(plan_of(), "initialising minimal", tmp_path, {"HOLDFAST_CACHE": str(cache)})
    assert not list((cache / "golden").glob("*/*"))


def test_a_signal_while_an_image_is_built_waits_for_no_build_and_ends_it(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(SLOW_TO_BUILD)
    (tmp_path / "Dockerfile").write_text(f"FROM {BASE}\nRUN sleep {BUILD_SECONDS} && echo {secrets.token_hex(8)}\n")
    plan = plan_of(stack=(tmp_path / "compose.yaml",))
    with closing(connect()) as client:
        both_end_at_once(plan, "image of slow", tmp_path, begun=lambda: is_building(client))
        wait_until(lambda: not is_building(client), "the engine goes on building")


def both_end_at_once(
    plan: Plan,
    line: str,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    begun: Callable[[], bool] | None = None,
) -> None:
    """Start two runs and send SIGINT to one, SIGTERM to the other, each as soon as it has said the line.

    Both at once: two runs do not disturb each other, and the test takes half the time.
    """
    folders = [folder / "interrupted", folder / "terminated"]
    for each in folders:
        each.mkdir()
        write_plan(plan, each / "plan.yaml")
    interrupted, terminated = folders
    with (
        running("run", "plan.yaml", "--json", cwd=interrupted, environment=environment) as one,
        running("run", "plan.yaml", "--json", cwd=terminated, environment=environment) as other,
    ):
        one.wait_until_it_says(line)
        if begun is not None:
            wait_until(begun, f"what comes after {line!r} does not begin")
        one.interrupt()
        other.wait_until_it_says(line)
        other.terminate()
        ends = [(one.end(), EXIT_SIGINT, "SIGINT"), (other.end(), EXIT_SIGTERM, "SIGTERM")]
    for outcome, code, name in ends:
        assert outcome.code == code, outcome.stderr
        assert outcome.document["verdict"] is None
        assert outcome.document["exit_code"] == code
        assert name in outcome.document["reason"]
        assert "Traceback" not in outcome.stderr
        assert outcome.seconds < END_SECONDS_MAX
        assert not of_run(outcome.run_id)


def is_building(client: docker.DockerClient) -> bool:
    """Whether the engine runs the step that takes long."""
    return any(f"sleep {BUILD_SECONDS}" in str(each["Command"]) for each in client.api.containers(trunc=False))

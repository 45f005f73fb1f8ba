"""`docs/getting-started.md` as it stands: its files, its commands one after the other, and what they print."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import docker.errors
import pytest

from chaos.stack.engine.client import connect
from tests.integration.command import holdfast
from tests.integration.plans import ROOT

pytestmark = pytest.mark.engine
PAGE = (ROOT / "docs" / "getting-started.md").read_text()
STEP = re.compile(r"As `([\w.]+)`:\n\n```yaml\n(.*?)^```|^```\n(\$ holdfast (?:new|run).*?)^```", re.I | re.M | re.S)
"""A file with its content, or a block of commands with what they print."""
LEFT_OUT = "[...]"
IMAGE = "redis:7"
BUILD_SECONDS_MAX = 600
"""Without a word from the engine: a package may take its time."""


@pytest.fixture
def image() -> Iterator[None]:
    """The image that the page names; where it is not here, one that behaves as it does, until the test is over."""
    with closing(connect(BUILD_SECONDS_MAX)) as client:
        try:
            client.images.get(IMAGE)
        except docker.errors.ImageNotFound:
            for said in client.api.build(
                path=str(ROOT / "fixtures" / "images" / "redis"), tag=IMAGE, rm=True, decode=True
            ):
                assert "error" not in said, said
            yield
            client.images.remove(IMAGE)
        else:
            yield


@pytest.mark.usefixtures("image")
def test_the_page_leads_from_a_compose_file_to_a_loss_and_then_to_held(tmp_path: Path) -> None:
    commands = 0
    for file, content, block in STEP.findall(PAGE):
        if file:
            (tmp_path / file).write_text(content)
            continue
        for command, told in re.findall(r"^\$ holdfast (.*)\n((?:(?!\$ ).*\n)*)", block, re.M):
            said = holdfast(*command.split(), cwd=tmp_path).stdout
            wanted = ".*".join(re.escape(part) for part in told.strip().split(LEFT_OUT))
            assert re.search(wanted, said, re.S), f"holdfast {command} printed\n{said}\nand not\n{told}"
            commands += 1
    assert commands == 3


def test_the_experiment_on_the_page_is_the_one_that_new_writes(tmp_path: Path) -> None:
    [compose, *_] = re.findall(r"```yaml\n(services:.*?)^```", PAGE, re.M | re.S)
    (tmp_path / "compose.yaml").write_text(compose)
    holdfast("new", cwd=tmp_path)
    [shown] = re.findall(r"```yaml\n(experiment:.*?)^```", PAGE, re.M | re.S)
    written = (tmp_path / "experiments" / "power_cut.yaml").read_text()
    assert re.sub(r"^why: >\n(  .*\n)*", "", written, flags=re.M) == shown

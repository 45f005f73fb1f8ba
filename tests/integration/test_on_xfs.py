"""A real server on XFS: what is safe on ext4 is safe there, and what is not is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.errors import EXIT_HELD, EXIT_VIOLATED
from tests.integration.command import holdfast
from tests.integration.plans import ROOT

pytestmark = pytest.mark.engine
STACK = "../../fixtures/redis/compose.yaml"
OVERLAY = "x-chaos: {arrays: {core: {luns: {data: {size: 512M, filesystem: xfs, mount_options: [noatime]}}}}}\n"


@pytest.mark.parametrize(
    ("experiment", "code", "arguments"),
    [
        ("power_cut", EXIT_HELD, ("--times", "2", "--jobs", "2")),
        ("power_cut_everysec", EXIT_VIOLATED, ()),
    ],
)
def test_a_redis_on_xfs_is_judged_as_one_on_ext4(
    tmp_path: Path, experiment: str, code: int, arguments: tuple[str, ...]
) -> None:
    text = (ROOT / "experiments" / "redis" / f"{experiment}.yaml").read_text()
    assert f"stack: {STACK}" in text
    (tmp_path / "overlay.yaml").write_text(OVERLAY)
    (tmp_path / "e.yaml").write_text(text.replace(STACK, f"[{ROOT}/fixtures/redis/compose.yaml, overlay.yaml]"))
    outcome = holdfast("run", "e.yaml", *arguments, cwd=tmp_path)
    assert outcome.code == code, outcome.stderr

"""The drivers that come with Holdfast, each before the real server: every promise of its stack, under both policies."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.errors import EXIT_HELD
from tests.integration.command import holdfast
from tests.integration.plans import ROOT

pytestmark = pytest.mark.engine
EXPERIMENT = """\
experiment: {name}
stack: [{root}/fixtures/{name}/compose.yaml, overlay.yaml]
schedule: []
"""
UNASKED = {"the same put again changes nothing"}


@pytest.mark.parametrize("name", ["redis", "etcd"])
@pytest.mark.parametrize(
    ("policy", "unasked"),
    [("reject", UNASKED), ("last-writer-wins", {*UNASKED, "a put on an old base is refused"})],
)
def test_a_driver_keeps_every_promise_before_the_real_server(
    tmp_path: Path, name: str, policy: str, unasked: set[str]
) -> None:
    (tmp_path / "overlay.yaml").write_text(f"x-chaos: {{conflict: {policy}}}\n")
    (tmp_path / "e.yaml").write_text(EXPERIMENT.format(name=name, root=ROOT))
    outcome = holdfast("driver-test", "e.yaml", "--json", cwd=tmp_path)
    assert outcome.code == EXIT_HELD, outcome.stderr
    assert {check["check"] for check in outcome.document["checks"] if check["outcome"] != "ok"} == unasked

"""The drivers that come with Holdfast, each before the real server: every promise that its stack makes."""

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
WITH_A_PASSWORD = """\
services: {redis: {command: [redis-server, --requirepass, secret], environment: {REDISCLI_AUTH: secret}}}
x-chaos: {driver: {redis: {user: default, password: secret, database: 1}}}
"""
WITHOUT_OPTIONS = "x-chaos: {}\n"


@pytest.mark.parametrize(("name", "overlay"), [("redis", WITH_A_PASSWORD), ("etcd", WITHOUT_OPTIONS)])
def test_a_driver_keeps_every_promise_before_the_real_server(tmp_path: Path, name: str, overlay: str) -> None:
    (tmp_path / "overlay.yaml").write_text(overlay)
    (tmp_path / "e.yaml").write_text(EXPERIMENT.format(name=name, root=ROOT))
    outcome = holdfast("driver-test", "e.yaml", "--json", cwd=tmp_path)
    assert outcome.code == EXIT_HELD, outcome.stderr
    skipped = {check["check"] for check in outcome.document["checks"] if check["outcome"] != "ok"}
    assert skipped == {"the same put again changes nothing"}

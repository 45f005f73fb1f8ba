"""The drivers of SQL databases before the real servers: every promise, on the stack of the experiments of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.errors import EXIT_HELD
from tests.integration.command import holdfast
from tests.integration.plans import ROOT

pytestmark = pytest.mark.engine


@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
def test_the_driver_of_the_server_keeps_every_promise(server: str, tmp_path: Path) -> None:
    experiment = ROOT / "experiments" / server / "power_cut.yaml"
    outcome = holdfast("driver-test", experiment, "--json", cwd=tmp_path)
    assert outcome.code == EXIT_HELD, outcome.stderr
    assert {check["outcome"] for check in outcome.document["checks"]} == {"ok"}

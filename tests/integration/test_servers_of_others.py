"""The drivers that speak HTTP, each before a real server: every promise of a driver is kept there."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.errors import EXIT_HELD
from tests.integration.command import holdfast
from tests.integration.plans import ROOT

pytestmark = pytest.mark.engine
NEVER_TRIED = {"the same put again changes nothing"}
"""Radicale and PowerDNS know no idempotency keys."""
NO_PHOTOS = {"a photo comes back whole"}
NOT_BY_POWERDNS = NO_PHOTOS | {"a put on an old base is refused"}


@pytest.mark.parametrize(
    ("experiment", "not_tried"),
    [
        ("radicale/power_cut", NEVER_TRIED),
        ("powerdns/power_cut", NEVER_TRIED | NOT_BY_POWERDNS),
        ("sqlite/delete_extra_power_cut", NO_PHOTOS),
    ],
    ids=["webdav on Radicale", "rest on PowerDNS", "rest on SQLite"],
)
def test_a_driver_keeps_every_promise_before_a_real_server(
    experiment: str, not_tried: set[str], tmp_path: Path
) -> None:
    outcome = holdfast("driver-test", str(ROOT / "experiments" / f"{experiment}.yaml"), "--json", cwd=tmp_path)
    assert outcome.code == EXIT_HELD, outcome.stderr
    assert {each["check"] for each in outcome.document["checks"] if each["outcome"] != "ok"} == not_tried

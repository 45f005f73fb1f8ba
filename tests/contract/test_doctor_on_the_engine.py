"""The doctor on the real engine: mechanisms tried where the agent uses them, and nothing left."""

from __future__ import annotations

from contextlib import closing

import pytest

from chaos.doctor import examine, fix
from chaos.stack.engine.client import connect
from chaos.stack.engine.identity import RUN_LABEL

pytestmark = pytest.mark.engine


def test_a_fix_where_all_is_there_only_says_so() -> None:
    said: list[str] = []
    fix(said.append)
    assert len(said) == 1
    assert said[0].startswith("the engine answers and the agent's image is there: holdfast/agent:")


def test_the_mechanisms_are_tried_in_the_engine_and_nothing_is_left() -> None:
    diagnosis = examine()
    findings = {finding.name: finding for finding in diagnosis.findings}
    assert diagnosis.can_run, diagnosis.missing
    assert findings["loop"].value == "works, tried in the engine"
    with closing(connect()) as client:
        labels = [each.get("Labels") or {} for each in client.api.containers(all=True)]
    assert not [each for each in labels if each.get(RUN_LABEL, "").startswith("doctor-")]

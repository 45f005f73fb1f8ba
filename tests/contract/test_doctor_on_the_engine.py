"""The doctor on the real engine: mechanisms tried where the agent uses them, and nothing left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from chaos.doctor import examine, fix
from chaos.stack.engine.client import connect
from chaos.stack.engine.identity import RUN_LABEL

pytestmark = pytest.mark.engine
ROOT = Path(__file__).parents[2]


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


ELSEWHERE = """
mount -t tmpfs none "$HOLDFAST_CACHE"
"$1" -m chaos doctor --json >"$2"
"$1" -m chaos run "$3" --json
"""
"""As in a container, or beside a virtual machine: the engine has another folder at the path of the cache folder."""


def test_an_engine_that_does_not_see_this_hosts_folders_is_told_by_doctor_and_by_a_run(tmp_path: Path) -> None:
    cache, told = tmp_path / "cache", tmp_path / "doctor.json"
    cache.mkdir()
    environment = {**os.environ, "HOLDFAST_CACHE": str(cache), "HOLDFAST_TOXIPROXY": "none"}
    ran = subprocess.run(
        ["unshare", "-m", "bash", "-c", ELSEWHERE, "bash", sys.executable, told, ROOT / "experiments" / "steady.yaml"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        check=False,
    )
    findings = {each["name"]: each for each in json.loads(told.read_text())["findings"]}
    assert (findings["engine"]["state"], ran.returncode) == ("gap", 3)
    for words in (findings["engine"]["value"], json.loads(ran.stdout)["reason"]):
        assert f"it has another folder at {cache}, so it does not run on this host" in words

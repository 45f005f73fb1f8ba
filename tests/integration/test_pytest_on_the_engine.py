"""A test with the plugin's fixtures on a real stack that loses records, whose stack is left for a while."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from chaos.stack.engine.client import connect
from tests.residue import of_run, wait_until_clean

pytestmark = pytest.mark.engine
ROOT = Path(__file__).parents[2]

MODULE = f"""
import pytest

@pytest.mark.holdfast_needs("disk.power_cut")
def test_a_power_cut_loses_nothing(stack, devices, faults, history):
    stack.of("{ROOT}/experiments/power_cut_fsync_off.yaml", seed=7)
    devices.work(users=10)
    history.record()
"""


def test_a_loss_fails_a_test_with_its_block_and_its_stack_can_be_looked_at_until_it_is_removed(tmp_path: Path) -> None:
    (tmp_path / "test_module.py").write_text(MODULE)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--holdfast-keep=5", "--junitxml=junit.xml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    told = ran.stdout + ran.stderr
    (guard,) = re.findall(r"remove +kill (\d+)$", ran.stdout, re.M) or pytest.fail(told)
    (run_id,) = re.findall(r"holdfast\.run=(\S+)$", ran.stdout, re.M)
    try:
        assert re.search(r"^VIOLATED ", ran.stdout, re.M), told
        assert "Traceback" not in told
        assert 'name="verdict" value="VIOLATED"' in (tmp_path / "junit.xml").read_text()

        (database,) = re.findall(r" db +\w+ exec -it (\w+) sh$", ran.stdout, re.M)
        with closing(connect()) as client:
            query = ["psql", "-U", "sync", "-tAc", "select count(*) from records"]
            code, said = client.containers.get(database).exec_run(query)
        assert code == 0, said
        assert int(bytes(said)) > 0  # type: ignore[arg-type]
        subprocess.run([sys.executable, "-m", "chaos", "clean"], check=True, capture_output=True)
        assert any("container" in line for line in of_run(run_id)), "it has an owner, so nobody sweeps it"
    finally:
        subprocess.run(["kill", guard], check=True)
    assert wait_until_clean(seconds_max=60) == frozenset()
    assert of_run(run_id) == frozenset()

"""`holdfast search --scheduler`: a real scheduler and two workers, one of which is killed in the middle of a trial."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from chaos.errors import EXIT_HELD, EXIT_VIOLATED
from chaos.stack.engine.client import connect
from chaos.stack.engine.identity import OWNER_LABEL, ROLE_LABEL, owner_of
from tests.integration.command import running, wait_until

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("residue_checked")]

ROOT = Path(__file__).resolve().parents[2]
DASK = Path(sys.executable).with_name("dask")
HERE = ("--host", "127.0.0.1", "--no-dashboard", "--dashboard-address", "127.0.0.1:0")
TRIALS = 5


@contextmanager
def started(kind: str, *arguments: str | Path, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a scheduler or a worker; it is asked to end, as a service manager does it."""
    folder.mkdir()
    with (folder / "said.txt").open("wb") as said:
        process = subprocess.Popen([DASK, kind, *HERE, *arguments], cwd=folder, stdout=said, stderr=said)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def owned(process: subprocess.Popen[bytes]) -> str:
    """How objects of stack copies name this process as theirs."""
    return f"{OWNER_LABEL}={owner_of(process.pid)}"


def of_owner(label: str, *labels: str) -> list[str]:
    """The containers and networks that a process has made."""
    filters = {"label": [label, *labels]}
    with closing(connect()) as client:
        containers = client.api.containers(all=True, filters=filters)
        return [each["Id"] for each in (*containers, *client.api.networks(filters=filters))]


def finished(folder: Path) -> list[int]:
    """The numbers of the trials that were taken so far."""
    lines = [line for file in folder.glob("reports/searches/*/trials.jsonl") for line in file.read_bytes().splitlines()]
    return [json.loads(line)["number"] for line in lines]


def test_a_search_on_two_workers_of_which_one_is_killed_has_every_trial_once_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "cached.yaml").write_text(
        f"""
experiment: cached
why: for a search on workers
stack: {ROOT / "fixtures" / "minimal" / "compose.yaml"}
variables: {{PG_FSYNC: "off"}}
workload: {{users: 4, devices_per_user: 2, operations: 80, rate_per_second: 100, photos: 0, resets: 0}}
search: {{faults: [process.kill, disk.power_cut], events: 2}}
checks: {{minimum_acknowledged: 20}}
"""
    )
    file = tmp_path / "scheduler.json"
    worker = ("worker", "--scheduler-file", file, "--resources", "holdfast=1", "--nthreads", "1", "--no-nanny")
    with started("scheduler", "--port", "0", "--scheduler-file", file, folder=tmp_path / "scheduler"):
        wait_until(file.exists, "the scheduler does not begin")
        address = json.loads(file.read_text())["address"]
        with (
            started(*worker, folder=tmp_path / "first") as first,
            started(*worker, folder=tmp_path / "second") as second,
        ):
            for each in ("first", "second"):
                said = tmp_path / each / "said.txt"
                wait_until(lambda said=said: b"Registered to" in said.read_bytes(), f"{said} says why")  # type: ignore[misc]
            some = ("--trials", str(TRIALS), "--shrink", "0", "--seed", "3", "--json")
            with running("search", "cached.yaml", "--scheduler", address, *some, cwd=tmp_path) as search:
                search.wait_until_it_says("2 workers on 127.0.0.1")
                wait_until(lambda: len(finished(tmp_path)) >= 2, "no trial comes back")
                killed = owned(first)
                wait_until(lambda: bool(of_owner(killed, f"{ROLE_LABEL}=service")), "the first worker has no trial")
                before = finished(tmp_path)
                first.send_signal(signal.SIGKILL)
                outcome = search.end()
            assert outcome.code in (EXIT_HELD, EXIT_VIOLATED), outcome.stderr
            assert sorted(finished(tmp_path)) == [*range(1, TRIALS + 1)]
            assert finished(tmp_path)[: len(before)] == before, "what was finished stays as it was"
            assert outcome.document["outcomes"].keys() <= {"HELD", "VIOLATED", "INCONCLUSIVE"}, outcome.stderr
            assert of_owner(owned(second)) == [], "its stack copy is removed with the end of the search"
            wait_until(lambda: not of_owner(killed), "the guard has not removed what was killed")
    log = (tmp_path / "scheduler" / "said.txt").read_text()
    assert "Remove worker" in log

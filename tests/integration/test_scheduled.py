"""`holdfast search --scheduler`: a real scheduler and its workers, one of which is killed in the middle of a trial."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from chaos.errors import EXIT_HELD, EXIT_SIGINT, EXIT_VIOLATED
from chaos.stack.engine.client import connect
from chaos.stack.engine.identity import OWNER_LABEL, ROLE_LABEL, owner_of
from tests.integration.command import running, wait_until
from tests.residue import command_line

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("residue_checked")]

ROOT = Path(__file__).resolve().parents[2]
DASK = Path(sys.executable).with_name("dask")
HERE = ("--host", "127.0.0.1", "--no-dashboard", "--dashboard-address", "127.0.0.1:0")
WORKER = ("worker", "--resources", "holdfast=1", "--nthreads", "1")
TRIALS = 5


@contextmanager
def started(*command: str | Path, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a scheduler or a worker; it is ended as a service manager does it."""
    folder.mkdir()
    with (folder / "said.txt").open("wb") as said:
        process = subprocess.Popen([DASK, *command, *HERE], cwd=folder, stdout=said, stderr=said)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def cluster(tmp_path: Path, *workers: str, options: tuple[str, ...] = ()) -> Iterator[tuple[str, list[int]]]:
    """A scheduler with workers of these names; its address, and the pids of their processes."""
    file = tmp_path / "scheduler.json"
    with ExitStack() as using:
        using.enter_context(
            started("scheduler", "--port", "0", "--scheduler-file", file, folder=tmp_path / "scheduler")
        )
        wait_until(file.exists, "the scheduler does not begin")
        begun = [
            using.enter_context(
                started(*WORKER, "--scheduler-file", file, "--local-directory", ".", *options, folder=tmp_path / name)
            )
            for name in workers
        ]
        for name in workers:
            said = tmp_path / name / "said.txt"
            wait_until(lambda said=said: b"Registered to" in said.read_bytes(), f"{said} says why")  # type: ignore[misc]
        yield json.loads(file.read_text())["address"], [each.pid for each in begun]


def experiment(tmp_path: Path) -> Path:
    file = tmp_path / "cached.yaml"
    file.write_text(
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
    return file


def of_owner(owner: str, *labels: str) -> list[str]:
    """The containers and networks that a process has made."""
    filters = {"label": [f"{OWNER_LABEL}={owner}", *labels]}
    with closing(connect()) as client:
        containers = client.api.containers(all=True, filters=filters)
        return [each["Id"] for each in (*containers, *client.api.networks(filters=filters))]


def has_a_trial(owner: str) -> bool:
    """Services run in trials only."""
    return bool(of_owner(owner, f"{ROLE_LABEL}=service"))


def child_of(nanny: int) -> int:
    """The worker's process, which its nanny has started and would start again."""
    lists = Path(f"/proc/{nanny}/task").glob("*/children")  # each thread has its own
    children = [int(each) for file in lists for each in file.read_text().split()]
    [worker] = [each for each in children if "spawn_main" in command_line(each)]
    return worker


def taken(tmp_path: Path) -> list[int]:
    """The numbers of the trials that were taken so far."""
    files = tmp_path.glob("reports/searches/*/trials.jsonl")
    return [json.loads(line)["number"] for file in files for line in file.read_bytes().splitlines()]


def test_a_search_on_two_workers_of_which_one_is_killed_has_every_trial_once_and_leaves_nothing(tmp_path: Path) -> None:
    some = ("--trials", str(TRIALS), "--shrink", "0", "--seed", "3", "--json")
    with cluster(tmp_path, "first", "second", options=("--no-nanny",)) as (address, pids):
        killed, other = map(owner_of, pids)
        with running("search", experiment(tmp_path), "--scheduler", address, *some, cwd=tmp_path) as search:
            search.wait_until_it_says("2 workers on 127.0.0.1")
            wait_until(lambda: len(taken(tmp_path)) >= 2 and has_a_trial(killed), "no trial comes back")
            before = taken(tmp_path)
            os.kill(pids[0], signal.SIGKILL)
            outcome = search.end()
        assert outcome.code in (EXIT_HELD, EXIT_VIOLATED), outcome.stderr
        assert sorted(taken(tmp_path)) == [*range(1, TRIALS + 1)]
        assert taken(tmp_path)[: len(before)] == before, "what was finished stays as it was"
        assert outcome.document["outcomes"].keys() <= {"HELD", "VIOLATED", "INCONCLUSIVE"}, outcome.stderr
        assert of_owner(other) == [], "its stack copy is removed with the end of the search"
        wait_until(lambda: not of_owner(killed), "the guard has not removed what was killed")
    for each in outcome.document["tried"]:
        folder = tmp_path / outcome.document["folder"] / "trials" / f"{each['number']:04d}"
        assert (folder / "result.json").is_file()
        assert (folder / "report.html").is_file() == (each["outcome"] == "VIOLATED")


def test_workers_remove_their_stack_copies_when_the_search_is_interrupted(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it starts with `&`
    try:
        with cluster(tmp_path, "only") as (address, [nanny]):
            owner = owner_of(child_of(nanny))
            with running("search", experiment(tmp_path), "--scheduler", address, "--json", cwd=tmp_path) as search:
                wait_until(lambda: has_a_trial(owner), "no trial begins")
                search.interrupt()
                assert search.end().code == EXIT_SIGINT
            assert of_owner(owner) == []
    finally:
        signal.signal(signal.SIGINT, before)

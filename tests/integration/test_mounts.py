"""Whole trials of a real database whose data is on no LUN that the Compose file names."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from chaos.experiment.plan import Plan, Target
from chaos.trials import run_trials
from tests.integration.plans import ROOT, plan_of, reasons, run_one, strike

pytestmark = pytest.mark.engine
DATA = "/var/lib/postgresql/data"
COMPOSE = """
name: mounts
services:
  db:
    build: {root}/fixtures/images/postgres
    environment: {{POSTGRES_USER: notes, POSTGRES_HOST_AUTH_METHOD: trust}}
    command: [postgres, -c, "fsync=${{PG_FSYNC:-on}}", -c, shared_buffers=32MB, -c, max_wal_size=128MB]
    volumes: ["{mount}", "{root}/experiments/plain_postgres/notes.sql:/docker-entrypoint-initdb.d/notes.sql:ro"]
    ports: ["5432"]
    healthcheck: {{test: [CMD, pg_isready, -q, -h, 127.0.0.1, -U, notes], interval: 200ms}}
volumes: {{other: {{}}}}
x-chaos: {{front_door: "db:5432", driver: "driver:PlainPostgres", may_lose: ["db:/run/postgresql"]}}
"""


def on_mount(folder: Path, mount: str, fsync: str, fault: str) -> Plan:
    """A plan on a PostgreSQL with this mount; its image declares a volume at DATA."""
    (folder / "data").mkdir()
    file = folder / "compose.yaml"
    file.write_text(COMPOSE.format(root=ROOT, mount=mount))
    return plan_of(
        strike(fault, Target("service", "db"), for_seconds=0.5 if fault == "process.kill" else None),
        stack=(file,),
        variables={"PG_FSYNC": fsync},
        driver="driver:PlainPostgres",
        driver_folder=ROOT / "experiments" / "plain_postgres",
    )


def on_array(folder: Path, fault: str) -> Plan:
    """The same with the bound folder on an array, without what is in it: no PostgreSQL would start on that."""
    plan = on_mount(folder, f"./data:{DATA}", "on", fault)
    (folder / "data" / "PG_VERSION").write_text("none\n")
    overlay = folder / "array.yaml"
    overlay.write_text(f'x-chaos: {{arrays: {{core: {{luns: {{"db:{DATA}": {{size: 256M, contents: none}}}}}}}}}}\n')
    strikes = strike(fault, Target("array", "core"))
    return dataclasses.replace(plan, stack=(*plan.stack, overlay), schedule=(strikes,))


def left(folder: Path) -> Sequence[str]:
    return sorted(path.name for path in (folder / "data").iterdir())


@pytest.mark.parametrize("mount", [f"./data:{DATA}", "other:/other"], ids=["a bound folder", "the image's own volume"])
@pytest.mark.parametrize(("fsync", "verdict"), [("on", "HELD"), ("off", "VIOLATED")])
def test_a_power_cut_judges_a_database_wherever_its_data_is(
    mount: str, fsync: str, verdict: str, tmp_path: Path
) -> None:
    result = run_one(on_mount(tmp_path, mount, fsync, "disk.power_cut"), tmp_path / "runs")
    assert result.verdict == verdict, reasons(result)
    assert (result.not_covered, left(tmp_path)) == ((), [])
    assert result.faults[0].bit or fsync == "off", "who never flushes may have written nothing in the 5 s before"


@pytest.mark.parametrize(("fault", "verdict"), [("disk.power_cut", "HELD"), ("san.lose", "VIOLATED")])
def test_a_database_in_a_bound_folder_can_be_on_an_array(fault: str, verdict: str, tmp_path: Path) -> None:
    result = run_one(on_array(tmp_path, fault), tmp_path / "runs")
    assert result.verdict == verdict, reasons(result)
    assert result.faults[0].bit
    assert (result.not_covered, left(tmp_path)) == ((), ["PG_VERSION"])


def test_no_trial_finds_what_another_left_in_a_bound_folder(tmp_path: Path) -> None:
    plan = on_mount(tmp_path, f"./data:{DATA}", "off", "process.kill")
    for result in run_trials([plan, plan], runs=tmp_path / "runs"):
        assert result.verdict == "HELD", reasons(result)
    assert left(tmp_path) == []

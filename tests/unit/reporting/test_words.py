"""One form for numbers and faults on every line."""

from __future__ import annotations

import pytest

from chaos.experiment.plan import ScheduledFault, Target, Trigger
from chaos.reporting.words import announcement, at_least, at_most, classes, counted, evidence, scheduled, share, size
from tests.unit.reporting.samples import plan


def test_the_announcement_tells_name_seed_and_every_drawn_parameter() -> None:
    assert announcement(plan()) == [
        "sidekick_2009 · seed 4711 · 40 users, 80 devices, 2,000 operations · san.lose core at ack 1,200",
        "  200 operations/s · 35 % updates (20 % contended) · 8 % deletes · 8 % photos of 50 KB to 2 MB · "
        "15 % syncs · 2 resets · requests up to 2 s",
        "  at least 100 acknowledged · the mix is judged · ready within 60 s · recover 60 s · "
        "converge 30 s · door 60 s",
    ]


def test_values_of_variables_are_never_announced() -> None:
    assert "planted-secret" not in "\n".join(announcement(plan()))


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (
            ScheduledFault("disk.power_cut", Target("array", "core"), Trigger(seconds=3.0)),
            "disk.power_cut core at 3 s",
        ),
        (
            ScheduledFault("process.kill", Target("role", "database"), Trigger(phase="converge"), 2.5),
            "process.kill database at phase converge for 2.5 s",
        ),
        (
            ScheduledFault(
                "disk.io_error",
                Target("lun", "pgdata"),
                Trigger(acknowledged=1200),
                parameters={"operations": ["read", "flush"], "times": None, "sectors": {"first": 1}},
            ),
            "disk.io_error pgdata at ack 1,200 (operations=[read, flush], times=null, sectors={first: 1})",
        ),
        (
            ScheduledFault(
                "disk.power_cut", Target("array", "core"), Trigger(flush=1200, lun="pgdata", when="before"), 0.5
            ),
            "disk.power_cut core right before flush 1,200 of pgdata for 0.5 s",
        ),
        (
            ScheduledFault("disk.hang", Target("lun", "pgdata"), Trigger(write=3, lun="pgdata", when="after")),
            "disk.hang pgdata right after write 3 of pgdata",
        ),
    ],
)
def test_a_scheduled_fault_reads_with_target_trigger_end_and_parameters(fault: ScheduledFault, told: str) -> None:
    assert scheduled(fault) == told


def test_numbers_read_as_people_write_them() -> None:
    assert counted(1, "user") == "1 user"
    assert counted(1200, "record") == "1,200 records"
    assert share(0.355) == "35.5 %"
    assert [size(512), size(50_000), size(2_000_000), size(3_250_000_000)] == [
        "512 bytes",
        "50 KB",
        "2 MB",
        "3.25 GB",
    ]


def test_a_limit_is_rounded_so_that_it_holds() -> None:
    assert [at_most(part) for part in (0.1, 0.10001, 0.0999, 0.0, 1.0)] == ["10 %", "10.1 %", "10 %", "0 %", "100 %"]
    assert [at_least(part) for part in (0.9, 0.90001, 0.8999, 0.0, 1.0)] == ["90 %", "90 %", "89.9 %", "0 %", "100 %"]


def test_evidence_and_classes_leave_out_nothing_but_zeros_of_classes() -> None:
    assert evidence({"failed_writes": 0, "mode": "eio"}) == "failed writes 0, mode eio"
    assert classes({"lost": 811, "stale": 0, "torn": 1}) == "811 lost · 1 torn"

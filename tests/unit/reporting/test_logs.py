"""What the services said around a fault, on the clock of the history."""

from __future__ import annotations

from array import array
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chaos.history.events import FaultEvent, Header
from chaos.reporting.page import logs
from chaos.reporting.page.course import Attempts, Course
from chaos.reporting.page.logs import said_around

S = 1_000_000_000
EPOCH = 1_795_902_800 * S
BEGUN = 500 * S
"""The history's clock at the wall clock's EPOCH."""


def course(*seconds: int, epoch_ns: int = EPOCH, struck: tuple[str, ...] = ()) -> Course:
    """A trial whose faults struck so many seconds after its header."""
    faults = [
        FaultEvent(i, BEGUN + at * S, "san.lose", "core", "injected", struck=struck) for i, at in enumerate(seconds)
    ]
    header = Header("e", 1, "reject", "keyed", t=BEGUN, epoch_ns=epoch_ns)
    return Course(header, (), faults, (), Attempts(array("q"), array("q"), bytearray()), BEGUN, 0)


def write(run_dir: Path, service: str, *lines: tuple[float, str]) -> None:
    """A log as the engine keeps it: each line with the wall clock."""
    folder = run_dir / "logs"
    folder.mkdir(exist_ok=True)
    with (folder / f"{service}.log").open("a", encoding="utf-8") as file:
        for seconds, text in lines:
            t = EPOCH + round(seconds * S)
            file.write(f"{datetime.fromtimestamp(t // S, UTC):%Y-%m-%dT%H:%M:%S}.{t % S:09}Z {text}\n")


def test_the_last_lines_before_a_fault_and_the_first_after_it_are_told_in_its_own_seconds(tmp_path: Path) -> None:
    write(tmp_path, "db", *((number / 10, f"line {number}") for number in range(400)))

    (moment,) = said_around(tmp_path, course(20), ())

    (db,) = moment.services
    assert (moment.fault, moment.t) == ("san.lose core", BEGUN + 20 * S)
    assert [said.text for said in db.before] == [f"line {number}" for number in range(195, 200)]
    assert [said.text for said in db.after] == [f"line {number}" for number in range(200, 210)]
    assert db.after[0].t == BEGUN + 20 * S


def test_lines_long_before_or_after_are_not_around_it(tmp_path: Path) -> None:
    write(tmp_path, "db", (9.9, "early"), (30.1, "late"))
    assert said_around(tmp_path, course(20), ()) == ()


def test_each_of_the_first_faults_has_its_lines(tmp_path: Path) -> None:
    write(tmp_path, "db", *((float(at), f"at {at}") for at in range(0, 200, 15)))
    moments = said_around(tmp_path, course(15, 60, 105, 150, 165), ())
    assert [[said.text for said in moment.services[0].after] for moment in moments] == [
        ["at 15"],
        ["at 60"],
        ["at 105"],
    ]


def test_who_was_struck_comes_first_and_holdfast_s_own_logs_are_left_out(tmp_path: Path) -> None:
    for name in ("api", "carrier", "db"):
        write(tmp_path, name, (20, "here"))
    (moment,) = said_around(tmp_path, course(20, struck=("db",)), {"api", "db"})
    assert [each.service for each in moment.services] == ["db", "api"]


def test_an_older_history_without_the_wall_clock_has_no_lines(tmp_path: Path) -> None:
    write(tmp_path, "db", (20, "here"))
    assert said_around(tmp_path, course(20, epoch_ns=0), ()) == ()
    assert said_around(tmp_path / "gone", course(20), ()) == ()


@pytest.mark.parametrize(
    "damage", [b"\xff\xfe\x00 garbage\n", b"2026-99-99T99:99:99.000000000Z no such day\n", b"2026-11-28T21:5", b"\n\n"]
)
def test_what_is_no_line_of_a_log_is_passed_over(damage: bytes, tmp_path: Path) -> None:
    write(tmp_path, "db", (20, "whole"))
    path = tmp_path / "logs" / "db.log"
    path.write_bytes(damage + b"\n" + path.read_bytes() + damage)
    (moment,) = said_around(tmp_path, course(20), ())
    assert [said.text for said in moment.services[0].after] == ["whole"]


def test_colours_of_a_terminal_are_taken_off_and_long_lines_cut(tmp_path: Path) -> None:
    write(tmp_path, "db", (20, "\x1b[31merror\x1b[0m " + "x" * 10_000))
    (moment,) = said_around(tmp_path, course(20), ())
    (said,) = moment.services[0].after
    assert said.text.startswith("error xx")
    assert len(said.text) == logs.LINE_MAX + 3


def test_of_very_many_services_the_first_are_shown(tmp_path: Path) -> None:
    for number in range(100):
        write(tmp_path, f"s{number:03}", (20, "here"))
    (moment,) = said_around(tmp_path, course(20), ())
    assert len(moment.services) == logs.SERVICES_MAX

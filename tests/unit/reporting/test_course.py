"""The course of a trial as its page draws it, against the history as the check reads it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from chaos.history.events import CANARY_OWNER, Header, PhaseEvent
from chaos.history.model import INFINITY
from chaos.history.reader import read_history
from chaos.reporting.page.course import OUTCOMES, course_of
from tests.unit.checks.plant import PLANTS
from tests.unit.checks.service import Load, legal_history
from tests.unit.reporting.runs import SECOND, made, recorded


@pytest.mark.parametrize("seed", range(3))
def test_each_attempt_at_a_change_is_there_as_the_exact_reader_has_it(seed: int, tmp_path: Path) -> None:
    events = PLANTS["lost"][0][1](legal_history(Load(seed)), random.Random(seed))
    assert events is not None
    path = made(events, tmp_path) / "history.jsonl"
    history, course = read_history(path), course_of(path)

    attempts = [
        (a.sent if a.back == INFINITY else a.back, -1 if a.back == INFINITY else a.back - a.sent, a.outcome)
        for (owner, _), operations in history.records.items()
        if owner != CANARY_OWNER
        for operation in operations
        for a in operation.attempts
    ]
    assert sorted((t, taken, OUTCOMES[outcome]) for t, taken, outcome in course.attempts) == sorted(attempts)
    assert len(attempts) > 100
    assert (course.phases, course.faults, course.notes) == (history.phases, history.faults, history.notes)
    assert course.load_begun == history.load_begun
    assert course.last_read == max(door.t for rounds in history.doors.values() for door in rounds)


def test_without_a_load_it_begins_with_the_first_act(tmp_path: Path) -> None:
    path = made([each for each in recorded() if not isinstance(each, PhaseEvent)], tmp_path) / "history.jsonl"
    assert course_of(path).load_begun == read_history(path).load_begun == 0


def test_a_history_that_another_program_has_written_anew_is_read_all_the_same(tmp_path: Path) -> None:
    path = made(recorded(), tmp_path) / "history.jsonl"
    as_recorded = course_of(path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(dict(sorted(line.items()))) + "\n" for line in lines))

    assert list(course_of(path).attempts) == list(as_recorded.attempts) != []
    assert course_of(path).faults == as_recorded.faults


def test_the_wall_clock_is_known_where_the_header_has_it(tmp_path: Path) -> None:
    header = Header("e", 1, "reject", "keyed", t=7 * SECOND, epoch_ns=1_795_902_800 * SECOND)
    path = made([header, PhaseEvent("load", 9 * SECOND, "begun")], tmp_path) / "history.jsonl"

    assert str(course_of(path).header.date(9 * SECOND)) == "2026-11-28 21:53:22+00:00"
    older = tmp_path / "older"
    older.mkdir()
    assert course_of(made(recorded(), older) / "history.jsonl").header.date(0) is None

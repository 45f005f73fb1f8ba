"""How long the service was away, from a history alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.history.events import Act, Back, Event, FaultEvent, Header, PhaseEvent, Send
from chaos.reporting.page.course import Course, course_of
from chaos.reporting.page.outage import Outage, outage_of, outages
from tests.unit.reporting.runs import SECOND, made

Answer = tuple[float, float | None, str]
"""Sent, answered (None: never), outcome; in seconds of a load from 0 to 10."""


def outage(tmp_path: Path, *answers: Answer, struck: float | None = 3.0) -> Outage | None:
    return outage_of(course(tmp_path, *answers, struck=struck))


def course(tmp_path: Path, *answers: Answer, struck: float | None = 3.0) -> Course:
    events: list[Event] = [Header("e", 1, "reject", "keyed", canaries={"A": "a", "B": "b"}, faults=("disk.lose",))]
    events.append(PhaseEvent("load", 0, "begun"))
    for op, (sent, back, outcome) in enumerate(answers, start=1):
        t = round(sent * SECOND)
        names = {"record": f"r{op}", "type": "todo", "write": f"w{op}", "hash": "aa", "key": f"k{op}"}
        events += [Act(op, t, "d#1", "d", "u-1", "create", **names), Send(op, 1, t)]  # type: ignore[arg-type]
        if back is not None:
            events.append(Back(op, 1, round(back * SECOND), outcome))  # type: ignore[arg-type]
    if struck is not None:
        events.append(FaultEvent(0, round(struck * SECOND), "disk.lose", "pg1", "injected"))
    events.append(PhaseEvent("load", 10 * SECOND, "ended"))
    return course_of(made(events, tmp_path) / "history.jsonl")


STEADY: tuple[Answer, ...] = tuple((each / 2, each / 2, "ok") for each in range(1, 20))


def test_it_lasts_from_the_last_acknowledgement_to_the_next(tmp_path: Path) -> None:
    found = outage(tmp_path, (2, 3, "ok"), (3.5, 4, "fail"), (5, None, "info"), (6, 7, "degraded"), (7, 9.5, "ok"))
    assert found == Outage(3 * SECOND, 7 * SECOND, 7 * SECOND)
    assert (found.length, found.when) == ("4.0 s", "no write was acknowledged from 3.0 s to 7.0 s")


def test_one_that_does_not_end_within_the_load_is_said_to_last_at_least_until_then(tmp_path: Path) -> None:
    found = outage(tmp_path, (2, 3, "ok"), (4, None, "info"))
    assert found is not None
    assert (found.ended, found.length) == (None, "at least 7.0 s")


@pytest.mark.parametrize(
    ("answers", "struck"),
    [
        (STEADY, 3.0),
        (((0.5, 1, "ok"), (1, 4, "ok")), None),
        (((0, 0.2, "ok"), (0.3, 5, "ok"), (5, 5.5, "ok")), 5.2),
        (((0, 2, "ok"), (2.5, 2.9, "ok")), 3.0),
        (tuple((each, each + 0.01, "ok") for each in (0, 1.5, 3, 4.5, 6, 7.5, 9)), 3.0),
    ],
    ids=["nothing stopped", "no fault", "it was over before the fault", "nobody asked afterwards", "seldom asked"],
)
def test_a_pause_that_says_nothing_of_a_fault_is_none(
    tmp_path: Path, answers: tuple[Answer, ...], struck: float | None
) -> None:
    assert outage(tmp_path, *answers, struck=struck) is None


def test_every_pause_of_the_load_is_found_before_the_fault_too(tmp_path: Path) -> None:
    answers: tuple[Answer, ...] = ((0, 0.5, "ok"), (0.6, 2.5, "ok"), (3.1, 3.2, "ok"), (4, 6, "info"), (7, 7.5, "ok"))
    assert [each.when for each in outages(course(tmp_path, *answers))] == [
        "no write was acknowledged from 0.5 s to 2.5 s",
        "no write was acknowledged from 3.2 s to 7.5 s",
    ]


def test_a_request_that_hangs_through_a_pause_waited_for_all_of_it(tmp_path: Path) -> None:
    hung: tuple[Answer, ...] = ((0, 0.5, "ok"), (0.4, 8.9, "info"), (8.95, 9, "ok"))
    found = outage(tmp_path, *hung)
    assert found is not None
    assert found.when == "no write was acknowledged from 0.5 s to 9.0 s"

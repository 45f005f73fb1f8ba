"""What the page draws, as data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from chaos.history.events import Act, Back, Event, FaultEvent, Header, PhaseEvent, Send
from chaos.reporting.page import figures
from chaos.reporting.page.course import Course, course_of
from chaos.reporting.page.outage import outages
from tests.unit.checks.service import Load, legal_history
from tests.unit.reporting.runs import SECOND, made, recorded

MS = SECOND // 1000


@pytest.fixture
def lost(tmp_path: Path) -> Course:
    return course_of(made(recorded(), tmp_path) / "history.jsonl")


def writes(tmp_path: Path, *answers: tuple[float, str]) -> Course:
    """A load of 10 s in which attempts were answered so; "none" stands for no answer."""
    canaries = {"A": "canary-a", "B": "canary-b"}
    events: list[Event] = [Header("e", 1, "reject", "keyed", canaries=canaries), PhaseEvent("load", 0, "begun")]
    for op, (seconds, outcome) in enumerate(answers, start=1):
        t = round(seconds * SECOND)
        act = Act(
            op, t, "d#1", "d", "u-1", "create", record=f"r{op}", type="todo", write=f"w{op}", hash="aa", key=f"k{op}"
        )
        events += [act, Send(op, 1, t)]
        if outcome != "none":
            events.append(Back(op, 1, t, outcome))  # type: ignore[arg-type]
    events.append(PhaseEvent("load", 10 * SECOND, "ended"))
    tmp_path.mkdir(exist_ok=True)
    return course_of(made(events, tmp_path) / "history.jsonl")


@pytest.mark.parametrize(("least", "round_"), [(0.9, 1), (1, 1), (1.1, 2), (3, 5), (7, 10), (0.033, 0.05)])
def test_axes_have_round_steps(least: float, round_: float) -> None:
    assert figures.nice(least) == round_


def test_the_timeline_places_phases_and_faults_on_one_axis(lost: Course) -> None:
    drawn = figures.timeline(lost)

    (band,) = drawn.bands
    assert band.x == pytest.approx(100 * 3 / 9, abs=0.01)
    assert band.width == pytest.approx(100 / 9, abs=0.01)
    assert [lane.label for lane in drawn.lanes] == ["phases", "san.lose core"]
    assert [tick.label for tick in drawn.ticks] == ["0 s", "2 s", "4 s", "6 s", "8 s"]


def test_attempts_are_stacked_by_outcome_at_the_time_of_their_answer(tmp_path: Path) -> None:
    drawn = figures.operations(
        writes(tmp_path, (1.01, "ok"), (1.02, "ok"), (1.03, "fail"), (5, "none"), (9, "degraded"))
    )

    assert [(bar.kind, bar.x) for bar in drawn.bars] == [("ok", 10), ("fail", 10), ("info", 50), ("degraded", 90)]
    assert [bar.height for bar in drawn.bars] == [80, 40, 40, 40]
    assert [bar.y for bar in drawn.bars] == [40, 0, 80, 80]
    assert drawn.scale == "attempts in 0.1 s"
    assert [(level.label, level.y) for level in drawn.levels] == [("0", 120), ("1", 80), ("2", 40), ("3", 0)]
    assert [kind for kind, _ in drawn.kinds] == ["ok", "degraded", "info", "fail"]


def test_a_long_load_is_drawn_with_a_bounded_number_of_bars(tmp_path: Path) -> None:
    drawn = figures.operations(writes(tmp_path, *((number / 300, "ok") for number in range(3_000))))

    assert len(drawn.bars) <= figures.BINS_MAX


def test_every_attempt_of_the_load_is_in_a_bar(tmp_path: Path) -> None:
    course = course_of(made(legal_history(Load(2)), tmp_path) / "history.jsonl")
    window, drawn = figures.load_alone(course), figures.operations(course)
    top = int(drawn.levels[-1].label)

    within = sum(window.begun <= t <= window.ended for t in course.attempts.times)
    assert round(sum(bar.height for bar in drawn.bars) * top / figures.BARS_HEIGHT) == within > 100
    assert min(bar.y for bar in drawn.bars) >= 0


@pytest.mark.parametrize(
    ("number", "labels"), [(1, ["0", "1"]), (7, ["0", "2", "4", "6", "8"]), (60, ["0", "20", "40", "60"])]
)
def test_the_axis_of_the_bars_has_round_numbers_and_ends_above_the_highest_bar(
    number: int, labels: list[str], tmp_path: Path
) -> None:
    drawn = figures.operations(writes(tmp_path, *[(1.01, "ok")] * number))
    assert [level.label for level in drawn.levels] == labels
    assert max(bar.height for bar in drawn.bars) == pytest.approx(figures.BARS_HEIGHT * number / int(labels[-1]), 0.01)


def test_a_long_name_of_a_lane_is_cut_to_the_screen() -> None:
    lane = figures.Lane("san.lose " + "array-" * 12, ())
    assert lane.shown_label("desktop") == lane.label
    assert lane.shown_label("phone").endswith("...")
    assert lane.label_width("phone") <= 300


def test_a_trial_that_never_came_to_its_load_is_drawn_from_its_first_phase(tmp_path: Path) -> None:
    header = Header("e", 1, "reject", "keyed", canaries={"A": "a", "B": "b"})
    phases = [PhaseEvent("reset", 100 * SECOND, "begun"), PhaseEvent("reset", 104 * SECOND, "ended")]
    course = course_of(made([header, *phases], tmp_path) / "history.jsonl")

    drawn = figures.timeline(course)
    assert [(span.label, span.x, span.width) for span in drawn.lanes[0].spans] == [("reset", 0, 100)]
    assert figures.operations(course).bars == ()


def test_a_label_stands_only_where_it_has_room_on_that_screen() -> None:
    narrow, wide = (figures.Span(0, width, "phase0", "cold restart", "") for width in (12, 40))
    assert (narrow.has_room("phone"), narrow.has_room("desktop")) == (False, True)
    assert wide.has_room("phone")
    assert not figures.Span(0, 1, "phase0", "load", "").has_room("desktop")


def test_a_fault_that_comes_again_has_one_lane_and_two_at_once_have_two(tmp_path: Path) -> None:
    def fault(index: int, begun: float, ended: float, target: str = "core") -> list[FaultEvent]:
        injected = FaultEvent(index, round(begun * SECOND), "disk.io_error", target, "injected")
        return [injected, replace(injected, t=round(ended * SECOND), happened="healed", bit=True)]

    course = writes(tmp_path, (1, "ok"))
    faults = [*fault(0, 1, 2), *fault(1, 2, 4), *fault(2, 3, 5), *fault(3, 1, 2, "photos"), *fault(4, 6, 7)]
    lanes = figures.timeline(replace(course, faults=faults)).lanes[1:]

    assert [(lane.label, [span.x for span in lane.spans]) for lane in lanes] == [
        ("disk.io_error core", [10, 20, 60]),
        ("disk.io_error core", [30]),
        ("disk.io_error photos", [10]),
    ]


def test_the_operations_show_when_the_service_was_away(tmp_path: Path) -> None:
    course = writes(tmp_path, (1, "ok"), (2, "ok"), (3, "info"), (6, "ok"), (6.5, "ok"))
    (lane,) = figures.operations(course, outages(course)).lanes
    assert [(span.kind, span.label, span.x) for span in lane.spans] == [
        ("served", "acknowledged", 0),
        ("nobody", "away 4.0 s", 20),
        ("served", "acknowledged", 60),
    ]
    steady = writes(tmp_path / "steady", (1, "ok"))
    assert figures.operations(steady, outages(steady)).lanes == ()


def test_what_was_not_kept_is_marked_where_it_was_acknowledged(tmp_path: Path) -> None:
    times = [round(seconds * SECOND) for seconds in (1.01, 1.02, 5, 11)]
    (lane,) = figures.operations(writes(tmp_path, (1, "ok")), (), times, "not kept").lanes
    assert [(span.kind, span.x, span.title) for span in lane.spans] == [
        ("lost", 10, "2 records acknowledged from 1.000 s on and not kept"),
        ("lost", 50, "1 record acknowledged from 5.000 s on and not kept"),
    ]

"""What the page draws, as data."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.history.events import Act, Back, Event, Header, PhaseEvent, Send
from chaos.history.model import History
from chaos.history.reader import read_history
from chaos.reporting.page import figures
from tests.unit.checks.service import Load, legal_history
from tests.unit.reporting.runs import SECOND, made, recorded

MS = SECOND // 1000


@pytest.fixture
def lost(tmp_path: Path) -> History:
    return read_history(made(recorded(), tmp_path) / "history.jsonl")


def writes(tmp_path: Path, *answers: tuple[float, str]) -> History:
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
    return read_history(made(events, tmp_path) / "history.jsonl")


@pytest.mark.parametrize(("least", "round_"), [(0.9, 1), (1, 1), (1.1, 2), (3, 5), (7, 10), (0.033, 0.05)])
def test_axes_have_round_steps(least: float, round_: float) -> None:
    assert figures.nice(least) == round_


def test_the_timeline_places_phases_and_faults_on_one_axis(lost: History) -> None:
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

    assert [(bar.outcome, bar.x) for bar in drawn.bars] == [("ok", 10), ("fail", 10), ("info", 50), ("degraded", 90)]
    assert [bar.height for bar in drawn.bars] == [80, 40, 40, 40]
    assert [bar.y for bar in drawn.bars] == [40, 0, 80, 80]
    assert drawn.scale == "highest bar: 3 in 0.1 s"


def test_a_long_load_is_drawn_with_a_bounded_number_of_bars(tmp_path: Path) -> None:
    drawn = figures.operations(writes(tmp_path, *((number / 300, "ok") for number in range(3_000))))

    assert len(drawn.bars) <= figures.BINS_MAX


def test_every_attempt_of_the_load_is_in_a_bar(tmp_path: Path) -> None:
    history = read_history(made(legal_history(Load(2)), tmp_path) / "history.jsonl")
    window, drawn = figures.load_alone(history), figures.operations(history)
    highest = int(drawn.scale.split()[2])

    within = sum(window.begun <= t <= window.ended for t, _ in figures.attempts(history))
    assert round(sum(bar.height for bar in drawn.bars) * highest / figures.BARS_HEIGHT) == within > 100


def test_a_trial_that_never_came_to_its_load_is_drawn_from_its_first_phase(tmp_path: Path) -> None:
    header = Header("e", 1, "reject", "keyed", canaries={"A": "a", "B": "b"})
    phases = [PhaseEvent("reset", 100 * SECOND, "begun"), PhaseEvent("reset", 104 * SECOND, "ended")]
    history = read_history(made([header, *phases], tmp_path) / "history.jsonl")

    drawn = figures.timeline(history)
    assert [(span.label, span.x, span.width) for span in drawn.lanes[0].spans] == [("reset", 0, 100)]
    assert figures.operations(history).bars == ()


def test_a_label_stands_only_where_it_has_room_on_that_screen() -> None:
    narrow, wide = (figures.Span(0, width, "phase0", "cold restart", "") for width in (12, 40))
    assert (narrow.has_room("phone"), narrow.has_room("desktop")) == (False, True)
    assert wide.has_room("phone")
    assert not figures.Span(0, 1, "phase0", "load", "").has_room("desktop")

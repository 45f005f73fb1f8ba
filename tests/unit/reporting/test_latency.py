"""How long acknowledgements took, by stretch of the trial and over the load."""

from __future__ import annotations

from array import array
from dataclasses import replace

import pytest

from chaos.history.events import FaultEvent, Header, PhaseEvent
from chaos.reporting.page.course import OUTCOMES, Attempts, Course
from chaos.reporting.page.figures import BARS_HEIGHT
from chaos.reporting.page.latency import latencies, latency_figure, told_latency

S = 1_000_000_000
MS = S // 1000
LOAD = [PhaseEvent("load", 0, "begun"), PhaseEvent("load", 10 * S, "ended")]
DOOR = [PhaseEvent("caches", 20 * S, "begun"), PhaseEvent("caches", 22 * S, "ended")]


def course(
    *answers: tuple[float, int, str], faults: tuple[FaultEvent, ...] = (), phases: list[PhaseEvent] | None = None
) -> Course:
    """Attempts that were answered at a second, after so many milliseconds."""
    attempts = Attempts(
        array("q", [round(seconds * S) for seconds, _, _ in answers]),
        array("q", [ms * MS for _, ms, _ in answers]),
        bytearray(OUTCOMES.index(outcome) for _, _, outcome in answers),
    )
    return Course(Header("e", 1, "reject", "keyed"), phases or LOAD, faults, (), attempts, 0, 0)


def struck(t: int, healed: int | None) -> tuple[FaultEvent, ...]:
    injected = FaultEvent(0, t, "disk.power_cut", "core", "injected")
    return (injected,) if healed is None else (injected, FaultEvent(0, healed, "disk.power_cut", "core", "healed"))


def test_a_load_without_a_fault_is_one_stretch_with_median_99th_and_slowest() -> None:
    (load,) = latencies(course(*((number / 20, number, "ok") for number in range(1, 101))))
    assert (load.stretch, load.acknowledged) == ("load", 100)
    assert (load.median, load.p99, load.slowest) == pytest.approx((0.050, 0.099, 0.100))


def test_a_fault_parts_the_load_and_later_phases_stand_alone() -> None:
    found = latencies(
        course(
            (1, 10, "ok"), (2, 30, "degraded"), (4, 500, "ok"), (7, 20, "ok"), (21, 40, "ok"), (12, 99, "ok"),
            faults=struck(3 * S, 6 * S),
            phases=[*LOAD, *DOOR],
        )
    )  # fmt: skip
    assert [(each.stretch, each.acknowledged) for each in found] == [
        ("load, before any fault", 2),
        ("load, a fault in force", 1),
        ("load, after a fault", 1),
        ("caches", 1),
    ]


def test_a_loss_for_good_is_in_force_to_the_end_of_the_load() -> None:
    found = latencies(course((1, 10, "ok"), (9, 20, "ok"), faults=struck(3 * S, None)))
    assert [each.stretch for each in found] == ["load, before any fault", "load, a fault in force"]


def test_the_throughput_of_a_stretch_is_its_acknowledgements_in_a_second() -> None:
    steady = course(*((number / 10, 1, "ok") for number in range(30)), faults=struck(3 * S, 6 * S))
    assert [(each.stretch, each.per_second) for each in latencies(steady)] == [
        ("load, before any fault", 10),
        ("load, a fault in force", 0),
        ("load, after a fault", 0),
    ]
    assert [each.median for each in latencies(steady)][1:] == [None, None], "and so there was no time to tell"


def test_faults_one_after_the_other_are_told_together() -> None:
    faults = (*struck(1 * S, 2 * S), *(replace(each, index=1) for each in struck(4 * S, 6 * S)))
    found = latencies(course((1.5, 10, "ok"), (3, 10, "ok"), (5, 30, "ok"), (5.1, 20, "ok"), faults=faults))
    assert [(each.stretch, each.acknowledged, each.seconds) for each in found] == [
        ("load, before any fault", 0, 1),
        ("load, a fault in force", 3, 3),
        ("load, after a fault", 1, 6),
    ]
    assert found[1].median == pytest.approx(0.020)


def test_what_was_not_acknowledged_took_no_time() -> None:
    nothing = course((1, 10, "fail"), (2, 10, "info"))
    assert latencies(nothing) == ()
    assert latency_figure(nothing) is None


def test_the_drawing_reaches_from_the_median_to_the_slowest_on_a_logarithmic_axis() -> None:
    drawn = latency_figure(course((1, 1, "ok"), (1.01, 10, "ok"), (1.02, 100, "ok")))
    assert drawn is not None
    assert [level.label for level in drawn.levels] == ["1 ms", "10 ms", "100 ms"]
    slowest, median = drawn.bars
    assert (slowest.kind, slowest.y, slowest.height) == ("slowest", 0, BARS_HEIGHT / 2)
    assert (median.kind, median.y + median.height / 2) == ("median", BARS_HEIGHT / 2)


def test_the_axis_of_one_single_time_is_an_axis_all_the_same() -> None:
    for ms in (0, 1, 10, 1_000_000):
        drawn = latency_figure(course((1, ms, "ok")))
        assert drawn is not None
        assert len(drawn.levels) >= 2
        assert all(0 <= bar.y <= BARS_HEIGHT for bar in drawn.bars)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.00012, "0.1 ms"), (0.0123, "12.3 ms"), (0.25, "250 ms"), (1.5, "1.50 s"), (1234, "1,234.00 s")],
)
def test_a_time_is_told_with_a_sensible_number_of_digits(seconds: float, told: str) -> None:
    assert told_latency(seconds) == told

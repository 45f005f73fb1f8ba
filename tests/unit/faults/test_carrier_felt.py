"""What phones felt of the carrier's faults, told from small histories: what proves it, and what only looks like it."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.faults.base import Felt
from chaos.faults.felt import felt
from chaos.history.events import CANARY_OWNER, Act, Back, Event, FaultEvent, Header, Outcome, Row, Send
from chaos.history.reader import read_history
from tests.unit.checks.files import written

MS = 1_000_000
BEGUN, HEALED = 10_000, 12_000
NS = 1 / MS


class Story:
    """A history in milliseconds: the fault is in force from 10 s to 12 s."""

    def __init__(self, fault: str, **evidence: int) -> None:
        header = Header("unit", 1, "reject", "keyed", faults=(fault,))
        self.events: list[Event] = [header]
        self.timed: list[tuple[float, Event]] = [
            (BEGUN, FaultEvent(0, BEGUN * MS, fault, "carrier", "injected")),
            (HEALED, FaultEvent(0, HEALED * MS, fault, "carrier", "healed", bit=True, evidence=evidence)),
        ]
        self._operations = 0

    def write(self, *attempts: tuple[float, float | None, Outcome], owner: str = "u-1") -> int:
        """One create with its attempts (sent, back, outcome); return its number."""
        self._operations += 1
        op = self._operations
        act, hash_ = attempts[0][0], f"{op:016x}"
        self._at(act, Act(op, ns(act), "d-1#1", "d-1", owner, "create", f"r-{op}", "todo", f"w-{op}", hash_, f"k-{op}"))
        for n, (sent, back, outcome) in enumerate(attempts, 1):
            self._at(sent, Send(op, n, ns(sent)))
            if back is not None:
                self._at(back, Back(op, n, ns(back), outcome))
        return op

    def read(self, sent: int, back: int, *seen: int) -> None:
        """A list of another phone that returned these writes."""
        self._operations += 1
        op = self._operations
        rows = tuple(Row(f"r-{each}", "u-1", f"w-{each}", f"{each:016x}", row=str(each)) for each in seen)
        self._at(sent, Act(op, sent * MS, "d-2#1", "d-2", "u-1", "list"))
        self._at(sent, Send(op, 1, sent * MS))
        self._at(back, Back(op, 1, back * MS, "ok", full=True, rows=rows))

    def felt(self, folder: Path) -> Felt:
        ordered = [event for _, event in sorted(self.timed, key=lambda pair: pair[0])]
        history = read_history(written([*self.events, *ordered], folder))
        found = felt(history, history.faults)
        assert found is not None
        return found

    def _at(self, t: float, event: Event) -> None:
        self.timed.append((t, event))


def ns(ms: float) -> int:
    return round(ms * MS)


ANSWERED_BEFORE = [
    (BEGUN - 5_000 - NS, False),
    (BEGUN - 5_000, True),
    (BEGUN, True),
    (BEGUN + NS, False),
    (HEALED + 100, False),
]
"""When a reply came to what had been sent before: whether the path carried one in the 5 s before the fault."""

ENDED_IN_FORCE = [
    (BEGUN - 500, 0),
    (BEGUN, 0),
    (BEGUN + NS, 1),
    (HEALED, 1),
    (HEALED + NS, 0),
]
"""When an attempt ended: how many ended in force."""


def test_no_coverage_is_proved_by_attempts_that_failed_on_a_path_that_had_worked(tmp_path: Path) -> None:
    story = Story("carrier.down")
    story.write((9_000, 9_010, "ok"))
    story.write((9_990, 11_000, "info"), (11_100, 12_010, "ok"))
    story.write((10_500, 10_600, "fail"))
    assert story.felt(tmp_path) == Felt({"failed_attempts": 2}, "")


def test_no_coverage_where_nobody_had_been_served_proves_nothing(tmp_path: Path) -> None:
    story = Story("carrier.down")
    story.write((4_000, 4_010, "ok"))
    story.write((10_500, 11_000, "info"))
    assert story.felt(tmp_path).why == "the path had carried no acknowledgement in the 5 s before"


@pytest.mark.parametrize(("back", "carried"), ANSWERED_BEFORE)
@pytest.mark.parametrize("outcome", ["ok", "degraded"])
def test_a_path_had_worked_if_it_carried_an_acknowledgement_within_5_s_of_the_fault(
    back: float, outcome: Outcome, *, carried: bool, tmp_path: Path
) -> None:
    story = Story("carrier.down")
    story.write((min(back, BEGUN) - 10, back, outcome))
    story.write((10_500, 11_000, "info"))
    why = "" if carried else "the path had carried no acknowledgement in the 5 s before"
    assert story.felt(tmp_path) == Felt({"failed_attempts": 1}, why)


@pytest.mark.parametrize(("back", "failed"), ENDED_IN_FORCE)
@pytest.mark.parametrize("outcome", ["info", "fail"])
def test_attempts_that_failed_before_or_after_do_not_count(
    back: float, outcome: Outcome, failed: int, tmp_path: Path
) -> None:
    story = Story("carrier.down")
    story.write((9_000, 9_010, "ok"))
    story.write((9_400, back, outcome))
    # On its way before the fault took hold: neither does it count against it, nor did it fail.
    story.write((9_990, 10_010, "ok"))
    why = "" if failed else "no attempt failed while it was in force"
    assert story.felt(tmp_path) == Felt({"failed_attempts": failed}, why)


def test_no_coverage_that_nobody_felt_proves_nothing(tmp_path: Path) -> None:
    story = Story("carrier.down")
    story.write((9_000, 9_010, "ok"))
    story.write((10_500, 12_300, "ok"))
    assert story.felt(tmp_path).why == "no attempt failed while it was in force"


def test_a_path_on_which_writes_are_acknowledged_is_not_down(tmp_path: Path) -> None:
    story = Story("carrier.down")
    story.write((9_000, 9_010, "ok"))
    story.write((10_500, 11_000, "info"))
    story.write((10_500, 10_510, "ok"))
    assert story.felt(tmp_path).why == "attempts acknowledged while it was in force: 1"


@pytest.mark.parametrize(
    ("sent", "back", "answered"),
    [(BEGUN, BEGUN + 10, 0), (BEGUN + NS, BEGUN + 10, 1), (11_000, HEALED - NS, 1), (11_000, HEALED, 0)],
)
def test_only_what_was_sent_and_answered_in_force_shows_that_the_path_was_not_down(
    sent: float, back: float, answered: int, tmp_path: Path
) -> None:
    story = Story("carrier.down")
    story.write((9_000, 9_010, "ok"))
    story.write((10_500, 11_000, "info"))
    story.write((sent, back, "ok"))
    why = "attempts acknowledged while it was in force: 1" if answered else ""
    assert story.felt(tmp_path) == Felt({"failed_attempts": 1}, why)


def test_users_of_whatever_name_felt_it_and_canaries_did_not(tmp_path: Path) -> None:
    story = Story("carrier.down")
    story.write((9_000, 9_010, "ok"), owner=CANARY_OWNER)
    story.write((10_500, 11_000, "info"), owner="u-zoe")
    story.write((10_500, 11_000, "info"), owner=CANARY_OWNER)
    why = "the path had carried no acknowledgement in the 5 s before"
    assert story.felt(tmp_path) == Felt({"failed_attempts": 1}, why)


def test_what_is_answered_once_healing_has_begun_does_not_count_against_it(tmp_path: Path) -> None:
    story = Story("carrier.down")
    story.write((9_000, 9_010, "ok"))
    story.write((10_500, 11_000, "info"), (11_950, 12_001, "ok"))
    assert story.felt(tmp_path).why == ""


def test_latency_is_proved_by_late_replies(tmp_path: Path) -> None:
    story = Story("carrier.latency", delay_ms=200)
    story.write((9_000, 9_010, "ok"))
    story.write((9_990, 10_010, "ok"))
    story.write((10_500, 10_700, "ok"))
    story.write((11_990, 12_010, "ok"))
    assert story.felt(tmp_path) == Felt({"late_replies": 1}, "")


@pytest.mark.parametrize("took", [(), (10,), (250, 10, 10)])
def test_latency_that_few_replies_had_proves_nothing(took: tuple[int, ...], tmp_path: Path) -> None:
    story = Story("carrier.latency", delay_ms=200)
    story.write((9_000, 9_010, "ok"))
    for each in took:
        story.write((10_500, 10_500 + each, "ok"))
    late = sum(each >= 200 for each in took)
    assert story.felt(tmp_path).why == f"{late} of {len(took)} replies were late by its latency"


def slow(usual: int, in_force: tuple[float, ...], asked: int, folder: Path) -> Felt:
    """A path on which replies take `usual` ms, and so long while `asked` ms of latency are in force."""
    story = Story("carrier.latency", delay_ms=asked)
    for begin in (8_000, 8_500, 9_000):
        story.write((begin, begin + usual, "ok"))
    for each in in_force:
        story.write((10_100, 10_100 + each, "ok"))
    return story.felt(folder)


@pytest.mark.parametrize("asked", [0, 1, 20, 200])
def test_a_path_that_is_always_so_slow_is_not_slow_by_the_fault(asked: int, tmp_path: Path) -> None:
    assert slow(300, (300, 300, 300), asked, tmp_path).why == "0 of 3 replies were late by its latency"


def test_a_small_latency_is_felt_on_a_slow_path(tmp_path: Path) -> None:
    assert slow(300, (320, 318, 303), 20, tmp_path) == Felt({"late_replies": 2}, "")


def test_replies_that_jitter_lets_through_early_are_made_up_for_by_the_late_ones(tmp_path: Path) -> None:
    assert slow(10, (10, 30, 110, 170, 205), 100, tmp_path) == Felt({"late_replies": 3}, "")


def test_replies_later_by_less_than_half_of_what_was_asked_for_prove_nothing(tmp_path: Path) -> None:
    assert slow(10, (110 - NS, 110 - NS), 200, tmp_path).why == "0 of 2 replies were late by its latency"
    assert slow(10, (110, 110), 200, tmp_path).why == ""
    assert slow(10, (10.5 - NS, 10.5 - NS), 1, tmp_path).why == "0 of 2 replies were late by its latency"
    assert slow(10, (10.5, 10.5), 1, tmp_path).why == ""


@pytest.mark.parametrize(
    ("in_force", "late"),
    [((250, 250, 10, 10), 2), ((250, 250, 10, 10, 10), 0)],
)
def test_latency_is_felt_by_half_of_the_replies_and_not_by_fewer(
    in_force: tuple[float, ...], late: int, tmp_path: Path
) -> None:
    why = "" if late else "2 of 5 replies were late by its latency"
    assert slow(10, in_force, 200, tmp_path) == Felt({"late_replies": 2}, why)


@pytest.mark.parametrize(
    ("in_force", "felt_by"),
    [((120, 120, 120, 10), 3), ((120, 120, 10, 10), 0)],
)
def test_of_a_service_of_which_half_of_the_replies_were_slow_three_quarters_must_get_slower_than_the_fast_ones(
    in_force: tuple[float, ...], felt_by: int, tmp_path: Path
) -> None:
    story = Story("carrier.latency", delay_ms=200)
    for took in (5, 10, 300, 300):
        story.write((9_000, 9_000 + took, "ok"))
    for each in in_force:
        story.write((10_100, 10_100 + each, "ok"))
    why = "" if felt_by else "0 of 4 replies were late by its latency"
    assert story.felt(tmp_path) == Felt({"late_replies": felt_by}, why)


@pytest.mark.parametrize(("back", "compared"), ANSWERED_BEFORE)
def test_replies_are_compared_with_those_of_the_5_s_before(back: float, *, compared: bool, tmp_path: Path) -> None:
    story = Story("carrier.latency", delay_ms=200)
    story.write((min(back, BEGUN) - 10, back, "ok"))
    story.write((10_500, 11_000, "ok"))
    nobody = Felt({"late_replies": 0}, "no reply had come in the 5 s before, with which to compare")
    assert story.felt(tmp_path) == (Felt({"late_replies": 1}, "") if compared else nobody)


@pytest.mark.parametrize(
    ("sent", "back", "counts"),
    [
        (BEGUN - NS, 10_500, 0),
        (BEGUN, 10_500, 0),
        (BEGUN + NS, 10_500, 1),
        (11_000, HEALED, 1),
        (11_000, HEALED + NS, 0),
    ],
)
def test_only_replies_to_what_was_sent_and_came_in_force_are_looked_at(
    sent: float, back: float, counts: int, tmp_path: Path
) -> None:
    story = Story("carrier.latency", delay_ms=200)
    story.write((9_000, 9_010, "ok"))
    story.write((sent, back, "ok"))
    why = "" if counts else "0 of 0 replies were late by its latency"
    assert story.felt(tmp_path) == Felt({"late_replies": counts}, why)


def test_latency_is_felt_though_most_replies_of_a_starting_service_were_slow(tmp_path: Path) -> None:
    story = Story("carrier.latency", delay_ms=200)
    for took in (10, 20, 150, 180, 400, 500):
        story.write((9_000, 9_000 + took, "ok"))
    for took in (210, 215, 220, 230):
        story.write((10_100, 10_100 + took, "ok"))
    assert story.felt(tmp_path) == Felt({"late_replies": 4}, "")


def test_a_service_of_which_only_the_slow_replies_got_slower_proves_no_latency(tmp_path: Path) -> None:
    story = Story("carrier.latency", delay_ms=200)
    for took in (10, 10, 20, 20):
        story.write((9_000, 9_000 + took, "ok"))
    for took in (10, 15, 110, 400):
        story.write((10_100, 10_100 + took, "ok"))
    assert story.felt(tmp_path).why == "1 of 4 replies were late by its latency"


def test_latency_before_which_nobody_had_a_reply_proves_nothing(tmp_path: Path) -> None:
    story = Story("carrier.latency", delay_ms=200)
    story.write((4_000, 4_010, "ok"))
    story.write((9_000, 9_500, "info"), (9_600, 9_610, "fail"))
    story.write((10_500, 10_700, "ok"))
    assert story.felt(tmp_path).why == "no reply had come in the 5 s before, with which to compare"


def test_a_write_that_a_read_returned_while_its_phone_knew_nothing_was_committed_unheard(tmp_path: Path) -> None:
    story = Story("carrier.lose_replies")
    seen = story.write((10_100, 10_200, "info"), (10_300, 10_400, "info"), (12_100, 12_110, "ok"))
    story.read(11_000, 11_100, seen)
    assert story.felt(tmp_path) == Felt({"replies_lost": 2, "committed_unheard": 1}, "")


def test_an_attempt_under_way_at_the_read_that_ends_unknown_too_changes_nothing(tmp_path: Path) -> None:
    story = Story("carrier.lose_replies")
    seen = story.write((10_100, 10_200, "info"), (11_050, 11_200, "info"), (12_100, 12_110, "ok"))
    story.read(11_000, 11_100, seen)
    assert story.felt(tmp_path).counted["committed_unheard"] == 1


@pytest.mark.parametrize(("back", "lost"), ENDED_IN_FORCE)
def test_replies_are_lost_to_attempts_that_end_unknown_in_force(back: float, lost: int, tmp_path: Path) -> None:
    story = Story("carrier.lose_replies")
    seen = story.write((9_400, back, "info"))
    story.write((9_400, back, "fail"))
    story.read(12_100, 12_110, seen)
    counted = {"replies_lost": lost, "committed_unheard": lost}
    assert story.felt(tmp_path).counted == counted


def test_what_is_sent_as_a_read_returns_the_write_cannot_be_what_it_saw(tmp_path: Path) -> None:
    story = Story("carrier.lose_replies")
    seen = story.write((10_100, 10_200, "info"), (11_100, 11_110, "ok"))
    story.read(11_000, 11_100, seen)
    assert story.felt(tmp_path) == Felt({"replies_lost": 1, "committed_unheard": 1}, "")


def nothing_is_known(story: Story, folder: Path) -> None:
    assert story.felt(folder).why == "no write is known to have been committed whose reply was lost"


def test_a_write_that_no_read_returned_may_never_have_been_committed(tmp_path: Path) -> None:
    story = Story("carrier.lose_replies")
    story.write((10_100, 10_200, "info"))
    nothing_is_known(story, tmp_path)


def test_a_retry_that_is_acknowledged_does_not_tell_which_attempt_was_applied(tmp_path: Path) -> None:
    story = Story("carrier.lose_replies")
    story.write((10_100, 10_200, "info"), (12_100, 12_110, "ok"))
    nothing_is_known(story, tmp_path)


def test_a_read_after_the_retry_left_does_not_tell_either(tmp_path: Path) -> None:
    story = Story("carrier.lose_replies")
    seen = story.write((10_100, 10_200, "info"), (12_050, 12_200, "ok"))
    story.read(12_060, 12_100, seen)
    nothing_is_known(story, tmp_path)


def test_an_attempt_that_failed_before_the_fault_could_be_the_one(tmp_path: Path) -> None:
    story = Story("carrier.lose_replies")
    seen = story.write((9_000, 9_500, "info"), (10_100, 10_200, "info"))
    story.read(11_000, 11_100, seen)
    nothing_is_known(story, tmp_path)


def test_a_write_that_was_acknowledged_was_heard_of(tmp_path: Path) -> None:
    story = Story("carrier.lose_replies")
    seen = story.write((10_100, 10_200, "ok"))
    story.read(11_000, 11_100, seen)
    nothing_is_known(story, tmp_path)


def test_other_faults_are_none_of_its_business(tmp_path: Path) -> None:
    story = Story("carrier.down")
    history = read_history(written([*story.events, *(event for _, event in story.timed)], tmp_path))
    assert felt(history, history.faults[:1]) is None, "never healed: whoever judges says so"
    assert felt(history, []) is None

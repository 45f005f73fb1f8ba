"""Which scheduled fault did not bite, and why: no evidence, or no writes that it could have hit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from chaos.checks.conditions.traffic import Traffic
from chaos.checks.counts import Counts
from chaos.history.events import CANARY_OWNER, Back, Event, FaultEvent, Send
from tests.unit.checks.one_owner import closer_look, create, judgement, sent, twice

S = 1_000_000_000
WRITTEN = sent(create(1, S - 2), t=S)


def toothless(
    tmp_path: Path, *events: Event, faults: tuple[str, ...] = ("san.lose",), further: Counts | None = None
) -> list[str]:
    found = judgement(tmp_path, *events, faults=faults, further=further)
    return [reason for reason in found.reasons if "did not bite" in reason]


def fault(t: int, index: int = 0, name: str = "san.lose", *, phase: str = "load", bit: bool = True) -> list[Event]:
    struck = FaultEvent(index, t, name, "core", "injected", phase=phase)
    return [struck, replace(struck, t=t + 1, happened="healed", bit=bit)]


def write(op: int, sent_at: int, back: int | None, outcome: str = "ok", owner: str = "u-1") -> list[Event]:
    act = replace(create(op, sent_at, f"r-{op}"), owner=owner)
    events: list[Event] = [act, Send(op, 1, sent_at)]
    return events if back is None else [*events, Back(op, 1, back, outcome)]  # type: ignore[arg-type]


QUIET = "san.lose (fault 1) did not bite: no write was being acknowledged when it took hold"


@pytest.mark.parametrize(("t", "said"), [(S, []), (2 * S, []), (2 * S + 1, [QUIET])])
def test_a_fault_of_the_load_must_strike_within_a_second_of_an_acknowledgement(
    t: int, said: list[str], tmp_path: Path
) -> None:
    assert toothless(tmp_path, *WRITTEN, *fault(t)) == said
    assert toothless(tmp_path, *WRITTEN, *fault(t, phase="converge")) == []


def test_what_was_sent_while_answers_came_and_is_under_way_counts_and_what_is_refused_then_does_not(
    tmp_path: Path,
) -> None:
    struck = fault(5 * S // 2)
    assert toothless(tmp_path, *WRITTEN, *write(2, 2 * S, 3 * S), *struck) == []
    assert toothless(tmp_path, *WRITTEN, *write(2, 2 * S, None), *struck) == []
    assert toothless(tmp_path, *WRITTEN, *write(2, 2 * S, 3 * S, "info"), *struck) == []
    assert toothless(tmp_path, *WRITTEN, *write(2, 2 * S, 3 * S, "fail"), *struck) == [QUIET]
    assert toothless(tmp_path, *WRITTEN, *write(2, 2 * S + 1, 3 * S), *struck) == [QUIET]
    assert toothless(tmp_path, *WRITTEN, *write(2, 2 * S, 2 * S + 5, "info"), *struck) == [QUIET]
    assert toothless(tmp_path, *WRITTEN, *write(2, 2 * S, 5 * S // 2, "info"), *struck) == [QUIET]


def test_answers_of_after_it_took_hold_and_those_to_canaries_do_not_count(tmp_path: Path) -> None:
    assert toothless(tmp_path, *WRITTEN, *write(2, 5 * S, 5 * S + 1), *fault(4 * S)) == [QUIET]
    assert toothless(tmp_path, *write(2, 3 * S, 3 * S + 1, owner=CANARY_OWNER), *fault(4 * S)) == [QUIET]
    assert toothless(tmp_path, *fault(4 * S)) == [QUIET]


def test_an_answer_at_the_very_instant_counts_to_a_user_of_whatever_name(tmp_path: Path) -> None:
    for owner in ("u-1", "u-zoe"):
        slow = write(2, 2 * S, 5 * S, owner=owner)
        assert toothless(tmp_path, *slow, *fault(5 * S)) == []
        assert toothless(tmp_path, *slow, *fault(6 * S + 1)) == [QUIET]


def test_writes_to_records_that_needed_no_closer_look_count_for_the_fault_that_they_were_around(tmp_path: Path) -> None:
    flowing = Traffic(begun=1 * S, acknowledged=4 * S)
    assert toothless(tmp_path, *fault(4 * S), further=Counts(traffic={0: flowing})) == []
    assert toothless(tmp_path, *fault(4 * S), further=Counts(traffic={1: flowing})) == [QUIET]


def test_the_first_request_of_all_counts_when_it_was_just_sent(tmp_path: Path) -> None:
    assert toothless(tmp_path, *write(2, 4 * S, 5 * S), *fault(4 * S)) == []
    assert toothless(tmp_path, *write(2, 4 * S, 5 * S), *fault(4 * S - 1)) == [QUIET]
    assert toothless(tmp_path, *write(2, 4 * S, 4 * S + 7), *fault(4 * S + 7)) == []


@pytest.mark.parametrize(
    ("t", "said"),
    [(4 * S - 1, [QUIET]), (4 * S, []), (13 * S // 2 - 1, []), (13 * S // 2, [QUIET]), (8 * S + 1, [QUIET])],
)
def test_what_needs_no_closer_look_is_load_all_the_same(t: int, said: list[str], tmp_path: Path) -> None:
    """Sent at 4 s and refused at 7.5; acknowledged at 5; sent at 6, given up at 6.5, and acknowledged at 7."""
    refused, made, again = create(1, 4 * S - 1), create(2, 9 * S // 2, "r-2"), create(3, 6 * S - 1, "r-3")
    load = [*sent(refused, "fail", t=15 * S // 2), *sent(made, t=5 * S), *sent(again, "info", t=13 * S // 2)]
    load += [Send(3, 2, 7 * S - 1), Back(3, 2, 7 * S, "ok")]
    closer, found = closer_look(
        tmp_path, *load, *fault(t), *twice(1, "fresh", 20 * S, made, again), faults=("san.lose",)
    )
    assert closer == set()
    assert [reason for reason in found.reasons if "did not bite" in reason] == said


def test_each_fault_has_its_own_evidence_and_its_own_number(tmp_path: Path) -> None:
    both = ("san.lose", "process.kill")
    first, second = fault(S, bit=False), fault(S + 5, 1, "process.kill")
    low = "its evidence stayed below its minimum"
    assert toothless(tmp_path, *WRITTEN, *first, *second, faults=both) == [f"san.lose (fault 1) did not bite: {low}"]
    blunt = [*fault(S), *fault(S + 5, 1, "process.kill", bit=False)]
    assert toothless(tmp_path, *WRITTEN, *blunt, faults=both) == [f"process.kill (fault 2) did not bite: {low}"]
    assert toothless(tmp_path, *WRITTEN, *fault(S), faults=both) == [
        "process.kill (fault 2) did not bite: its trigger never came"
    ]


def test_the_last_word_of_the_injector_is_the_reason(tmp_path: Path) -> None:
    struck, healed = (e for e in fault(S, bit=False) if isinstance(e, FaultEvent))
    told = [replace(struck, why="began"), replace(healed, why="no packet was dropped")]
    assert toothless(tmp_path, *WRITTEN, *told) == ["san.lose (fault 1) did not bite: no packet was dropped"]
    missed = FaultEvent(0, S, "san.lose", "core", "missed", why="nothing to fail")
    assert toothless(tmp_path, *WRITTEN, missed) == ["san.lose (fault 1) did not bite: nothing to fail"]
    # That it bit is said as it ends; what the injection claims is no evidence.
    assert toothless(tmp_path, *WRITTEN, replace(struck, bit=True), healed) == [
        "san.lose (fault 1) did not bite: its evidence stayed below its minimum"
    ]

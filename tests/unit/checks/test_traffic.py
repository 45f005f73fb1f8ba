"""When writes were being acknowledged: the last answer, and what was under way."""

from __future__ import annotations

import pytest

from chaos.checks.conditions.traffic import NEVER, Traffic, until
from chaos.history.model import INFINITY

S = 1_000_000_000


@pytest.mark.parametrize(
    ("what", "traffic", "flows"),
    [
        ("an answer at this instant", Traffic(1 * S, 20 * S), True),
        ("an answer just now", Traffic(1 * S, 19 * S), True),
        ("an answer a while ago", Traffic(1 * S, 18 * S), False),
        ("a slow request, sent while answers came", Traffic(1 * S, 17 * S, 18 * S), True),
        ("tries of phones whose service has long been silent", Traffic(1 * S, 1 * S, 19 * S), False),
        ("the first requests of all, not answered yet", Traffic(19 * S, NEVER, 19 * S), True),
        ("requests that were never answered", Traffic(1 * S, NEVER, 19 * S), False),
        ("nothing at all", Traffic(), False),
        ("nothing until then", Traffic(21 * S), False),
    ],
)
def test_writes_flow_as_long_as_somebody_is_answered(what: str, traffic: Traffic, *, flows: bool) -> None:
    assert traffic.flows(20 * S) is flows, what


def test_the_traffic_of_several_records_is_added_up() -> None:
    silent, answered = Traffic(begun=5, under_way=30), Traffic(begun=7, acknowledged=9, under_way=20)
    assert silent + answered == answered + silent == Traffic(5, 9, 20)
    assert silent + Traffic() == silent


def test_what_is_never_answered_is_not_under_way_for_ever() -> None:
    assert (until(5, 7), until(5, INFINITY)) == (7, 5 + S)


def test_an_answer_counts_though_the_clock_has_only_just_begun() -> None:
    assert Traffic(begun=0, acknowledged=1).flows(S + 1)
    assert not Traffic(begun=0).flows(S + 1)

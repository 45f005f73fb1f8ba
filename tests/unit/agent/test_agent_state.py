"""Rules: which requests they fail, and how often."""

from __future__ import annotations

import pytest

from chaos.agent.state import IoRule, Toll, rule_from

READS = frozenset({"read"})


@pytest.mark.parametrize(
    ("offset", "size", "fails"),
    [(0, 4096, False), (0, 4097, True), (4096, 1, True), (8191, 1, True), (8192, 1, False), (0, 16384, True)],
)
def test_a_range_is_hit_by_any_request_that_overlaps_it(offset: int, size: int, fails: bool) -> None:
    assert IoRule(READS, first=4096, end=8192).applies("read", offset, size) is fails


def test_a_flush_has_no_place_and_is_hit_whatever_the_range() -> None:
    assert IoRule(frozenset({"flush"}), first=4096, end=8192).applies("flush", 0, 0)


def test_a_rule_without_an_end_reaches_to_the_last_byte() -> None:
    assert IoRule(READS, first=4096).applies("read", 1 << 40, 1)


def test_only_hits_are_counted_down() -> None:
    rule = IoRule(READS, times=1, first=0, end=4096)
    assert not rule.applies("write", 0, 1)
    assert not rule.applies("read", 4096, 1)
    assert rule.applies("read", 0, 1)
    assert not rule.applies("read", 0, 1)


def test_a_rule_without_a_number_of_times_never_runs_out() -> None:
    rule = IoRule(READS)
    assert all(rule.applies("read", 0, 1) for _ in range(100))


def test_a_rule_is_read_from_a_request() -> None:
    wanted = {"fail": ["read", "flush"], "times": 3, "first": 512, "end": 1024}
    assert rule_from(wanted) == IoRule(frozenset({"read", "flush"}), 3, 512, 1024)
    assert rule_from({"cause": 7, "hold": ["read"]}) == IoRule(frozenset({"read"}), hold=True, cause=7)
    assert rule_from({"fail": ["write"]}) == IoRule(frozenset({"write"}))


@pytest.mark.parametrize("operations", [[], ["trim"], ["read", "erase"]])
def test_a_rule_of_no_or_unknown_operations_is_refused_by_name(operations: list[str]) -> None:
    with pytest.raises(ValueError, match="a rule is about some of read, write, flush, not"):
        rule_from({"fail": operations})


def test_failures_are_counted_by_operation() -> None:
    toll = Toll()
    toll.fail("read")
    toll.fail("write")
    assert toll == Toll(failed_reads=1, failed_writes=1)

"""The crash states of recorded writes."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.agent.recording import CUT, FLUSH, SET, WRITE, Recording
from chaos.explore.points import Boundary, boundaries, possible, states

Io = tuple[int, int, tuple[int, ...]]
"""Kind, instant, blocks. The time of an I/O is ten times its instant."""


def recording(ios: Sequence[Io], blocks: int = 8) -> Recording:
    ends, written = [], list[int]()
    for _, _, each in ios:
        written += each
        ends.append(len(written))
    columns = [array("q", each) for each in zip(*((i, 10 * i, k) for k, i, _ in ios), strict=True)]
    instants, times, kinds = columns or [array("q")] * 3
    blank, slots = array("q", [-1] * blocks), array("q", range(len(written)))
    return Recording(0, blank, instants, times, kinds, array("q", ends), array("q", written), slots)


def told(of: Sequence[Boundary]) -> list[tuple[int, str, int, int]]:
    return [(each.instant, each.lun, each.flush, each.volatile) for each in of]


def test_a_boundary_lies_just_before_each_flush_that_makes_something_durable_and_at_the_end() -> None:
    data = recording(
        [(WRITE, 1, (0,)), (FLUSH, 2, ()), (FLUSH, 3, ()), (WRITE, 4, (1, 2)), (WRITE, 6, (1,)), (FLUSH, 8, ())]
    )
    wal = recording([(WRITE, 5, (0,)), (FLUSH, 7, ()), (WRITE, 9, (3,))])
    found = boundaries({"data": data, "wal": wal}, 0, 95)
    assert told(found) == [(1, "data", 1, 1), (6, "wal", 1, 4), (7, "data", 3, 3), (9, "", 0, 1)]
    assert [each.t_ns for each in found] == [20, 70, 80, 95]
    assert dict(found[1].window) == {"data": (1, 2, 3), "wal": (0,)}
    assert possible(found) == 2 + 16 + 8 + 2


def test_what_was_flushed_before_the_load_is_no_boundary_and_its_flushes_are_not_counted() -> None:
    data = recording([(WRITE, 1, (0,)), (FLUSH, 2, ()), (WRITE, 3, (1,)), (FLUSH, 4, ())])
    assert told(boundaries({"data": data}, 25, 50)) == [(3, "data", 1, 1), (4, "", 0, 0)]


def test_after_a_cut_nothing_is_volatile_and_what_was_set_never_is() -> None:
    data = recording([(WRITE, 1, (0,)), (CUT, 2, (0,)), (SET, 3, (5,)), (WRITE, 4, (1,)), (FLUSH, 5, ())])
    assert told(boundaries({"data": data}, 0, 60)) == [(1, "data", 0, 1), (4, "data", 1, 1), (5, "", 0, 0)]
    assert [data.blocks[place] for place in data.volatile(4)] == [1]


def test_first_every_instant_with_nothing_then_with_everything_then_drawn_subsets_and_none_twice() -> None:
    three = [Boundary(n, n, "data", n, {"data": tuple(range(3))}) for n in (1, 2)]
    found = list(states(three, 100, 99, 7))
    assert [(each.boundary.instant, each.taken) for each in found[:4]] == [(2, 3), (1, 3), (2, 0), (1, 0)]
    assert len(found) == possible(three) == len({(each.boundary.instant, each.survivors) for each in found})
    assert [each.number for each in found] == list(range(1, 17))
    assert found == list(states(three, 100, 99, 7)), "the same recording and seed have the same states"


def test_fewer_states_than_instants_are_spread_evenly_and_more_are_the_same_and_others() -> None:
    many = [Boundary(n, n, "data", n, {}) for n in range(1, 101)]
    found = [[each.boundary.instant for each in states(many, most, 0, 1)] for most in range(1, 102)]
    assert found[3] == [100, 36, 68, 4]
    assert all(more[: len(fewer)] == fewer for fewer, more in itertools.pairwise(found))
    assert sorted(found[-1]) == list(range(1, 101))


def test_no_boundary_has_more_subsets_than_were_asked_for() -> None:
    one = [Boundary(1, 1, "data", 1, {"data": tuple(range(9))})]
    assert [len(list(states(one, 100, subsets, 1))) for subsets in (0, 1, 2, 5)] == [1, 2, 3, 6]


def test_where_nothing_is_volatile_there_is_one_state() -> None:
    assert [each.survivors for each in states([Boundary(1, 1, "", 0, {})], 9, 9, 1)] == [frozenset()]


@given(st.lists(st.sampled_from("wfsc"), max_size=30), st.data())
def test_a_cut_leaves_what_a_disk_without_a_log_would_have(kinds: list[str], data: st.DataObject) -> None:
    """Against a disk that keeps nothing but what is durable and what is not."""
    ios: list[Io] = []
    durable: dict[int, int] = {}
    volatile: list[tuple[int, int]] = []
    after: list[tuple[dict[int, int], list[tuple[int, int]]]] = [({}, [])]
    slot = 0
    for instant, kind in enumerate(kinds, start=1):
        blocks: tuple[int, ...] = ()
        if kind == "w":
            first = data.draw(st.integers(0, 5))
            blocks = tuple(range(first, first + data.draw(st.integers(1, 3))))
            volatile = [*volatile, *((block, slot + n) for n, block in enumerate(blocks))]
        elif kind == "f":
            durable, volatile = durable | dict(volatile), []
        elif kind == "s":
            clean = [block for block in range(8) if block not in dict(volatile)]
            blocks = (data.draw(st.sampled_from(clean)),) if clean else ()
            durable = durable | dict.fromkeys(blocks, slot)
        else:
            blocks, volatile = (), []
        slot += len(blocks)
        ios.append(({"w": WRITE, "f": FLUSH, "s": SET, "c": CUT}[kind], instant, blocks))
        after.append((durable, volatile))
    # a real cut sets blocks back; a log without any volatile write before it has nothing to set
    if any(kind == "c" and after[n][1] for n, kind in enumerate(kinds)):
        return
    log = recording(ios)
    instant = data.draw(st.integers(0, len(ios)))
    left, open_ = after[instant]
    assert [log.slots[place] for place in log.volatile(instant)] == [each for _, each in open_]
    assert {b: s for b, s in enumerate(log.after_cut(instant)) if s >= 0} == left
    kept = data.draw(st.sets(st.sampled_from(log.volatile(instant)))) if open_ else set()
    some = left | {log.blocks[place]: log.slots[place] for place in sorted(kept)}
    assert {b: s for b, s in enumerate(log.after_cut(instant, kept)) if s >= 0} == some
    assert {b: s for b, s in enumerate(log.at(instant)) if s >= 0} == left | dict(open_)


def test_an_instant_before_the_log_is_refused() -> None:
    late = Recording(5, array("q", [-1]), *(array("q") for _ in range(6)))
    with pytest.raises(ValueError, match="nothing before I/O 5, and I/O 3 was asked for"):
        late.after_cut(3)

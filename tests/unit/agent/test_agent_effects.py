"""Effects: which I/Os they meet, how often, and what a chain of them may do to an I/O."""

from __future__ import annotations

import errno
import struct
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.agent import states
from chaos.agent.disk import effects, fuse
from chaos.agent.disk.effects import Effect, FailEffect, Fate, HoldEffect, Io
from chaos.agent.states import Corrupt, Delay, Fail, Flap, Full, Hold, Lie, Misdirect, Operation, RollBack, Rot, Stale
from tests.unit.agent.test_agent_fuse import Kernel

READS: frozenset[Operation] = frozenset({"read"})
WRITES: frozenset[Operation] = frozenset({"write"})
FLUSHES: frozenset[Operation] = frozenset({"flush"})


def fails(wanted: Fail, io: Io) -> bool:
    return FailEffect(wanted, Counter()).meets(io) is Fate.FAILS


@pytest.mark.parametrize(
    ("offset", "size", "hit"),
    [(0, 4096, False), (0, 4097, True), (4096, 1, True), (8191, 1, True), (8192, 1, False), (0, 16384, True)],
)
def test_a_range_is_hit_by_any_io_that_overlaps_it(offset: int, size: int, hit: bool) -> None:
    assert fails(Fail(READS, None, 4096, 8192), Io("read", offset, size)) is hit


def test_a_flush_has_no_place_and_is_hit_whatever_the_range() -> None:
    assert fails(Fail(frozenset({"flush"}), None, 4096, 8192), Io("flush"))


def test_a_range_without_an_end_reaches_to_the_last_byte() -> None:
    assert fails(Fail(READS, None, 4096), Io("read", 1 << 40, 1))


def test_only_hits_are_counted_down_and_counted() -> None:
    counts: Counter[str] = Counter()
    effect = FailEffect(Fail(READS, 1, 0, 4096), counts)
    ios = [Io("write", 0, 1), Io("read", 4096, 1), Io("read", 0, 1), Io("read", 0, 1)]
    assert [effect.meets(io) for io in ios] == [Fate.PASSES, Fate.PASSES, Fate.FAILS, Fate.PASSES]
    assert counts == {"failed_reads": 1}


def test_an_effect_without_a_number_of_times_never_runs_out() -> None:
    effect = FailEffect(Fail(READS), Counter())
    assert all(effect.meets(Io("read", 0, 1)) is Fate.FAILS for _ in range(100))


def test_an_effect_of_no_operation_is_refused() -> None:
    with pytest.raises(ValueError, match="an effect is about some of read, write, flush"):
        effects.make(Fail(frozenset()), Counter())


def test_every_wanted_effect_can_be_made() -> None:
    some = (Delay(READS), Lie(WRITES), Misdirect(WRITES), Corrupt(READS), Stale(READS))
    for wanted in (Fail(READS), Hold(READS), Flap(1), *some, Rot(1), Full()):
        assert effects.make(wanted, Counter()).wanted == wanted
    assert isinstance(effects.make(Hold(READS), Counter()), HoldEffect)


# --- what an effect may do, each shown by one that is defined here


class Shouting(Effect):
    """Changes what is written on its way, and what is read on its way back."""

    def meets(self, io: Io) -> Fate:
        io.data = bytes(io.data).upper()
        return Fate.PASSES

    def returns(self, io: Io, data: bytes) -> bytes:
        return data.replace(b"X", b"!")


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    made = Kernel(tmp_path)
    yield made
    made.close()


def test_an_effect_of_ones_own_may_change_what_is_written_and_what_is_read(kernel: Kernel) -> None:
    kernel.target.chain = [Shouting(states.Hold(READS), kernel.target.counts[7])]
    assert kernel.write(0, b"x" * 512) == 0
    assert kernel.target.lun.read(0, 512) == b"X" * 512
    assert kernel.read(0, 512) == (0, b"!" * 512)


# --- those that there are, on a kernel's requests


def test_a_misdirected_write_is_done_before_its_place_or_after_it_where_there_is_nothing_before(kernel: Kernel) -> None:
    kernel.want(Misdirect(WRITES, times=2, shift_bytes=8192, cause=7))
    for offset in (4096, 16384, 20480):
        assert kernel.write(offset, b"x" * 4096) == 0
    there = kernel.target.lun
    assert [place for place in range(0, 65536, 4096) if there.read(place, 1) == b"x"] == [8192, 12288, 20480]
    assert kernel.target.counts == {7: {"misdirected_writes": 2}}


def test_ignored_flushes_make_nothing_durable_and_a_cut_takes_it(kernel: Kernel) -> None:
    kernel.write(0, b"x" * 512)
    kernel.want(Lie(FLUSHES, cause=7))
    assert kernel.flush() == 0
    assert kernel.target.lun.cut() == 4096
    kernel.want()
    kernel.write(0, b"x" * 512)
    assert (kernel.flush(), kernel.target.lun.cut()) == (0, 0)
    assert kernel.target.counts == {7: {"ignored_flushes": 1}}


def test_ignored_writes_leave_what_was_there_where_the_range_is_met(kernel: Kernel) -> None:
    kernel.write(0, b"a" * 8192)
    kernel.want(Lie(WRITES, None, 4096, 8192, 7))
    assert [kernel.write(place, b"b" * 4096) for place in (0, 4096)] == [0, 0]
    assert kernel.read(0, 8192) == (0, b"b" * 4096 + b"a" * 4096)
    assert kernel.target.counts == {7: {"ignored_writes": 1}}


def test_a_corrupted_read_has_one_wrong_bit_in_every_4096_bytes_and_what_is_stored_is_right(kernel: Kernel) -> None:
    kernel.write(0, bytes(8192))
    kernel.want(Corrupt(READS, times=1, cause=7))
    error, data = kernel.read(0, 8192)
    assert (error, [place for place, byte in enumerate(data) if byte], data[0]) == (0, [0, 4096], 1)
    assert kernel.read(0, 8192) == (0, bytes(8192))
    assert kernel.target.counts == {7: {"corrupted_reads": 1}}


def test_a_delayed_io_is_done_when_its_time_has_come_and_an_effect_before_it_counts_it_once(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel.want(Misdirect(WRITES, times=1, shift_bytes=4096), Delay(WRITES, latency_ns=10**9, cause=7))
    kernel.tell(fuse._WRITE, kernel.node, struct.pack("<QQIIQII", 0, 0, 512, 0, 0, 0, 0) + b"x" * 512)
    assert kernel.is_silent()
    assert 0 < kernel.front.seconds_until_due <= 1
    now = time.monotonic_ns() + 10**9
    monkeypatch.setattr(time, "monotonic_ns", lambda: now)
    assert kernel.front.seconds_until_due == 0
    kernel.front.reconsider()
    assert kernel.answer()[0] == 0
    assert kernel.target.lun.read(4096, 1) == b"x", "it goes along the chain anew, as it came"
    assert kernel.target.counts == {0: {"misdirected_writes": 1}, 7: {"delayed_ios": 1}}


def test_a_limit_of_bytes_lets_one_io_pass_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic_ns", lambda: 0)
    effect = effects.make(Delay(WRITES, bytes_per_second=1000, latency_ns=5), Counter())
    ios = [Io("write", 0, size, since_ns=0) for size in (1000, 500)]
    assert [effect.meets(io) for io in ios] == [Fate.WAITS, Fate.WAITS]
    assert [io.due_ns for io in ios] == [10**9 + 5, 1_500_000_005]
    late = Io("write", 0, 100, since_ns=2 * 10**9)
    monkeypatch.setattr(time, "monotonic_ns", lambda: 2 * 10**9)
    assert (effect.meets(late), late.due_ns) == (Fate.WAITS, 2_100_000_005)
    assert effect.meets(ios[0]) is Fate.PASSES


SECOND = 10**9


def at(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """It is so many seconds after some instant."""
    monkeypatch.setattr(time, "monotonic_ns", lambda: round((1000 + seconds) * SECOND))


def test_paths_that_flap_hold_what_comes_in_a_gap_until_its_end_and_nothing_after_the_last_one(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch, 0)
    kernel.want(Flap(2 * SECOND, SECOND, gaps=2, cause=7))
    waited = []
    for comes, ends in ((0.5, 2.0), (4.9, 5.0)):
        at(monkeypatch, comes)
        asked = kernel.tell(fuse._FSYNC, kernel.node, bytes(16))
        assert kernel.is_silent()
        assert kernel.front.seconds_until_due == pytest.approx(ends - comes)
        at(monkeypatch, ends)
        kernel.front.reconsider()
        assert kernel.answer(asked)[0] == 0
        waited.append(kernel.target.counts[7]["longest_wait_ms"])
        assert kernel.write(0, b"x" * 512) == 0, "the paths are back"
    at(monkeypatch, 6.5)
    assert kernel.read(0, 512) == (0, b"x" * 512), "there is no third gap"
    assert waited == [1500, 1500]
    assert kernel.target.counts == {7: {"gaps": 2, "held_ios": 2, "longest_wait_ms": 1500}}


def test_paths_that_flap_and_fail_do_so_in_each_gap_for_as_long_as_it_stands(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch, 0)
    kernel.want(Flap(SECOND, 2 * SECOND, fails=True, cause=7))
    seen = []
    for seconds in (0, 0.5, 1, 2.5, 3, 300, 301.5):
        at(monkeypatch, seconds)
        seen.append(kernel.read(0, 512)[0])
    assert seen == [errno.EIO, errno.EIO, 0, 0, errno.EIO, errno.EIO, 0]
    assert kernel.target.counts == {7: {"gaps": 3, "failed_reads": 4}}
    kernel.want()
    at(monkeypatch, 303)
    assert kernel.read(0, 512)[0] == 0


def test_what_others_hold_back_when_paths_are_back_is_no_wait_for_them(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch, 0)
    kernel.want(Flap(SECOND, gaps=1, cause=7))
    (effect,), io = kernel.target.chain, Io("flush")
    assert effect.meets(io) is Fate.WAITS
    for seconds in (1, 61):
        at(monkeypatch, seconds)
        assert effect.meets(io) is Fate.PASSES
    assert kernel.target.counts[7]["longest_wait_ms"] == 1000


def test_stale_reads_return_what_was_there_however_often_it_is_written_and_the_log_does_not_reuse_it(
    kernel: Kernel,
) -> None:
    kernel.target.lun._log.changes_max = 0
    kernel.write(0, b"a" * 4096)
    kernel.want(Stale(READS, times=2, cause=7))
    for letter in b"bcdefgh":
        kernel.write(0, bytes([letter]) * 4096)
        kernel.flush()
    assert [kernel.read(0, 4096)[1][:1] for _ in range(3)] == [b"a", b"a", b"h"]
    assert kernel.read(4096, 1) == (0, b"\0"), "nothing else is there, so it is not counted"
    assert kernel.target.counts == {7: {"stale_reads": 2}}
    kernel.want()
    for _ in range(20):
        kernel.write(0, b"x" * 4096)
        kernel.flush()
    assert kernel.target.lun._end < 20, "nobody holds the view any more"


def test_rot_turns_one_bit_over_in_blocks_that_were_flushed_and_stays(kernel: Kernel) -> None:
    kernel.write(0, b"a" * 4096 * 4)
    kernel.flush()
    kernel.write(4096, b"b" * 4096)
    kernel.want(Rot(3, 5, 0, 12288, 7))
    kernel.want()
    found, was = kernel.read(0, 16384)[1], b"a" * 4096 + b"b" * 4096 + b"a" * 8192
    wrong = [place for place in range(len(was)) if found[place] != was[place]]
    assert [place // 4096 for place in wrong] == [0, 2]
    assert all((found[place] ^ ord("a")).bit_count() == 1 for place in wrong)
    assert kernel.target.counts == {7: {"rotten_blocks": 2}}


def test_a_rollback_brings_back_an_instant_and_says_how_far_it_went(kernel: Kernel) -> None:
    kernel.write(0, b"a" * 4096)
    kernel.flush()
    kernel.write(0, b"b" * 4096)
    then = time.monotonic_ns()
    kernel.write(0, b"c" * 4096)
    kernel.want(RollBack(time.monotonic_ns() - then, cause=7))
    assert kernel.read(0, 1) == (0, b"b"), "as it was, also what was not flushed"
    assert kernel.target.lun.volatile_bytes == 0
    assert kernel.target.counts[7]["rolled_back_bytes"] == 4096
    kernel.write(0, b"d" * 4096)
    kernel.want(RollBack(3600 * 10**9, flushed=True, cause=8))
    assert kernel.read(0, 1) == (0, b"\0"), "as it was made"
    kernel.write(0, b"e" * 4096)
    kernel.want(RollBack(3600 * 10**9, flushed=True, cause=8))
    assert kernel.read(0, 1) == (0, b"e"), "what is in force does not begin again"


def test_a_rollback_goes_no_further_than_the_log(kernel: Kernel) -> None:
    log = kernel.target.lun._log
    log.changes_max = 0
    for letter in b"abc":
        kernel.write(0, bytes([letter]) * 4096)
        kernel.flush()
    assert log.first_instant
    kernel.want(RollBack(3600 * 10**9, cause=7))
    assert kernel.read(0, 1)[1] in (b"b", b"c")
    assert kernel.target.counts[7]["rolled_back_ms"] < 60_000


def test_a_full_lun_takes_what_was_written_before_and_what_there_is_room_for(kernel: Kernel) -> None:
    kernel.write(0, b"a" * 4096)
    kernel.want(Full(8192, 7))
    assert [kernel.write(place, b"b" * 4096) for place in (0, 4096, 8192, 12288, 8192)] == [0, 0, 0, errno.ENOSPC, 0]
    assert kernel.read(0, 16384) == (0, b"b" * 12288 + bytes(4096))
    assert kernel.target.counts == {7: {"failed_writes": 1}}


@pytest.mark.parametrize("kind", [Fail, Delay, Lie, Misdirect, Corrupt])
def test_an_effect_on_some_ios_counts_only_those(kind: type[Fail]) -> None:
    counts: Counter[str] = Counter()
    effect = effects.make(kind(READS | WRITES, 1, 4096, 8192), counts)
    for io in (Io("flush"), Io("read", 0, 4096), Io("write", 8192, 1)):
        assert effect.meets(io) is Fate.PASSES
    assert not counts
    for io in (Io("read", 4096, 1), Io("write", 4096, 1)):
        effect.meets(io)
    assert counts.total() == 1

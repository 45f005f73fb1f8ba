"""Effects: which I/Os they meet, how often, and what a chain of them may do to an I/O."""

from __future__ import annotations

import struct
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.agent import states
from chaos.agent.disk import effects, fuse
from chaos.agent.disk.effects import Effect, FailEffect, Fate, HoldEffect, Io
from chaos.agent.states import Fail, Hold, Operation
from tests.unit.agent.test_agent_fuse import Kernel

READS: frozenset[Operation] = frozenset({"read"})


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
    for wanted in (Fail(READS), Hold(READS)):
        assert effects.make(wanted, Counter()).wanted == wanted
    assert isinstance(effects.make(Hold(READS), Counter()), HoldEffect)


# --- what an effect may do, each shown by one that is defined here


class Late(Effect):
    """Answers a second after the I/O came."""

    def meets(self, io: Io) -> Fate:
        io.due_ns = io.since_ns + 10**9
        return Fate.WAITS if time.monotonic_ns() < io.due_ns else Fate.PASSES


class Elsewhere(Effect):
    """Writes one block further."""

    def meets(self, io: Io) -> Fate:
        if io.operation == "write":
            io.offset += 4096
            self.counts["misdirected_writes"] += 1
        return Fate.PASSES


class Shouting(Effect):
    """Changes what is written on its way, and what is read on its way back."""

    def meets(self, io: Io) -> Fate:
        io.data = bytes(io.data).upper()
        return Fate.PASSES

    def returns(self, io: Io, data: bytes) -> bytes:
        return data.replace(b"X", b"!")


class Lying(Effect):
    """Says that flushes and writes were done."""

    def meets(self, io: Io) -> Fate:
        return Fate.PASSES if io.operation == "read" else Fate.IS_SKIPPED


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    made = Kernel(tmp_path)
    yield made
    made.close()


def chain(kernel: Kernel, *kinds: type[Effect]) -> None:
    kernel.target.chain = [kind(states.Hold(READS), kernel.target.counts[7]) for kind in kinds]


def test_an_effect_may_redirect_and_counts_its_own_evidence(kernel: Kernel) -> None:
    chain(kernel, Elsewhere)
    assert kernel.write(0, b"x" * 512) == 0
    assert kernel.target.lun.read(0, 1) + kernel.target.lun.read(4096, 1) == b"\0x"
    assert kernel.target.counts == {7: {"misdirected_writes": 1}}


def test_an_effect_may_change_what_is_written_and_what_is_read(kernel: Kernel) -> None:
    chain(kernel, Shouting)
    assert kernel.write(0, b"x" * 512) == 0
    assert kernel.target.lun.read(0, 512) == b"X" * 512
    assert kernel.read(0, 512) == (0, b"!" * 512)


def test_an_effect_may_lie(kernel: Kernel) -> None:
    kernel.write(0, b"x" * 512)
    chain(kernel, Lying)
    assert (kernel.flush(), kernel.write(0, b"y" * 512)) == (0, 0)
    assert kernel.target.lun.volatile_bytes == 4096, "the flush made nothing durable"
    assert kernel.read(0, 1) == (0, b"x"), "the write went nowhere"


def test_an_effect_may_delay_and_the_rest_of_the_chain_comes_then(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain(kernel, Elsewhere, Late)
    kernel.tell(fuse._WRITE, kernel.node, struct.pack("<QQIIQII", 0, 0, 512, 0, 0, 0, 0) + b"x" * 512)
    assert kernel.is_silent()
    assert 0 < kernel.front.seconds_until_due <= 1
    now = time.monotonic_ns() + 10**9
    monkeypatch.setattr(time, "monotonic_ns", lambda: now)
    assert kernel.front.seconds_until_due == 0
    kernel.front.reconsider()
    assert kernel.answer()[0] == 0
    assert kernel.target.lun.read(4096, 1) == b"x", "it goes along the chain anew, as it came"

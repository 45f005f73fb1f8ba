"""A LUN held against the simplest thing that behaves like one: two byte arrays.

`now` is what a read must return, `durable` what must be there after a power cut. The machine drives both with the
same random requests; tests run it on the real LUN and on LUNs with planted bugs.
"""

from __future__ import annotations

import random
import tempfile
from array import array
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from chaos.agent.disk import log, lun
from chaos.agent.disk.base import FileBase, RecordedBase
from chaos.agent.disk.lun import SECTOR_BYTES, Lun
from chaos.agent.recording import BLOCK_BYTES, CUT, DATA_SUFFIX, LOG_SUFFIX, WRITE, Recording

BLOCKS = 12
SIZE = BLOCKS * BLOCK_BYTES
OFFSETS = st.one_of(
    st.integers(0, SIZE - 1),
    st.integers(0, BLOCKS - 1).map(lambda block: block * BLOCK_BYTES),
    st.integers(1, BLOCKS).map(lambda block: block * BLOCK_BYTES - 1),
)
SIZES = st.one_of(
    st.integers(1, 3 * BLOCK_BYTES), st.integers(1, BLOCKS).map(lambda count: count * BLOCK_BYTES), st.just(512)
)
SEEDS = st.integers(0, 2**32)


class LunMachine(RuleBasedStateMachine):
    """Random requests to a LUN and to its model. `kind` is the class under test."""

    kind: type[Lun] = Lun
    files = Bundle("files")

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._saved = 0

    def teardown(self) -> None:
        if hasattr(self, "lun"):
            self.lun.close()
        self._folder.cleanup()

    @initialize(based=st.booleans(), blocks=st.integers(0, BLOCKS), seed=SEEDS)
    def make(self, based: bool, blocks: int, seed: int) -> None:
        """A blank LUN, or a clone of a file, which may be shorter than the LUN."""
        content = random.Random(seed).randbytes(blocks * BLOCK_BYTES) if based else b""
        path = Path(self._folder.name) / "base"
        path.write_bytes(content)
        self.lun = self.kind(SIZE, str(path) if based else None, self._folder.name)
        self.now = bytearray(content.ljust(SIZE, b"\0"))
        self.durable = bytes(self.now)
        self.versions: dict[int, list[bytes]] = {}
        self.base = str(path) if based else None
        # at each instant: what a read had to return, and what a cut had left
        self.past: list[tuple[int, bytes, bytes]] = [(0, bytes(self.now), self.durable)]

    @rule(offset=OFFSETS, size=SIZES, seed=SEEDS, zeros=st.booleans())
    def write(self, offset: int, size: int, seed: int, zeros: bool) -> None:
        size = min(size, SIZE - offset)
        data = bytes(size) if zeros else random.Random(seed).randbytes(size)
        self.lun.write(offset, memoryview(data))
        self.now[offset : offset + size] = data
        for place in range(offset - offset % BLOCK_BYTES, offset + size, BLOCK_BYTES):
            self.versions.setdefault(place, []).append(bytes(self.now[place : place + BLOCK_BYTES]))

    @rule(block=st.integers(0, 1), seed=SEEDS)
    def write_again(self, block: int, seed: int) -> None:
        """Two blocks are written much more often than others, as those of a journal are."""
        self.write(block * BLOCK_BYTES, BLOCK_BYTES, seed, zeros=False)

    @rule(offset=OFFSETS, size=SIZES)
    def read(self, offset: int, size: int) -> None:
        assert self.lun.read(offset, size) == self.now[offset : offset + size]

    @rule(size=SIZES)
    def read_beyond_the_end(self, size: int) -> None:
        assert self.lun.read(SIZE, size) == b""
        assert self.lun.read(SIZE - 1, size) == self.now[-1:]

    @rule()
    def flush(self) -> None:
        self.lun.flush()
        self.durable = bytes(self.now)
        self.versions.clear()
        assert self.lun.volatile_bytes == 0

    @rule()
    def cut(self) -> None:
        volatile = self.lun.volatile_bytes
        assert self.lun.cut() == volatile
        self.now = bytearray(self.durable)
        self.versions.clear()
        assert self.lun.volatile_bytes == 0

    @rule(seed=SEEDS, share=st.sampled_from([0.0, 0.3, 0.7, 1.0]), torn=st.booleans())
    def cut_in_part(self, seed: int, share: float, torn: bool) -> None:
        """What a block is then, it was at some time since the flush; or, of one block, a mixture of two of these."""
        volatile, before = self.lun.volatile_bytes, bytes(self.now)
        dropped = self.lun.cut_in_part(random.Random(seed), share, torn=torn)
        found = self.lun.read(0, SIZE)
        mixed = 0
        for place in range(0, SIZE, BLOCK_BYTES):
            block = found[place : place + BLOCK_BYTES]
            allowed = [self.durable[place : place + BLOCK_BYTES], *self.versions.get(place, ())]
            if block not in allowed:
                assert _is_mixed(block, allowed)
                mixed += 1
        assert mixed <= torn
        if share in (0.0, 1.0):
            assert dropped == (0 if share else volatile)
            assert torn or found == (before if share else self.durable)
        assert self.lun.volatile_bytes == 0
        self.now, self.durable = bytearray(found), found
        self.versions.clear()

    @rule(seed=SEEDS, blocks=st.integers(1, 3))
    def rot(self, seed: int, blocks: int) -> None:
        """It strikes what is durable, and is durable at once."""
        before, volatile = bytes(self.now), self.lun.volatile_bytes
        rotten = self.lun.rot(random.Random(seed), blocks, 0, None)
        found = self.lun.read(0, SIZE)
        durable = bytearray(self.durable)
        changed = [
            at for at in range(0, SIZE, BLOCK_BYTES) if found[at : at + BLOCK_BYTES] != before[at : at + BLOCK_BYTES]
        ]
        assert len(changed) == rotten <= blocks
        for at in changed:
            assert at not in self.versions
            durable[at : at + BLOCK_BYTES] = found[at : at + BLOCK_BYTES]
        self.now, self.durable = bytearray(found), bytes(durable)
        assert self.lun.volatile_bytes == volatile

    @rule(pick=st.integers(0, 2**16))
    def go_back(self, pick: int) -> None:
        """Become what it was at an instant that the log still has; all of it is durable then."""
        instant, now, _ = self._had(pick)
        self.lun.roll_back(instant)
        self.now, self.durable = bytearray(now), now
        self.versions.clear()
        assert self.lun.volatile_bytes == 0

    @rule(pick=st.integers(0, 2**16), survivors=st.sampled_from(["none", "all"]))
    def look_back(self, pick: int, survivors: str) -> None:
        """What a saved log tells of an instant is what was there, or would have been after a cut."""
        path = Path(self._folder.name) / "log"
        self.lun.save_log(path)
        instant, now, durable = self._had(pick)
        data = path.with_name(path.name + DATA_SUFFIX)
        recording = Recording.read(path.with_name(path.name + LOG_SUFFIX))
        kept, left = (recording.volatile(instant), now) if survivors == "all" else ([], durable)
        for map_, content in ((recording.at(instant), now), (recording.after_cut(instant, kept), left)):
            base = RecordedBase(FileBase(self.base), str(data), map_)
            assert base.read(0, BLOCKS).ljust(SIZE, b"\0") == content
            base.close()

    def _had(self, pick: int) -> tuple[int, bytes, bytes]:
        first = self.lun._log.first_instant
        known = [each for each in self.past if each[0] >= first]
        return known[pick % len(known)] if known else (self.lun._log.instant, bytes(self.now), self.durable)

    @rule(target=files)
    def save(self) -> tuple[str, bytes]:
        self._saved += 1
        path = Path(self._folder.name) / f"saved-{self._saved}"
        self.lun.save(str(path))
        assert path.read_bytes() == self.now
        assert path.stat().st_blocks * 512 <= SIZE - self._zero_bytes() + BLOCK_BYTES
        return str(path), bytes(self.now)

    @rule(file=consumes(files))
    def clone(self, file: tuple[str, bytes]) -> None:
        """Go on with a clone of a saved file in the place of the LUN."""
        path, content = file
        self.lun.close()
        self.lun = self.kind(SIZE, path, self._folder.name)
        self.base = path
        self.now, self.durable = bytearray(content), content
        self.versions.clear()
        self.past = [(0, content, content)]

    @invariant()
    def everything_reads_as_written(self) -> None:
        if hasattr(self, "lun"):
            assert self.lun.read(0, SIZE) == self.now
            if self.past[-1][0] != (instant := self.lun._log.instant):
                self.past.append((instant, bytes(self.now), self.durable))

    def _zero_bytes(self) -> int:
        """Zero bytes that a sparse file need not store; `save` leaves out runs, not single blocks in them."""
        return 0 if any(self.now) else SIZE


def _is_mixed(block: bytes, of: list[bytes]) -> bool:
    """Whether it has the first sectors of one and the rest of another."""
    places = range(SECTOR_BYTES, BLOCK_BYTES, SECTOR_BYTES)
    return any(block == one[:place] + other[place:] for one in of for other in of for place in places)


class Early(LunMachine):
    """The log forgets, and slots are used again, from the first change on, instead of after 256 MiB."""

    def __init__(self) -> None:
        super().__init__()
        self._kept = log.CHANGES_MAX
        log.CHANGES_MAX = 0

    def teardown(self) -> None:
        log.CHANGES_MAX = self._kept
        super().teardown()


class KeepsOneBlock(Lun):
    """Bug: a cut leaves the first block that was written since the flush."""

    def cut(self) -> int:
        dropped, first = self.volatile_bytes, self._log.volatile[:1]
        super().cut()
        self._log.cut(first)
        return dropped


class _InWriteOrder(log.WriteLog):
    @property
    def _volatile_places(self) -> list[int]:
        return super()._volatile_places[::-1]


class RevertsInWriteOrder(Lun):
    """Bug: a block written twice since the flush comes back as its first volatile version."""

    def cut(self) -> int:
        self._log.__class__ = _InWriteOrder
        try:
            return super().cut()
        finally:
            self._log.__class__ = log.WriteLog


class ReusesVolatileSlots(Lun):
    """Bug: what a volatile write replaced is free at once, so a cut cannot bring it back."""

    def write(self, offset: int, data: bytes | memoryview) -> None:
        before = self._log.map[offset // BLOCK_BYTES]
        super().write(offset, data)
        if before >= 0:
            self._log.free.append(before)


class FlushesNothing(Lun):
    """Bug: a flush is acknowledged and nothing becomes durable."""

    def flush(self) -> None:
        pass


class LosesTheTail(Lun):
    """Bug: an unaligned write zeroes the rest of its last block."""

    def write(self, offset: int, data: bytes | memoryview) -> None:
        tail = -(offset + len(data)) % BLOCK_BYTES
        super().write(offset, bytes(data) + bytes(tail) if tail else data)


class SurvivorsAreVolatile(Lun):
    """Bug: what outlives one cut is dropped by the next."""

    def cut_in_part(self, chance: random.Random, share: float, *, torn: bool) -> int:
        before, volatile = self._log._flushed, self.volatile_bytes
        dropped = super().cut_in_part(chance, share, torn=torn)
        if volatile:
            self._log._flushed = before
        return dropped


class TearsToZeros(Lun):
    """Bug: the sectors that a torn write did not reach are zeros."""

    def _torn(self, block: int, slot: int, below: int, size: int) -> int:
        made = super()._torn(block, slot, below, size)
        lun._write(self._data, bytes(BLOCK_BYTES - size), made * BLOCK_BYTES + size)
        return made


class FreesWhatACutBroughtBack(Lun):
    """Bug: a slot that was written over, and that a cut has brought back, may be used again."""

    def cut(self) -> int:
        dropped = super().cut()
        self._log._again.clear()
        return dropped


class RotIsVolatile(Lun):
    """Bug: a cut heals what had rotted since the last flush."""

    def rot(self, chance: random.Random, blocks: int, first_byte: int, end_byte: int | None) -> int:
        rotten = super().rot(chance, blocks, first_byte, end_byte)
        self._log._durable.clear()
        return rotten


class LogsNoCut(Lun):
    """Bug: the log does not say that a cut took writes back, so that instants after it have them."""

    def save_log(self, path: Path) -> None:
        super().save_log(path)
        file = path.with_name(path.name + LOG_SUFFIX)
        recording = Recording.read(file)
        recording.kinds[:] = array("q", [WRITE if kind == CUT else kind for kind in recording.kinds])
        recording.write(file)


class LogsFlushesLate(Lun):
    """Bug: the log has every flush one I/O later than it was."""

    def save_log(self, path: Path) -> None:
        super().save_log(path)
        file = path.with_name(path.name + LOG_SUFFIX)
        recording = Recording.read(file)
        recording.kinds[:] = recording.kinds[-1:] + recording.kinds[:-1]
        recording.write(file)

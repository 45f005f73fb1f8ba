"""A LUN held against the simplest thing that behaves like one: two byte arrays.

`now` is what a read must return, `durable` what must be there after a power cut. The machine drives both with the
same random requests; tests run it on the real LUN and on LUNs with planted bugs.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from chaos.agent.disk import lun
from chaos.agent.disk.lun import BLOCK_BYTES, SECTOR_BYTES, Lun

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

    @rule(offset=OFFSETS, size=SIZES, seed=SEEDS, zeros=st.booleans())
    def write(self, offset: int, size: int, seed: int, zeros: bool) -> None:
        size = min(size, SIZE - offset)
        data = bytes(size) if zeros else random.Random(seed).randbytes(size)
        self.lun.write(offset, memoryview(data))
        self.now[offset : offset + size] = data
        for place in range(offset - offset % BLOCK_BYTES, offset + size, BLOCK_BYTES):
            self.versions.setdefault(place, []).append(bytes(self.now[place : place + BLOCK_BYTES]))

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
        Path(path).unlink()  # a base that is open needs no name
        self.now, self.durable = bytearray(content), content
        self.versions.clear()

    @invariant()
    def everything_reads_as_written(self) -> None:
        if hasattr(self, "lun"):
            assert self.lun.read(0, SIZE) == self.now

    def _zero_bytes(self) -> int:
        """Zero bytes that a sparse file need not store; `save` leaves out runs, not single blocks in them."""
        return 0 if any(self.now) else SIZE


def _is_mixed(block: bytes, of: list[bytes]) -> bool:
    """Whether it has the first sectors of one and the rest of another."""
    places = range(SECTOR_BYTES, BLOCK_BYTES, SECTOR_BYTES)
    return any(block == one[:place] + other[place:] for one in of for other in of for place in places)


class Early(LunMachine):
    """Slots are reused from the first on, instead of after 256 MiB."""

    def __init__(self) -> None:
        super().__init__()
        self._before = lun._REUSE_FROM_SLOT
        lun._REUSE_FROM_SLOT = 0

    def teardown(self) -> None:
        lun._REUSE_FROM_SLOT = self._before
        super().teardown()


class ForgetsOneBlock(Lun):
    """Bug: a cut leaves the first block that was written since the flush."""

    def cut(self) -> int:
        dropped = self.volatile_bytes
        del self._volatile[:1]
        super().cut()
        return dropped


class RevertsInWriteOrder(Lun):
    """Bug: a block written twice since the flush comes back as its first volatile version."""

    def cut(self) -> int:
        self._volatile.reverse()
        return super().cut()


class ReusesVolatileSlots(Lun):
    """Bug: what a volatile write replaced is free at once, so a cut cannot bring it back."""

    def write(self, offset: int, data: bytes | memoryview) -> None:
        super().write(offset, data)
        self._superseded.append(list(self._volatile[-1:]))


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
        written = list(self._volatile)
        dropped = super().cut_in_part(chance, share, torn=torn)
        self._volatile = written
        return dropped


class TearsToZeros(Lun):
    """Bug: the sectors that a torn write did not reach are zeros."""

    def _torn(self, block: int, slot: int, size: int) -> int:
        made = super()._torn(block, slot, size)
        lun._write(self._log, bytes(BLOCK_BYTES - size), made * BLOCK_BYTES + size)
        return made

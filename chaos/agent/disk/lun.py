"""One LUN: a golden base, an append-only log of written blocks over it, and a list of what is not flushed yet.

Fault model: a write that was answered is volatile until the next flush is answered; a flush makes every write
before it durable. A power cut drops the volatile writes (see `cut`). Never injected here: reordering inside the
base, loss of flushed blocks (those would be effects, see `effects.py`).

Not locked: the agent serves FUSE and changes LUNs in one thread; `save`, which runs beside it, only reads.
"""

from __future__ import annotations

import errno
import os
import random
import tempfile
import weakref
from array import array

BLOCK_BYTES = 4096
SECTOR_BYTES = 512
"""What a disk writes whole or not at all."""
_FROM_BASE = -1
_REUSE_FROM_SLOT = (256 << 20) // BLOCK_BYTES
"""The log grows to 256 MiB in order (contiguous reads), then reuses slots that no map points to."""


class Lun:
    """A block device's content. Offsets and sizes are in bytes; unaligned access is allowed."""

    def __init__(self, size_bytes: int, base: str | None, folder: str) -> None:
        """Clone `base` (a file; None for zeros) in O(1); the log is an unnamed file in `folder`."""
        if size_bytes <= 0 or size_bytes % BLOCK_BYTES:
            raise ValueError(f"a LUN's size must be a multiple of {BLOCK_BYTES} bytes, not {size_bytes}")
        self.size_bytes = size_bytes
        self._base = os.open(base, os.O_RDONLY) if base else -1
        with tempfile.TemporaryFile(dir=folder, buffering=0) as log:
            self._log = os.dup(log.fileno())
        self._map = array("q", [_FROM_BASE]) * (size_bytes // BLOCK_BYTES)
        self._volatile: list[tuple[int, int]] = []
        self._superseded: list[list[tuple[int, int]]] = []
        self._free: list[int] = []
        self._views: weakref.WeakSet[View] = weakref.WeakSet()
        self._end = 0

    def close(self) -> None:
        """Free the log; the content is gone."""
        os.close(self._log)
        if self._base >= 0:
            os.close(self._base)

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes; beyond the end of the device there are none."""
        return self._read(self._map, offset, size)

    def _read(self, map_: array[int], offset: int, size: int) -> bytes:
        size = max(0, min(size, self.size_bytes - offset))
        first, skew = divmod(offset, BLOCK_BYTES)
        if not size:
            return b""
        count = (skew + size + BLOCK_BYTES - 1) // BLOCK_BYTES
        slots = map_[first : first + count]
        if count == 1 or self._is_run(slots):
            data = self._read_run(first, slots[0], count)
        else:
            data = b"".join(self._read_run(*run) for run in self._runs(first, slots))
        return data if len(data) == size else data[skew : skew + size]

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write volatile data; the caller has checked that it lies within the device."""
        first, skew = divmod(offset, BLOCK_BYTES)
        tail = -(skew + len(data)) % BLOCK_BYTES
        if skew or tail:
            end = offset + len(data)
            data = self.read(offset - skew, skew) + bytes(data) + self.read(end, tail)
        count = len(data) // BLOCK_BYTES
        before = self._map[first : first + count]
        if count > 1 and self._end > _REUSE_FROM_SLOT and self._reusable(count):
            slots = array("q", [self._free.pop() for _ in range(count)])
            for index, slot in enumerate(slots):
                _write(self._log, data[index * BLOCK_BYTES : (index + 1) * BLOCK_BYTES], slot * BLOCK_BYTES)
        else:
            start = self._take(count)
            _write(self._log, data, start * BLOCK_BYTES)
            slots = array("q", range(start, start + count))
        self._map[first : first + count] = slots
        self._volatile.extend(zip(range(first, first + count), before, strict=True))

    def flush(self) -> None:
        """Make every write so far durable."""
        if self._volatile:
            self._superseded.append(self._volatile)
            self._volatile = []

    def cut(self) -> int:
        """Drop every write since the last flush, as a power cut does; return the bytes dropped."""
        dropped = len(self._volatile)
        for block, slot in reversed(self._volatile):
            self._map[block] = slot
        self._volatile.clear()
        return dropped * BLOCK_BYTES

    def cut_in_part(self, chance: random.Random, share: float, *, torn: bool) -> int:
        """As `cut`, but some blocks survive, as on a disk that writes its cache out in an order of its own.

        Args:
            chance: Draws them.
            share: Of the blocks written since the last flush, from 0 to 1; each time that one was written counts.
            torn: Whether the last survivor has its first sectors alone, over what was there before.
        """
        slots = {block: self._map[block] for block, _ in self._volatile}
        written = []
        for block, before in reversed(self._volatile):
            written.append((block, slots[block]))
            slots[block] = before
        dropped = self.cut() // BLOCK_BYTES
        survivors = [each for each in reversed(written) if chance.random() < share]
        for number, (block, slot) in enumerate(survivors, start=1):
            if torn and number == len(survivors):
                sectors = chance.randrange(1, BLOCK_BYTES // SECTOR_BYTES)
                slot = self._torn(block, slot, sectors * SECTOR_BYTES)
            self._map[block] = slot
        return (dropped - len(survivors)) * BLOCK_BYTES

    def _torn(self, block: int, slot: int, size: int) -> int:
        """A new slot with the first bytes of a slot, and the rest of what the block is now."""
        data = self._read_run(block, slot, 1)[:size] + self._read_run(block, self._map[block], 1)[size:]
        made = self._take(1)
        _write(self._log, data, made * BLOCK_BYTES)
        return made

    @property
    def volatile_bytes(self) -> int:
        """Bytes written and not flushed."""
        return len(self._volatile) * BLOCK_BYTES

    def view(self) -> View:
        """What it is now, to be read later; while somebody holds it the log only grows."""
        made = View(self, self._map[:])
        self._views.add(made)
        return made

    def rot(self, chance: random.Random, blocks: int, first_byte: int, end_byte: int | None) -> int:
        """Turn one bit over in so many drawn blocks that were written and flushed; return how many there were."""
        end = len(self._map) if end_byte is None else -(-end_byte // BLOCK_BYTES)
        volatile = {block for block, _ in self._volatile}
        written = [
            block
            for block in range(first_byte // BLOCK_BYTES, min(end, len(self._map)))
            if self._map[block] != _FROM_BASE and block not in volatile
        ]
        rotten = chance.sample(written, min(blocks, len(written)))
        for block in rotten:
            data = bytearray(self._read_run(block, self._map[block], 1))
            data[chance.randrange(BLOCK_BYTES)] ^= 1 << chance.randrange(8)
            slot = self._take(1)
            _write(self._log, data, slot * BLOCK_BYTES)
            self._map[block] = slot
        return len(rotten)

    def blank_bytes(self, offset: int, size: int) -> int:
        """Of a range the bytes of blocks that nobody has written, in the base neither."""
        blocks = range(offset // BLOCK_BYTES, -(-(offset + size) // BLOCK_BYTES))
        return BLOCK_BYTES * sum(self._map[block] == _FROM_BASE and self._is_hole(block, 1) for block in blocks)

    def save(self, path: str) -> None:
        """Write the current content, volatile writes included, as a sparse file."""
        part = f"{path}.part"
        target = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.ftruncate(target, self.size_bytes)
            step = 256
            for first in range(0, len(self._map), step):
                slots = self._map[first : first + step]
                for block, slot, count in self._runs(first, slots):
                    if slot == _FROM_BASE and self._is_hole(block, count):
                        continue
                    data = self._read_run(block, slot, count)
                    if data.count(0) != len(data):
                        _write(target, data, block * BLOCK_BYTES)
            os.fsync(target)
        finally:
            os.close(target)
        os.replace(part, path)

    def _is_hole(self, block: int, count: int) -> bool:
        """Whether the base has nothing but zeros there, and does not even keep them."""
        try:
            return os.lseek(self._base, block * BLOCK_BYTES, os.SEEK_DATA) >= (block + count) * BLOCK_BYTES
        except OSError as error:  # no data up to the end; EBADF: no base
            return error.errno in (errno.ENXIO, errno.EBADF)

    def _take(self, count: int) -> int:
        if count == 1 and self._end > _REUSE_FROM_SLOT and self._reusable(1):
            return self._free.pop()
        start = self._end
        self._end += count
        return start

    def _reusable(self, count: int) -> bool:
        if self._views:
            return False  # what nothing points to now may be in one of them
        while len(self._free) < count and self._superseded:
            self._free.extend(slot for _, slot in self._superseded.pop() if slot != _FROM_BASE)
        return len(self._free) >= count

    @staticmethod
    def _is_run(slots: array[int]) -> bool:
        first, last = slots[0], slots[-1]
        if first == _FROM_BASE:
            return slots.count(_FROM_BASE) == len(slots)
        return last - first == len(slots) - 1 and slots == array("q", range(first, last + 1))

    @staticmethod
    def _runs(first: int, slots: array[int]) -> list[tuple[int, int, int]]:
        """Split into (block, slot, count) that lie next to each other in one file."""
        runs: list[tuple[int, int, int]] = []
        start = 0
        for index in range(1, len(slots) + 1):
            if index < len(slots):
                step = 0 if slots[start] == _FROM_BASE else index - start
                if slots[index] == slots[start] + step:
                    continue
            runs.append((first + start, slots[start], index - start))
            start = index
        return runs

    def _read_run(self, block: int, slot: int, count: int) -> bytes:
        size = count * BLOCK_BYTES
        if slot != _FROM_BASE:
            data = os.pread(self._log, size, slot * BLOCK_BYTES)
        elif self._base >= 0:
            data = os.pread(self._base, size, block * BLOCK_BYTES)
        else:
            data = b""
        return data if len(data) == size else data + bytes(size - len(data))


class View:
    """What a LUN was at an instant."""

    def __init__(self, lun: Lun, map_: array[int]) -> None:
        """Use `Lun.view`."""
        self._lun = lun
        self._map = map_

    def read(self, offset: int, size: int) -> bytes:
        """As `Lun.read` would have then."""
        return self._lun._read(self._map, offset, size)


def _write(file: int, data: bytes | bytearray | memoryview, offset: int) -> None:
    """Write it all, or raise: where the store's disk is full, the kernel first writes a part and says so."""
    if os.pwrite(file, data, offset) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

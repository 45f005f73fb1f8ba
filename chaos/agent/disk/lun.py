"""One LUN: a base that is never written to, and over it an append-only log of everything that was written (see `log`).

Fault model: a write that was answered is volatile until the next flush is answered; a flush makes every write
before it durable. A power cut drops the volatile writes (see `cut`). Never injected here: reordering inside the
base, loss of flushed blocks (those would be effects, see `effects.py`).

Not locked: the agent serves FUSE and changes LUNs in one thread; `save`, which runs beside it, only reads.
"""

from __future__ import annotations

import errno
import itertools
import os
import random
import shutil
import tempfile
import weakref
from array import array
from collections.abc import Iterator
from pathlib import Path

from chaos.agent.disk.base import FROM_BASE, Base, FileBase, is_run, runs
from chaos.agent.disk.log import WriteLog
from chaos.agent.recording import BLOCK_BYTES, DATA_SUFFIX, LOG_SUFFIX

SECTOR_BYTES = 512
"""What a disk writes whole or not at all."""
_COPIED_AT_ONCE = 1 << 20


class Lun:
    """A block device's content. Offsets and sizes are in bytes; unaligned access is allowed."""

    def __init__(
        self, size_bytes: int, base: str | Base | None, folder: str, instants: Iterator[int] | None = None
    ) -> None:
        """Clone `base` (a file's path; None for zeros) in O(1); what is written lies in an unnamed file in `folder`.

        `instants` numbers the I/Os of all LUNs of an agent.
        """
        if size_bytes <= 0 or size_bytes % BLOCK_BYTES:
            raise ValueError(f"a LUN's size must be a multiple of {BLOCK_BYTES} bytes, not {size_bytes}")
        self.size_bytes = size_bytes
        self._base: Base = FileBase(base) if base is None or isinstance(base, str) else base
        with tempfile.TemporaryFile(dir=folder, buffering=0) as data:
            self._data = os.dup(data.fileno())
        self._log = WriteLog(size_bytes // BLOCK_BYTES, itertools.count(1) if instants is None else instants)
        self._views: weakref.WeakSet[View] = weakref.WeakSet()
        self._end = 0

    def close(self) -> None:
        """Free the log; the content is gone."""
        os.close(self._data)
        self._base.close()

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes; beyond the end of the device there are none."""
        return self._read(self._log.map, offset, size)

    def _read(self, map_: array[int], offset: int, size: int) -> bytes:
        size = max(0, min(size, self.size_bytes - offset))
        first, skew = divmod(offset, BLOCK_BYTES)
        if not size:
            return b""
        count = (skew + size + BLOCK_BYTES - 1) // BLOCK_BYTES
        slots = map_[first : first + count]
        if count == 1 or is_run(slots):
            data = self._read_run(first, slots[0], count)
        else:
            data = b"".join(self._read_run(*run) for run in runs(first, slots))
        return data if len(data) == size else data[skew : skew + size]

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write volatile data; the caller has checked that it lies within the device."""
        first, skew = divmod(offset, BLOCK_BYTES)
        tail = -(skew + len(data)) % BLOCK_BYTES
        if skew or tail:
            end = offset + len(data)
            data = self.read(offset - skew, skew) + bytes(data) + self.read(end, tail)
        count = len(data) // BLOCK_BYTES
        free = self._log.free
        if len(free) >= count:
            slots = array("q", [free.pop() for _ in range(count)])
            for index, slot in enumerate(slots):
                _write(self._data, data[index * BLOCK_BYTES : (index + 1) * BLOCK_BYTES], slot * BLOCK_BYTES)
        else:
            start = self._end
            _write(self._data, data, start * BLOCK_BYTES)
            self._end += count
            slots = array("q", range(start, start + count))
        self._log.wrote(first, slots)
        if not self._views:  # what nothing names now may be in one of them
            self._log.forget()

    def flush(self) -> None:
        """Make every write so far durable."""
        self._log.flushed()

    def cut(self) -> int:
        """Drop every write since the last flush, as a power cut does; return the bytes dropped."""
        dropped = self.volatile_bytes
        self._log.cut()
        return dropped

    def cut_in_part(self, chance: random.Random, share: float, *, torn: bool) -> int:
        """As `cut`, but some blocks survive, as on a disk that writes its cache out in an order of its own.

        Args:
            chance: Draws them.
            share: Of the blocks written since the last flush, from 0 to 1; each time that one was written counts.
            torn: Whether the last survivor has its first sectors alone, over what was there before.
        """
        written = self._log.volatile
        survivors = [each for each in written if chance.random() < share]
        if torn and survivors:
            sectors = chance.randrange(1, BLOCK_BYTES // SECTOR_BYTES)
            *whole, (block, slot) = survivors
            below = dict(whole).get(block, self._log.durable_slot(block))
            survivors[-1] = block, self._torn(block, slot, below, sectors * SECTOR_BYTES)
        self._log.cut(survivors)
        return (len(written) - len(survivors)) * BLOCK_BYTES

    def _torn(self, block: int, slot: int, below: int, size: int) -> int:
        """A new slot with the first bytes of a slot, and the rest of the one below it."""
        return self._put(self._read_run(block, slot, 1)[:size] + self._read_run(block, below, 1)[size:])

    @property
    def volatile_bytes(self) -> int:
        """Bytes written and not flushed."""
        return self._log.volatile_blocks * BLOCK_BYTES

    def view(self) -> View:
        """What it is now, to be read later; while somebody holds it the log only grows."""
        made = View(self, self._log.map[:])
        self._views.add(made)
        return made

    def rot(self, chance: random.Random, blocks: int, first_byte: int, end_byte: int | None) -> int:
        """Turn one bit over in so many drawn blocks that were written and flushed; return how many there were."""
        map_ = self._log.map
        end = len(map_) if end_byte is None else -(-end_byte // BLOCK_BYTES)
        volatile = {block for block, _ in self._log.volatile}
        written = [
            block
            for block in range(first_byte // BLOCK_BYTES, min(end, len(map_)))
            if map_[block] != FROM_BASE and block not in volatile
        ]
        rotten = chance.sample(written, min(blocks, len(written)))
        for block in rotten:
            data = bytearray(self._read_run(block, map_[block], 1))
            data[chance.randrange(BLOCK_BYTES)] ^= 1 << chance.randrange(8)
            self._log.put(block, self._put(data))
        return len(rotten)

    def blank_bytes(self, offset: int, size: int) -> int:
        """Of a range the bytes of blocks that nobody has written, in the base neither."""
        blocks = range(offset // BLOCK_BYTES, -(-(offset + size) // BLOCK_BYTES))
        return BLOCK_BYTES * sum(self._log.map[block] == FROM_BASE and self._base.is_hole(block, 1) for block in blocks)

    def save(self, path: str) -> None:
        """Write the current content, volatile writes included, as a sparse file."""
        part = f"{path}.part"
        target = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.ftruncate(target, self.size_bytes)
            step = 256
            for first in range(0, len(self._log.map), step):
                slots = self._log.map[first : first + step]
                for block, slot, count in runs(first, slots):
                    if slot == FROM_BASE and self._base.is_hole(block, count):
                        continue
                    data = self._read_run(block, slot, count)
                    if data.count(0) != len(data):
                        _write(target, data, block * BLOCK_BYTES)
            os.fsync(target)
        finally:
            os.close(target)
        os.replace(part, path)

    def roll_back(self, instant: int, *, flushed: bool = False) -> int:
        """Be what it was at an instant, or, where that is `flushed`, what of it was durable then; all is durable now.

        Returns:
            The bytes that differ from what it was just before.

        Raises:
            ValueError: The log does not go back so far.
        """
        recording = self._log.recording()
        then = recording.after_cut(instant) if flushed else recording.at(instant)
        return self._log.become(then) * BLOCK_BYTES

    def instant_before(self, t_ns: int, now_ns: int) -> tuple[int, int]:
        """The last instant before a time, or the first that can still be had; and how long ago that was, in ns."""
        return self._log.instant_before(t_ns, now_ns)

    def keep_log(self) -> None:
        """Forget nothing from now on, so that every instant from here can be had."""
        self._log.changes_max = None

    def save_log(self, path: Path) -> None:
        """Write the log and what was written into two files, `path` with suffixes; it may be written to meanwhile."""
        recording = self._log.recording()
        with open(path.with_name(path.name + DATA_SUFFIX), "wb") as target, open(os.dup(self._data), "rb") as data:
            data.seek(0)
            shutil.copyfileobj(data, target, _COPIED_AT_ONCE)
        recording.write(path.with_name(path.name + LOG_SUFFIX))

    def _put(self, data: bytes | bytearray) -> int:
        """A new slot that holds a block."""
        slot = self._end
        _write(self._data, data, slot * BLOCK_BYTES)
        self._end += 1
        return slot

    def _read_run(self, block: int, slot: int, count: int) -> bytes:
        size = count * BLOCK_BYTES
        logged = slot != FROM_BASE
        data = os.pread(self._data, size, slot * BLOCK_BYTES) if logged else self._base.read(block, count)
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

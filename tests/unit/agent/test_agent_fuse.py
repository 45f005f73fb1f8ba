"""The FUSE front without a kernel: requests through a socket pair that stands for /dev/fuse."""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.agent.disk import fuse
from chaos.agent.disk.fuse import Front
from chaos.agent.disk.lun import Lun
from chaos.agent.disk.state import Port, Target
from chaos.agent.recording import BLOCK_BYTES
from chaos.agent.states import Effect, Fail, Hold, Operation

SIZE = 16 * BLOCK_BYTES
ALL: frozenset[Operation] = frozenset({"read", "write", "flush"})


class Kernel:
    """The other end of the front's device: asks, and takes the answers."""

    def __init__(self, folder: Path) -> None:
        self._near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        far.setblocking(False)
        self._near.settimeout(5)
        for end in (self._near, far):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        self._far = far
        self._unique = 0
        self.front = Front(far.fileno())
        self.target = Target("disk", Lun(SIZE, None, str(folder)))
        self.port = Port("holdfast-run-disk-1", self.target)
        self.front.add(self.port)
        self.node = self.lookup(self.port.file)

    def close(self) -> None:
        self._near.close()
        self._far.close()
        self.target.lun.close()

    def counted(self) -> dict[int, dict[str, int]]:
        """By cause, what was counted for it."""
        return {cause: dict(counts) for cause, counts in self.target.counts.items() if counts}

    def want(self, *effects: Effect) -> None:
        """These effects, and no others, are in force."""
        for cause in {each.wanted.cause for each in self.target.chain} | {each.cause for each in effects}:
            wanted = [each for each in effects if each.cause == cause]
            self.target.chain = self.target.chain_for(cause, wanted, time.monotonic_ns())

    def tell(self, operation: int, node: int = 1, body: bytes = b"") -> int:
        """Send one request and let the front serve it; return its number."""
        self._unique += 1
        header = struct.pack("<IIQQIIIHH", 40 + len(body), operation, self._unique, node, 0, 0, 0, 0, 0)
        self._near.sendall(header + body)
        self.front.serve(8)
        return self._unique

    def ask(self, operation: int, node: int = 1, body: bytes = b"") -> tuple[int, bytes]:
        """As `tell`, and return (errno, body) of the answer."""
        asked = self.tell(operation, node, body)
        return self.answer(asked)

    def answer(self, asked: int | None = None) -> tuple[int, bytes]:
        """The next answer as (errno, body)."""
        answer = self._near.recv(2 << 20)
        size, error, unique = struct.unpack_from("<IiQ", answer)
        assert size == len(answer)
        assert asked in (None, unique)
        return -error, answer[16:]

    def is_silent(self) -> bool:
        self._near.setblocking(False)
        try:
            self._near.recv(1)
        except BlockingIOError:
            return True
        finally:
            self._near.settimeout(5)
        return False

    def lookup(self, name: str) -> int:
        error, body = self.ask(fuse._LOOKUP, 1, name.encode() + b"\0")
        return 0 if error else int(struct.unpack_from("<Q", body)[0])

    def read(self, offset: int, size: int) -> tuple[int, bytes]:
        return self.ask(fuse._READ, self.node, struct.pack("<QQIIQII", 0, offset, size, 0, 0, 0, 0))

    def write(self, offset: int, data: bytes) -> int:
        error, body = self.ask(fuse._WRITE, self.node, struct.pack("<QQIIQII", 0, offset, len(data), 0, 0, 0, 0) + data)
        assert error or struct.unpack("<II", body) == (len(data), 0)
        return error

    def flush(self) -> int:
        return self.ask(fuse._FSYNC, self.node, bytes(16))[0]


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    made = Kernel(tmp_path)
    yield made
    made.close()


def test_the_handshake_agrees_on_the_protocol_and_on_a_mebibyte_a_write(kernel: Kernel) -> None:
    error, body = kernel.ask(fuse._INIT, 0, struct.pack("<IIII", 7, 38, 131072, 0xFFFFFFFF))
    major, minor, readahead, flags, _, _, max_write, _, pages = struct.unpack_from("<IIIIHHIIH", body)
    assert (error, len(body)) == (0, 64)
    assert (major, minor, readahead, max_write, pages) == (7, 31, 131072, 1 << 20, 256)
    assert flags == fuse._WANTED_FLAGS


def test_a_kernel_that_is_too_old_is_named(kernel: Kernel) -> None:
    with pytest.raises(OSError, match=r"speaks 7\.23, 7\.31 or later is needed"):
        kernel.tell(fuse._INIT, 0, struct.pack("<IIII", 7, 23, 0, 0))


def test_a_port_is_found_by_its_name_and_shows_its_size(kernel: Kernel) -> None:
    error, body = kernel.ask(fuse._GETATTR, kernel.node, bytes(16))
    _, _, _, node, size, blocks = struct.unpack_from("<QIIQQQ", body)
    assert (error, node, size, blocks) == (0, kernel.node, SIZE, SIZE // 512)
    mode = struct.unpack_from("<I", body, 16 + 60)[0]
    assert stat.S_ISREG(mode)


def test_the_root_is_a_folder(kernel: Kernel) -> None:
    _, body = kernel.ask(fuse._GETATTR, 1, bytes(16))
    assert stat.S_ISDIR(struct.unpack_from("<I", body, 16 + 60)[0])


def test_an_unknown_name_or_node_is_not_there(kernel: Kernel) -> None:
    assert kernel.ask(fuse._LOOKUP, 1, b"nothing\0")[0] == errno.ENOENT
    assert kernel.ask(fuse._GETATTR, 99, bytes(16))[0] == errno.ENOENT


def test_files_are_opened_with_direct_io(kernel: Kernel) -> None:
    error, body = kernel.ask(fuse._OPEN, kernel.node, bytes(8))
    assert (error, struct.unpack("<QII", body)[1]) == (0, fuse._FOPEN_DIRECT_IO)


def test_what_is_written_is_read_and_counted(kernel: Kernel) -> None:
    assert kernel.write(512, b"x" * 700) == 0
    assert kernel.read(511, 702) == (0, b"\0" + b"x" * 700 + b"\0")
    assert kernel.flush() == 0
    counters = kernel.target
    assert (counters.writes, counters.written_bytes, counters.reads, counters.flushes) == (1, 700, 1, 1)
    assert counters.last_write_ns > 0
    assert kernel.target.lun.volatile_bytes == 0


def test_a_whole_mebibyte_passes_at_once(kernel: Kernel, tmp_path: Path) -> None:
    big = Port("holdfast-run-big-1", Target("big", Lun(2 << 20, None, str(tmp_path))))
    kernel.front.add(big)
    kernel.node = kernel.lookup(big.file)
    data = os.urandom(1 << 20)
    assert kernel.write(4096, data) == 0
    assert kernel.read(4096, 1 << 20) == (0, data)
    big.target.lun.close()


def test_a_write_beyond_the_end_is_refused_for_want_of_space_and_is_no_fault(kernel: Kernel) -> None:
    assert kernel.write(SIZE - 512, b"x" * 1024) == errno.ENOSPC
    assert not kernel.counted()
    assert kernel.read(SIZE - 512, 512) == (0, bytes(512))


def test_an_unknown_operation_is_answered_as_such(kernel: Kernel) -> None:
    assert kernel.ask(4711)[0] == errno.ENOSYS


@pytest.mark.parametrize("operation", [fuse._FORGET, fuse._BATCH_FORGET, fuse._INTERRUPT])
def test_messages_that_want_no_answer_get_none(operation: int, kernel: Kernel) -> None:
    kernel.tell(operation, kernel.node, bytes(16))
    assert kernel.is_silent()


@pytest.mark.parametrize("operation", [fuse._STATFS, fuse._RELEASE, fuse._SETATTR])
def test_the_rest_of_what_a_loop_device_says_is_answered(operation: int, kernel: Kernel) -> None:
    assert kernel.ask(operation, kernel.node, bytes(88))[0] == 0


def test_a_closed_port_fails_every_io_and_counts_it(kernel: Kernel) -> None:
    kernel.write(0, b"x" * 512)
    kernel.port.closed = True
    assert kernel.read(0, 512)[0] == errno.EIO
    assert kernel.counted() == {-1: {"failed_reads": 1}}, "it was closed for no fault"
    kernel.port.cause = 3
    assert kernel.read(0, 512)[0] == errno.EIO
    assert kernel.write(0, b"y" * 512) == errno.EIO
    assert kernel.flush() == errno.EIO
    assert kernel.counted()[3] == {"failed_reads": 1, "failed_writes": 1, "failed_flushes": 1}
    assert (kernel.port.failed, kernel.target.writes) == (4, 1)
    assert kernel.target.lun.volatile_bytes == BLOCK_BYTES, "the refused flush made nothing durable"


def test_an_old_port_stays_closed_when_the_lun_comes_back_through_a_new_one(kernel: Kernel) -> None:
    old, fresh = kernel.node, Port("holdfast-run-disk-2", kernel.target)
    kernel.front.remove(kernel.port)
    kernel.front.add(fresh)
    kernel.node = kernel.lookup(fresh.file)
    assert kernel.node != old
    assert kernel.write(0, b"x" * 512) == 0
    kernel.node = old
    assert kernel.read(0, 512)[0] == errno.EIO
    assert kernel.lookup("holdfast-run-disk-1") == 0


def test_a_rule_fails_what_it_names_only(kernel: Kernel) -> None:
    kernel.want(Fail(frozenset({"write"}), None, 4096, 8192))
    assert kernel.write(0, b"x" * 4096) == 0
    assert kernel.write(8192, b"x" * 512) == 0
    assert kernel.write(8191, b"x") == errno.EIO
    assert kernel.write(4000, b"x" * 97) == errno.EIO
    assert kernel.read(4096, 4096) == (0, bytes(4096))
    assert kernel.flush() == 0


def test_a_rule_with_a_number_of_times_runs_out(kernel: Kernel) -> None:
    kernel.want(Fail(ALL, times=2))
    assert [kernel.flush() for _ in range(3)] == [errno.EIO, errno.EIO, 0]


def holding(kernel: Kernel, *requests: int) -> None:
    """Hold everything, and send a write of `x` to each of these offsets."""
    kernel.want(Hold(ALL))
    for offset in requests:
        kernel.tell(fuse._WRITE, kernel.node, struct.pack("<QQIIQII", 0, offset, 512, 0, 0, 0, 0) + b"x" * 512)


def test_a_held_request_gets_no_answer_and_other_luns_go_on(kernel: Kernel, tmp_path: Path) -> None:
    holding(kernel, 0, 512)
    kernel.tell(fuse._FSYNC, kernel.node, bytes(16))
    assert kernel.is_silent()
    assert (kernel.counted(), kernel.target.writes) == ({0: {"held_ios": 3}}, 0)
    other = Port("holdfast-run-other-1", Target("other", Lun(SIZE, None, str(tmp_path))))
    kernel.front.add(other)
    kernel.node = kernel.lookup(other.file)
    assert (kernel.write(0, b"y" * 512), kernel.flush()) == (0, 0)
    other.target.lun.close()


def test_held_requests_are_done_in_their_order_once_the_rule_is_gone(kernel: Kernel) -> None:
    holding(kernel, 0)
    kernel.tell(fuse._FSYNC, kernel.node, bytes(16))
    kernel.tell(fuse._READ, kernel.node, struct.pack("<QQIIQII", 0, 0, 512, 0, 0, 0, 0))
    kernel.want()
    kernel.front.reconsider()
    answers = [kernel.answer() for _ in range(3)]
    assert [error for error, _ in answers] == [0, 0, 0]
    assert answers[2][1] == b"x" * 512, "the read came after the write"
    assert kernel.target.lun.volatile_bytes == 0, "the flush came after the write"
    assert kernel.read(0, 512) == (0, b"x" * 512)


def test_a_second_look_that_finds_the_rule_still_there_holds_on_and_counts_nothing_twice(kernel: Kernel) -> None:
    holding(kernel, 0)
    kernel.front.reconsider()
    assert kernel.is_silent()
    assert kernel.target.counts[0]["held_ios"] == 1


def test_what_a_rule_fails_or_holds_is_counted_for_its_own_cause(kernel: Kernel) -> None:
    writes: frozenset[Operation] = frozenset({"write"})
    reads: frozenset[Operation] = frozenset({"read"})
    kernel.want(Fail(writes, cause=1), Fail(ALL, cause=2), Fail(reads, cause=3))
    assert kernel.write(0, b"x" * 512) == errno.EIO
    assert kernel.read(0, 512)[0] == errno.EIO
    assert kernel.counted() == {1: {"failed_writes": 1}, 2: {"failed_reads": 1}}
    kernel.want(Hold(ALL, cause=4))
    kernel.tell(fuse._FSYNC, kernel.node, bytes(16))
    assert kernel.target.counts[4] == {"held_ios": 1}


def test_what_is_held_back_for_one_cause_and_then_for_another_is_counted_for_both(kernel: Kernel) -> None:
    kernel.want(Hold(ALL, cause=1), Hold(ALL, cause=2))
    kernel.tell(fuse._FSYNC, kernel.node, bytes(16))
    kernel.want(Hold(ALL, cause=2))
    for _ in range(2):
        kernel.front.reconsider()
    assert kernel.counted() == {1: {"held_ios": 1}, 2: {"held_ios": 1}}
    kernel.tell(fuse._FSYNC, kernel.node, bytes(16))
    assert kernel.target.counts[2] == {"held_ios": 2}


def test_what_a_closed_port_refuses_is_counted_for_whom_it_was_closed_and_is_none_of_a_rule_s_times(
    kernel: Kernel,
) -> None:
    kernel.want(Fail(ALL, times=1, cause=1))
    kernel.port.closed, kernel.port.cause = True, 2
    assert kernel.flush() == errno.EIO
    assert kernel.counted() == {2: {"failed_flushes": 1}}
    kernel.port.closed = False
    assert [kernel.flush() for _ in range(2)] == [errno.EIO, 0]


@pytest.mark.parametrize("how", ["closed", "removed"])
def test_held_requests_fail_when_their_port_goes(kernel: Kernel, how: str) -> None:
    holding(kernel, 0)
    if how == "closed":
        kernel.port.closed = True
        kernel.front.reconsider()
    else:
        kernel.front.remove(kernel.port)
        kernel.front.tick()
    assert kernel.answer()[0] == errno.EIO
    assert kernel.target.lun.read(0, 512) == bytes(512)


def test_a_rule_that_fails_goes_before_a_later_one_that_holds(kernel: Kernel) -> None:
    kernel.want(Fail(frozenset({"read"})), Hold(ALL))
    assert kernel.read(0, 512)[0] == errno.EIO
    kernel.tell(fuse._FSYNC, kernel.node, bytes(16))
    assert kernel.is_silent()


def test_a_kernel_that_unmounted_the_file_system_ends_the_service(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> int:
        raise OSError(errno.ENODEV, "gone")

    monkeypatch.setattr(os, "readv", gone)
    with pytest.raises(ConnectionAbortedError):
        kernel.front.serve(1)


def test_an_answer_to_an_interrupted_request_is_dropped(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> int:
        raise OSError(errno.ENOENT, "interrupted")

    monkeypatch.setattr(os, "writev", interrupted)
    kernel.tell(fuse._STATFS)
    assert kernel.is_silent()

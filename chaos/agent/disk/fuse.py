"""The FUSE front: one folder with one file per port, spoken straight to /dev/fuse.

Why not a binding: a request that must hang or fail is here just a reply that is held back or negative, without a
thread for each; and storage and RPC share one thread, so a fault is in force for the very next request.
The messages are those of <linux/fuse.h>, protocol 7.31, of which a loop device needs very little.

Files are opened with direct I/O: the page cache between database and disk is that of the file system above.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from chaos.agent.disk.effects import Fate, Io
from chaos.agent.disk.state import Port

_LOOKUP, _FORGET, _GETATTR, _SETATTR = 1, 2, 3, 4
_OPEN, _READ, _WRITE, _STATFS, _RELEASE, _FSYNC, _INIT = 14, 15, 16, 17, 18, 20, 26
_INTERRUPT, _DESTROY, _BATCH_FORGET = 36, 38, 42
_SILENT = frozenset({_FORGET, _BATCH_FORGET, _INTERRUPT})

_IN = struct.Struct("<IIQQIIIHH")
_OUT = struct.Struct("<IiQ")
_IO = struct.Struct("<QQIIQII")
_INIT_OUT = struct.Struct("<IIIIHHIIHHI28x")
_ATTR = struct.Struct("<QQQQQQIIIIIIIIII")
_ENTRY = struct.Struct("<QQQQII")
_ATTR_HEAD = struct.Struct("<QII")
_OPEN_OUT = struct.Struct("<QII")
_WRITE_OUT = struct.Struct("<II")
_STATFS_OUT = struct.Struct("<QQQQQIIII24x")

_FOPEN_DIRECT_IO = 1
_WANTED_FLAGS = (1 << 0) | (1 << 5) | (1 << 15) | (1 << 22)  # async read, big writes, async direct I/O, max pages
_MAX_WRITE_BYTES = 1 << 20
_BACKGROUND_MAX, _BACKGROUND_CONGESTED = 16_384, 12_288
"""Requests under way on the one connection, over all LUNs. A LUN that hangs keeps all that its loop device may have
under way (128 requests, and more when large ones are split), and must leave room for those of the others."""
_ROOT = 1
_FIRST_PORT = 2
_FOREVER_SECONDS = 1 << 30


def mount(folder: str) -> int:
    """Mount a FUSE file system on `folder`; return the open /dev/fuse that serves it."""
    device = os.open("/dev/fuse", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other,max_read={_MAX_WRITE_BYTES}"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"holdfast", folder.encode(), b"fuse.holdfast", 2 | 4, options.encode()):
        code = ctypes.get_errno()
        os.close(device)
        raise OSError(code, f"mounting FUSE: {os.strerror(code)}")
    return device


@dataclass(frozen=True)
class _Held:
    """An I/O that is held back, as it came."""

    unique: int
    node: int
    io: Io
    due_ns: int | None


class Front:
    """Serves ports over one /dev/fuse. Node ids are never reused, so an old port stays what it was."""

    def __init__(self, device: int) -> None:
        """Serve `device`, non-blocking; call `serve` when it is readable."""
        self._device = device
        self._ports: dict[int, Port] = {}
        self._names: dict[str, int] = {}
        self._next = _FIRST_PORT
        self._buffer = bytearray(_MAX_WRITE_BYTES + 4096)
        self._view = memoryview(self._buffer)
        self._held: list[_Held] = []
        self._removed = False
        self._handlers: dict[int, Callable[[int, int, memoryview], None]] = {
            _LOOKUP: self._lookup,
            _GETATTR: self._getattr,
            _SETATTR: self._getattr,
            _OPEN: self._open,
            _READ: self._read,
            _WRITE: self._write,
            _FSYNC: self._fsync,
            _RELEASE: self._done,
            _STATFS: self._statfs,
            _INIT: self._init,
        }

    def add(self, port: Port) -> None:
        """Show `port` as a file."""
        self._ports[self._next] = port
        self._names[port.file] = self._next
        self._next += 1

    def remove(self, port: Port) -> None:
        """Hide the file; requests through handles that are still open fail."""
        port.closed = True
        self._ports.pop(self._names.pop(port.file), None)
        self._removed = True

    @property
    def seconds_until_due(self) -> float:
        """Until an I/O that is held back wants to be looked at again."""
        due = min((held.due_ns for held in self._held if held.due_ns is not None), default=None)
        return float("inf") if due is None else max(0.0, (due - time.monotonic_ns()) / 1e9)

    def reconsider(self) -> None:
        """Decide again on every I/O that is held back, in the order in which they came.

        For the thread that serves; called when effects have changed, ports have closed, or one is due.
        """
        self._removed = False
        held, self._held = self._held, []
        for each in held:
            self._take(each.unique, each.node, each.io)

    def tick(self) -> None:
        """Fail what was held back on ports that another thread has removed meanwhile."""
        if self._removed:
            self.reconsider()

    def serve(self, most: int) -> None:
        """Answer up to `most` waiting requests.

        Raises:
            ConnectionAbortedError: The file system was unmounted.
        """
        for _ in range(most):
            try:
                size = os.readv(self._device, (self._buffer,))
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.ENODEV:
                    raise ConnectionAbortedError("the FUSE file system was unmounted") from error
                if error.errno in (errno.ENOENT, errno.EINTR):
                    continue
                raise
            _, operation, unique, node, *_ = _IN.unpack_from(self._buffer)
            handler = self._handlers.get(operation)
            if handler is not None:
                handler(unique, node, self._view[_IN.size : size])
            elif operation not in _SILENT:
                self._reply(unique, -errno.ENOSYS)

    def _reply(self, unique: int, error: int, body: bytes = b"") -> None:
        try:
            os.writev(self._device, (_OUT.pack(_OUT.size + len(body), error, unique), body))
        except OSError as problem:
            if problem.errno != errno.ENOENT:  # the request was interrupted meanwhile
                raise

    def _init(self, unique: int, _node: int, body: memoryview) -> None:
        major, minor, readahead, flags = struct.unpack_from("<IIII", body)
        if major != 7 or minor < 31:
            raise OSError(f"this kernel's FUSE speaks {major}.{minor}, 7.31 or later is needed")
        pages = _MAX_WRITE_BYTES // 4096
        background = (_BACKGROUND_MAX, _BACKGROUND_CONGESTED)
        answer = (7, 31, readahead, flags & _WANTED_FLAGS, *background, _MAX_WRITE_BYTES, 1, pages, 0, 0)
        self._reply(unique, 0, _INIT_OUT.pack(*answer))

    def _attributes(self, node: int) -> bytes | None:
        if node == _ROOT:
            mode, size = stat.S_IFDIR | 0o700, 0
        elif node in self._ports:
            mode, size = stat.S_IFREG | 0o600, self._ports[node].target.lun.size_bytes
        else:
            return None
        return _ATTR.pack(node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def _lookup(self, unique: int, _node: int, body: memoryview) -> None:
        node = self._names.get(bytes(body).rstrip(b"\0").decode(errors="replace"), 0)
        attributes = self._attributes(node)
        if attributes is None:
            self._reply(unique, -errno.ENOENT)
        else:
            self._reply(unique, 0, _ENTRY.pack(node, 0, _FOREVER_SECONDS, 0, 0, 0) + attributes)

    def _getattr(self, unique: int, node: int, _body: memoryview) -> None:
        attributes = self._attributes(node)
        if attributes is None:
            self._reply(unique, -errno.ENOENT)
        else:
            self._reply(unique, 0, _ATTR_HEAD.pack(_FOREVER_SECONDS, 0, 0) + attributes)

    def _open(self, unique: int, node: int, _body: memoryview) -> None:
        self._reply(unique, 0, _OPEN_OUT.pack(node, _FOPEN_DIRECT_IO, 0))

    def _done(self, unique: int, _node: int, _body: memoryview) -> None:
        self._reply(unique, 0)

    def _statfs(self, unique: int, _node: int, _body: memoryview) -> None:
        self._reply(unique, 0, _STATFS_OUT.pack(0, 0, 0, 0, 0, 4096, 255, 4096, 0))

    def _read(self, unique: int, node: int, body: memoryview) -> None:
        _, offset, size, *_ = _IO.unpack_from(body)
        self._comes(unique, node, Io("read", offset, size))

    def _write(self, unique: int, node: int, body: memoryview) -> None:
        _, offset, size, *_ = _IO.unpack_from(body)
        self._comes(unique, node, Io("write", offset, size, body[_IO.size : _IO.size + size]))

    def _fsync(self, unique: int, node: int, body: memoryview) -> None:
        self._comes(unique, node, Io("flush"))

    def _comes(self, unique: int, node: int, io: Io) -> None:
        """A new I/O: what is armed for it strikes before it is looked at, or when it has gone its way."""
        port = self._ports.get(node)
        if port is not None and not port.closed:
            for comes in tuple(port.target.armed):
                comes(io)
        self._take(unique, node, io)

    def _take(self, unique: int, node: int, io: Io) -> None:
        """Do an I/O, as the effects of its LUN change it."""
        port = self._ports.get(node)
        if port is None:
            self._reply(unique, -errno.EIO)
        elif port.closed:  # before any effect: what never got there is none of an effect's doing, nor one of its times
            self._ends(unique, port, io, -port.refuse(io.operation))
        elif not port.target.chain:
            self._do(unique, port, io)
        else:
            self._meet(unique, node, port, io)

    def _meet(self, unique: int, node: int, port: Port, io: Io) -> None:
        """Lead an I/O along the chain of effects."""
        came, fate = replace(io), Fate.PASSES
        for effect in port.target.chain:
            fate = effect.meets(io)
            if fate is not Fate.PASSES:
                break
        if fate is Fate.FAILS:
            port.fails(io.operation)
            self._ends(unique, port, io, -io.error)
        elif fate is Fate.WAITS:
            # the kernel's buffer is used again for the next request
            again = replace(came, data=bytes(came.data), counted=io.counted)
            self._held.append(_Held(unique, node, again, io.due_ns))
        else:
            self._do(unique, port, io, skipped=fate is Fate.IS_SKIPPED)

    def _do(self, unique: int, port: Port, io: Io, *, skipped: bool = False) -> None:
        """Do an I/O, or answer as if it had been done."""
        target = port.target
        if io.operation == "read":
            target.reads += 1
            data = bytes(io.size) if skipped else target.lun.read(io.offset, io.size)
            for effect in reversed(target.chain):
                data = effect.returns(io, data)
            self._ends(unique, port, io, 0, data)
        elif io.operation == "flush":
            if not skipped:
                target.lun.flush()
            target.flushes += 1
            self._ends(unique, port, io, 0)
        elif io.offset + io.size > target.lun.size_bytes:
            self._ends(unique, port, io, -errno.ENOSPC)
        else:
            if not skipped:
                target.lun.write(io.offset, io.data)
            target.wrote(io.size)
            self._ends(unique, port, io, 0, _WRITE_OUT.pack(io.size, 0))

    def _ends(self, unique: int, port: Port, io: Io, error: int, body: bytes = b"") -> None:
        """An I/O has gone its way: what is armed for that strikes, and then its answer goes out.

        Where this closes the port, the answer is lost with it, as whatever comes later.
        """
        if io.then:
            was_open = not port.closed
            for strike in io.then:
                strike()
            if was_open and port.closed:
                error, body = -port.refuse(io.operation), b""
        self._reply(unique, error, body)

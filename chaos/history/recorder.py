"""Writes a history, line by line, so that whatever kills the process the file holds every line before.

Each event is one `write(2)` of one whole line on a descriptor opened with O_APPEND and no buffer in between:
after kill -9 the kernel still owns every byte. (It is not synced to the disk: a history is no better than the
host that it judges from, and a host that lost power lost the trial too.)

The recorder also counts what the triggers wait for, because it is the one place that sees every event in order.
"""

from __future__ import annotations

import asyncio
import dataclasses
import heapq
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from chaos.errors import HarnessError
from chaos.history.events import CANARY_OWNER, MUTATIONS, TAGS, Act, Back, End, Event, Row


class Recorder:
    """Appends events to one history file; used from the thread of the event loop alone.

    Attributes:
        path: The file.
        acknowledged: Creates, updates and deletes whose first `ok` came back; canaries are not counted.
        last_acknowledged_at: CLOCK_MONOTONIC nanoseconds of the latest of them, 0 before the first.
    """

    def __init__(self, path: Path) -> None:
        """Create the file.

        Raises:
            HarnessError: It exists already, or cannot be created.
        """
        self.path = path
        self.acknowledged = 0
        self.last_acknowledged_at = 0
        self._events = 0
        self._unacknowledged: set[int] = set()
        self._waiting: list[tuple[int, int, asyncio.Future[int]]] = []
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise HarnessError(
                f"cannot create the history {path}: {error.strerror}; give a run folder that is new and writable"
            ) from error

    def append(self, event: Event) -> None:
        """Write one event and count it; futures of reached counts are resolved before this returns.

        Raises:
            HarnessError: The line could not be written whole (a full disk, most often).
        """
        self._write(encode(event))
        self._events += 1
        if isinstance(event, Back):
            self._count(event)
        elif isinstance(event, Act) and event.kind in MUTATIONS and event.owner != CANARY_OWNER:
            self._unacknowledged.add(event.op)

    def when_acknowledged(self, count: int) -> asyncio.Future[int]:
        """A future of the moment (CLOCK_MONOTONIC ns) at which `acknowledged` reaches `count`."""
        future = asyncio.get_running_loop().create_future()
        if self.acknowledged >= count:
            future.set_result(self.last_acknowledged_at)
        else:
            # The middle member keeps heapq from comparing futures.
            heapq.heappush(self._waiting, (count, id(future), future))
        return future

    def close(self) -> None:
        """Write `End` and close the file; a history without it counts as cut short. Idempotent."""
        if self._descriptor < 0:
            return
        try:
            self._write(encode(End(t=time.monotonic_ns(), events=self._events)))
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close the file without `End`: the trial broke, and nobody shall judge it. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _count(self, back: Back) -> None:
        if back.outcome != "ok" or back.op not in self._unacknowledged:
            return
        self._unacknowledged.remove(back.op)
        self.acknowledged += 1
        self.last_acknowledged_at = back.t
        while self._waiting and self._waiting[0][0] <= self.acknowledged:
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                future.set_result(back.t)

    def _write(self, line: bytes) -> None:
        if self._descriptor < 0:
            raise HarnessError(
                f"the history {self.path} is closed; events after close() are lost, so nothing is judged"
            )
        try:
            written = os.write(self._descriptor, line)
        except OSError as error:
            raise HarnessError(
                f"cannot write the history {self.path}: {error.strerror}; make room on its disk"
            ) from error
        if written != len(line):
            raise HarnessError(
                f"cannot write the history {self.path}: {written} of {len(line)} bytes; make room on its disk"
            )


def encode(event: Event) -> bytes:
    """The line of one event, with its end; fields that equal their default are left out."""
    members = {"event": _TAG_OF[type(event)], **_members(event)}
    try:
        return orjson.dumps(members, option=orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError:
        # A service may return text that is no Unicode at all (lone surrogates); what it said is evidence.
        return orjson.dumps(_printable(members), option=orjson.OPT_APPEND_NEWLINE)


def _members(event: object) -> dict[str, Any]:
    """The fields that differ from their default."""
    members: dict[str, Any] = {}
    for name, default in _FIELDS_OF[type(event)]:
        value = getattr(event, name)
        if value == default and type(value) is type(default):
            continue
        if value and name == "rows":
            value = [_members(row) for row in value]
        elif isinstance(value, Mapping):
            value = dict(value)
        members[name] = value
    return members


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_printable(str(key)): _printable(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(member) for member in value]
    return value


def _default(field: dataclasses.Field[Any]) -> object:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return dataclasses.MISSING


_TAG_OF: Mapping[type, str] = {cls: tag for tag, cls in TAGS.items()}
_FIELDS_OF: Mapping[type, tuple[tuple[str, object], ...]] = {
    cls: tuple((field.name, _default(field)) for field in dataclasses.fields(cls)) for cls in (*TAGS.values(), Row)
}

"""What BuildKit says while it builds, read from the messages that the engine passes on.

Each is a `StatusResponse` of BuildKit's control API in the wire format of protocol buffers, in base64. Of it only the
steps' names, their logs and their errors are read.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator

TRACE = "moby.buildkit.trace"
"""The id of the lines that carry such a message."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_STEPS, _LOGS = 1, 3
_STEP_DIGEST, _STEP_NAME, _STEP_CACHED, _STEP_STARTED, _STEP_ERROR = 1, 3, 4, 5, 7
_LOG_STEP, _LOG_TEXT = 1, 4


class Trace:
    """Turns the messages of one build into lines."""

    def __init__(self) -> None:
        """Start with a build that has said nothing."""
        self._told: set[bytes] = set()
        self._rest: dict[bytes, bytes] = {}

    def lines(self, message: object) -> list[str]:
        """The lines of one message; none of what is no such message."""
        try:
            return list(self._lines(base64.b64decode(str(message), validate=True)))
        except (binascii.Error, ValueError, IndexError):
            return []

    def _lines(self, message: bytes) -> Iterator[str]:
        for number, value in _fields(message):
            if number == _STEPS:
                yield from self._step(dict(_fields(value)))
            elif number == _LOGS:
                yield from self._log(dict(_fields(value)))

    def _step(self, step: dict[int, bytes]) -> Iterator[str]:
        digest, name = step.get(_STEP_DIGEST, b""), _text(step.get(_STEP_NAME, b""))
        if (_STEP_STARTED in step or _STEP_CACHED in step) and digest not in self._told:
            self._told.add(digest)
            yield f"{name} (cached)" if _STEP_CACHED in step else name
        if error := step.get(_STEP_ERROR):
            yield from (line for line in _text(self._rest.pop(digest, b"")).splitlines() if line)
            yield f"{name}: {_text(error)}"

    def _log(self, log: dict[int, bytes]) -> Iterator[str]:
        step = log.get(_LOG_STEP, b"")
        *whole, rest = (self._rest.get(step, b"") + log.get(_LOG_TEXT, b"")).split(b"\n")
        self._rest[step] = rest
        yield from map(_text, whole)


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of a message in order: (number, value); that of a number or truth value is not decoded."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            begin = at
            _, at = _varint(message, at)
        elif kind == _BYTES:
            size, begin = _varint(message, at)
            at = begin + size
        elif kind in (_FIXED32, _FIXED64):
            begin, at = at, at + (4 if kind == _FIXED32 else 8)
        else:
            raise ValueError(f"no field is of kind {kind}")
        if at > len(message):
            raise ValueError("the message is cut short")
        yield key >> 3, message[begin:at]


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _text(words: bytes) -> str:
    return words.decode(errors="replace").rstrip("\r")

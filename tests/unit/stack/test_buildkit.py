"""What BuildKit says while it builds: steps, their logs and errors, out of its messages."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.stack.engine.buildkit import Trace


def varint(value: int) -> bytes:
    made = b""
    while value > 0x7F:
        made += bytes([value & 0x7F | 0x80])
        value >>= 7
    return made + bytes([value])


def field(number: int, value: bytes | str | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    words = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(words)) + words


def step(digest: str, name: str, *more: bytes) -> bytes:
    return field(1, field(1, digest) + field(2, "sha256:input") + field(3, name) + b"".join(more))


def log(digest: str, text: str) -> bytes:
    return field(3, field(1, digest) + field(2, field(1, 1764366000)) + field(3, 1) + field(4, text))


def lines(trace: Trace, *parts: bytes) -> list[str]:
    return list(trace.lines(base64.b64encode(b"".join(parts)).decode()))


STARTED = field(5, field(1, 1764366000))


def test_a_step_is_told_once_when_it_begins() -> None:
    trace = Trace()
    assert lines(trace, step("a", "[1/2] FROM x")) == []
    assert lines(trace, step("a", "[1/2] FROM x", STARTED), step("b", "[2/2] RUN y", field(4, 1))) == [
        "[1/2] FROM x",
        "[2/2] RUN y (cached)",
    ]
    assert lines(trace, step("a", "[1/2] FROM x", STARTED, field(6, b""))) == []


def test_a_line_of_a_log_is_told_when_it_is_whole() -> None:
    trace = Trace()
    assert lines(trace, log("a", "one\r\ntw"), log("b", "other\n")) == ["one", "other"]
    assert lines(trace, log("a", "o\n\n")) == ["two", ""]


def test_what_a_failed_step_said_last_comes_before_its_error() -> None:
    trace = Trace()
    lines(trace, step("a", "RUN y", STARTED), log("a", "why"))
    assert lines(trace, step("a", "RUN y", STARTED, field(7, "exit code: 3"))) == ["why", "RUN y: exit code: 3"]


@pytest.mark.parametrize("message", [None, 7, "", "%%", base64.b64encode(field(1, "cut")[:-1]).decode(), "Bw=="])
def test_what_is_no_message_says_nothing(message: object) -> None:
    assert list(Trace().lines(message)) == []


@given(st.binary(max_size=60))
def test_no_message_is_a_crash(words: bytes) -> None:
    list(Trace().lines(base64.b64encode(words).decode()))

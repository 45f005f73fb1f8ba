"""HTTP requests to services from inside their own network namespaces, where no published port or link is needed."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from chaos.agent.network import namespaces

_ANSWER_BYTES_MAX = 1 << 21


@dataclass(frozen=True)
class Question:
    """GET `path` on 127.0.0.1: does the process's service answer 200, with `says` in its text?"""

    pid: int
    port: int
    path: str
    says: str = ""


@dataclass
class _Asked:
    question: Question
    link: socket.socket
    said: bytearray = field(default_factory=bytearray)
    has_asked: bool = False


def ask(questions: Sequence[Question], seconds_max: float) -> list[bool]:
    """Ask all of them at once; who gives no answer in time, has ended, or hangs up says no."""
    agreed = [False] * len(questions)
    until = time.monotonic() + seconds_max
    with selectors.DefaultSelector() as waiting, contextlib.ExitStack() as links:
        for index, question in enumerate(questions):
            with contextlib.suppress(OSError):
                link = links.enter_context(_begun(question))
                waiting.register(link, selectors.EVENT_WRITE, (index, _Asked(question, link)))
        while waiting.get_map() and time.monotonic() < until:
            for key, _ in waiting.select(max(0.0, until - time.monotonic())):
                index, asked = key.data
                answer = _next(asked)
                if answer is None:
                    waiting.modify(asked.link, selectors.EVENT_READ, key.data)
                else:
                    waiting.unregister(asked.link)
                    agreed[index] = answer
    return agreed


def _begun(question: Question) -> socket.socket:
    namespace = namespaces.of_process(question.pid)
    try:
        with namespaces.inside(namespace):
            link = socket.socket()
    finally:
        os.close(namespace)
    link.setblocking(False)
    link.connect_ex(("127.0.0.1", question.port))
    return link


def _next(asked: _Asked) -> bool | None:
    """Go on with a question whose connection is ready; None: there is more to come."""
    try:
        if not asked.has_asked:
            asked.link.send(f"GET {asked.question.path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())
            asked.has_asked = True
            return None
        chunk = asked.link.recv(1 << 16)
    except OSError:
        return False
    asked.said += chunk
    if chunk and len(asked.said) < _ANSWER_BYTES_MAX and not _is_enough(asked):
        return None
    return _agrees(asked)


def _is_enough(asked: _Asked) -> bool:
    """Whether the answer is decided before its end: a service may keep the connection open."""
    head, end, _ = bytes(asked.said).partition(b"\r\n\r\n")
    return bool(end) and (not asked.question.says or not _is_200(head) or _agrees(asked))


def _agrees(asked: _Asked) -> bool:
    head, _, text = bytes(asked.said).partition(b"\r\n\r\n")
    return _is_200(head) and asked.question.says.encode() in text


def _is_200(head: bytes) -> bool:
    return head.split(b" ", 2)[1:2] == [b"200"]

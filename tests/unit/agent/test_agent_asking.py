"""Questions over HTTP: who agrees, and that nobody who is silent holds up the others."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from chaos.agent.asking import Question, ask
from chaos.agent.network import namespaces

Serve = Callable[..., int]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Makes a service that gives this answer, in pieces, and returns its port; `ends`: it hangs up afterwards."""
    monkeypatch.setattr(namespaces, "inside", lambda namespace: contextlib.nullcontext())
    doors: list[socket.socket] = []
    phones: list[socket.socket] = []

    def make(*pieces: bytes, ends: bool = True) -> int:
        door = socket.create_server(("127.0.0.1", 0))
        doors.append(door)

        def answer() -> None:
            with contextlib.suppress(OSError):
                phone, _ = door.accept()
                phones.append(phone)
                asked.append(phone.recv(4096))
                for piece in pieces:
                    phone.sendall(piece)
                if ends:
                    phone.shutdown(socket.SHUT_RDWR)

        threading.Thread(target=answer, daemon=True).start()
        return int(door.getsockname()[1])

    asked: list[bytes] = []
    make.asked = asked  # type: ignore[attr-defined]
    yield make
    for each in (*doors, *phones):
        each.close()


OK = b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n"


def agrees(port: int, says: str = "", seconds_max: float = 5.0) -> bool:
    return ask([Question(os.getpid(), port, "/primary", says)], seconds_max)[0]


def test_200_is_yes_and_anything_else_is_no(serve: Serve) -> None:
    assert agrees(serve(OK))
    assert not agrees(serve(b"HTTP/1.1 503 Service Unavailable\r\n\r\n"))
    assert not agrees(serve(b"200"))
    assert not agrees(serve(b""))


def test_the_path_is_asked_for(serve: Serve) -> None:
    assert agrees(serve(OK))
    assert serve.asked[0].startswith(b"GET /primary HTTP/1.0\r\n")  # type: ignore[attr-defined]


def test_a_text_that_must_be_said_is_looked_for_in_the_body_alone_however_it_is_cut_up(serve: Serve) -> None:
    assert agrees(serve(OK, b"a 0\nis_lea", b"der 1\nb 2\n"), "is_leader 1")
    assert not agrees(serve(OK, b"is_leader 0\n"), "is_leader 1")
    assert not agrees(serve(b"HTTP/1.1 200 OK\r\nX: is_leader 1\r\n\r\n"), "is_leader 1")
    assert not agrees(serve(b"HTTP/1.1 404 Not Found\r\n\r\nis_leader 1"), "is_leader 1")


def test_a_connection_that_is_kept_open_is_not_waited_for(serve: Serve) -> None:
    assert agrees(serve(OK, b"is_leader 1", ends=False), "is_leader 1", seconds_max=60)
    assert agrees(serve(OK, ends=False), seconds_max=60)


def test_who_is_silent_gone_or_not_there_says_no_and_the_others_are_heard(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = int(closed.getsockname()[1])
    silent, willing = serve(ends=False), serve(OK)
    me = os.getpid()
    questions = [
        Question(me, silent, "/"),
        Question(me, nobody, "/"),
        Question(2**22 + 1, willing, "/"),
        Question(me, willing, "/"),
    ]
    assert ask(questions, 0.3) == [False, False, False, True]


def test_no_question_needs_no_answer() -> None:
    assert ask([], 1.0) == []

"""The wrapper around toxiproxy-python, against small HTTP servers that answer as Toxiproxy does, or do not."""

from __future__ import annotations

import json
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from toxiproxy.api import APIConsumer

from chaos.errors import CarrierError
from chaos.stack.carrier import toxiproxy
from chaos.stack.carrier.toxic import Toxic
from chaos.stack.carrier.toxiproxy import ProxyState, Toxiproxy

LATE = Toxic("latency", "downstream", {"latency": 200, "jitter": 0})


class FakeToxiproxy(ThreadingHTTPServer):
    """Keeps proxies in memory; `fails` answers everything with that status, `hangs_up` ends every connection."""

    daemon_threads = True

    def __init__(self) -> None:
        self.proxies: dict[str, dict[str, Any]] = {}
        self.fails = 0
        self.hangs_up = False
        self.clients: list[tuple[str, int]] = []
        self.silent = threading.Event()
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        self.asked.append(f"{method} {path}")
        if self.fails:
            return self.fails, {"error": "it is ill", "status": self.fails}
        match method, path.strip("/").split("/"):
            case "GET", ["version"]:
                return 200, {"version": "2.12.0"}
            case "POST", ["populate"]:
                for proxy in body:
                    self.proxies.setdefault(proxy["name"], {**proxy, "toxics": []})
                return 201, {"proxies": list(self.proxies.values())}
            case _, ["proxies", name, *_] if name not in self.proxies:
                return 404, {"error": "proxy not found", "status": 404}
            case "GET", ["proxies", name]:
                return 200, self.proxies[name]
            case "POST", ["proxies", name]:
                self.proxies[name] |= body
                return 200, self.proxies[name]
            case "POST", ["proxies", name, "toxics"]:
                return self.add(self.proxies[name]["toxics"], body)
            case "DELETE", ["proxies", name, "toxics", toxic]:
                there = self.proxies[name]["toxics"]
                self.proxies[name]["toxics"] = [each for each in there if each["name"] != toxic]
                return (204, None) if there != self.proxies[name]["toxics"] else (404, {"error": "toxic not found"})
        return 404, {"error": "no such page"}

    @staticmethod
    def add(toxics: list[dict[str, Any]], body: dict[str, Any]) -> tuple[int, Any]:
        if body["type"] == "nonsense":
            return 400, {"error": "invalid toxic type", "status": 400}
        if body["name"] in [each["name"] for each in toxics]:
            return 409, {"error": "toxic already exists", "status": 409}
        toxics.append(body)
        return 200, body


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeToxiproxy

    def handle_one(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.silent.is_set():
            self.close_connection = True
            self.connection.recv(1)  # until the client gives up
            return
        self.server.clients.append(self.client_address)
        self.close_connection = self.server.hangs_up
        status, document = self.server.answer(self.command, self.path, json.loads(body) if body else None)
        answer = b"" if document is None else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


for _method in ("GET", "POST", "DELETE"):
    setattr(_Handler, f"do_{_method}", _Handler.handle_one)


@contextmanager
def fake() -> Iterator[FakeToxiproxy]:
    with FakeToxiproxy() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def server() -> Iterator[FakeToxiproxy]:
    with fake() as made:
        yield made


@pytest.fixture
def api(server: FakeToxiproxy) -> Iterator[Toxiproxy]:
    made = Toxiproxy(server.port, call_seconds_max=5)
    made.populate("door", "0.0.0.0:8666", "198.18.0.10:8080")
    yield made
    made.close()


def test_what_was_told_is_read_back(api: Toxiproxy) -> None:
    assert api.version() == "2.12.0"
    assert api.state("door") == ProxyState(True, {})
    api.add("door", "late", LATE)
    api.enable("door", False)
    assert api.state("door") == ProxyState(False, {"late": LATE})
    api.remove("door", "late")
    api.enable("door", True)
    assert api.state("door") == ProxyState(True, {})


def test_populating_again_changes_nothing(api: Toxiproxy) -> None:
    api.add("door", "late", LATE)
    api.populate("door", "0.0.0.0:8666", "198.18.0.10:8080")
    assert api.state("door").toxics == {"late": LATE}


def test_two_at_once_speak_to_a_server_each(api: Toxiproxy, server: FakeToxiproxy) -> None:
    with fake() as other_server:
        other = Toxiproxy(other_server.port, call_seconds_max=5)
        other.populate("door", "0.0.0.0:8666", "198.18.1.10:8080")
        api.add("door", "late", LATE)
        assert other.state("door").toxics == {}
        assert api.state("door").toxics == {"late": LATE}
        assert server.proxies["door"]["upstream"] != other_server.proxies["door"]["upstream"]
        other.close()


def test_the_clients_own_address_for_all_is_left_alone(api: Toxiproxy, server: FakeToxiproxy) -> None:
    api.state("door")
    assert (APIConsumer.host, APIConsumer.port) == ("127.0.0.1", 8474)
    assert server.port != 8474


def test_an_answer_of_500_is_an_error_whatever_the_client_thinks_of_it(api: Toxiproxy, server: FakeToxiproxy) -> None:
    server.fails = 500
    for call in (api.version, lambda: api.enable("door", False), lambda: api.remove("door", "late")):
        with pytest.raises(CarrierError, match=r"500 .*it is ill"):
            call()


def test_a_second_toxic_of_a_name_is_an_error(api: Toxiproxy) -> None:
    api.add("door", "late", LATE)
    with pytest.raises(CarrierError, match="toxic late: there is one of this name already"):
        api.add("door", "late", LATE)


def test_a_toxic_that_the_server_does_not_know_is_an_error(api: Toxiproxy) -> None:
    with pytest.raises(CarrierError, match="invalid toxic type"):
        api.add("door", "x", Toxic("nonsense", "upstream"))


def test_a_toxic_that_is_gone_already_is_removed(api: Toxiproxy, server: FakeToxiproxy) -> None:
    api.remove("door", "late")
    assert server.asked[-1] == "DELETE /proxies/door/toxics/late"


def test_a_proxy_that_is_not_there_is_an_error(api: Toxiproxy) -> None:
    with pytest.raises(CarrierError, match="proxy back-door: there is none of this name"):
        api.state("back-door")


def test_a_server_that_says_nothing_is_given_up_in_time(server: FakeToxiproxy) -> None:
    server.silent.set()
    api = Toxiproxy(server.port, call_seconds_max=0.05)
    with pytest.raises(CarrierError, match="no answer in time"):
        api.version()
    api.close()


def test_a_server_that_is_gone_is_an_error_that_names_its_place() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    api = Toxiproxy(port, call_seconds_max=1)
    with pytest.raises(CarrierError, match=f"Toxiproxy at 127.0.0.1:{port}, its version: nobody answers there"):
        api.version()
    api.close()


def test_a_proxy_of_the_environment_is_not_asked(server: FakeToxiproxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    api = Toxiproxy(server.port, call_seconds_max=5)
    assert api.version() == "2.12.0"
    api.close()


def test_calls_share_a_connection(api: Toxiproxy, server: FakeToxiproxy) -> None:
    api.version()
    assert len(set(server.clients)) == 1


def test_a_connection_that_the_server_may_be_about_to_end_is_not_used_again(
    api: Toxiproxy, server: FakeToxiproxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toxiproxy, "_IDLE_SECONDS_MAX", 0)
    api.version()
    assert len(set(server.clients)) == 2


def test_a_connection_that_the_server_has_ended_is_made_anew(api: Toxiproxy, server: FakeToxiproxy) -> None:
    server.hangs_up = True
    api.version()
    assert api._link.sock is not None
    readable = select.poll()
    readable.register(api._link.sock, select.POLLIN)
    assert readable.poll(5_000), "the end of the connection has arrived"
    assert api.version() == "2.12.0"


def test_head_and_body_leave_in_one_piece(api: Toxiproxy, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[bytes] = []
    real = HTTPConnection.send

    def send(link: HTTPConnection, data: bytes) -> None:
        sent.append(data)
        real(link, data)

    monkeypatch.setattr(HTTPConnection, "send", send)
    api.add("door", "late", LATE)
    [whole] = sent
    assert whole.startswith(b"POST /proxies/door/toxics ")
    assert whole.endswith(b"}")

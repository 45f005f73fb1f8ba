"""One Toxiproxy server's API, driven through toxiproxy-python.

That client (0.1.1, unmaintained) keeps the server's address in a class, sets no time limits, takes a 500 for an
answer and cannot change a toxic. Here every object speaks to a server of its own over a kept connection, every call
is bounded, every refusal is an error, and what the server says that it does can be read back. A call is part of the
time that a fault takes to hold, so it is sent in one piece: head and body by themselves wake the server twice.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Any

from orjson import dumps, loads
from toxiproxy.api import APIConsumer, validate_response
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

from chaos.errors import CarrierError
from chaos.stack.carrier.toxic import Stream, Toxic

CALL_SECONDS_MAX = 10.0
"""Removing a toxic may wait 5 s in the server for a connection that nobody reads from."""
_IDLE_SECONDS_MAX = 20.0
"""A connection that has been idle for longer is not used again: the server ends it after 60 s, maybe just now."""


@dataclass(frozen=True)
class ProxyState:
    """A proxy as the server says that it is; its toxics by name, in the order of the server."""

    enabled: bool
    toxics: Mapping[str, Toxic]


class Toxiproxy:
    """The API of one server. Calls block and are serialised; objects share nothing."""

    def __init__(self, port: int, host: str = "127.0.0.1", call_seconds_max: float = CALL_SECONDS_MAX) -> None:
        """Remember where; connect when first called."""
        self._place = f"{host}:{port}"
        self._link = _Link(host, port, timeout=call_seconds_max)
        self._api = _consumer(self._link)
        self._lock = threading.Lock()

    def version(self) -> str:
        """What the server calls itself.

        Raises:
            CarrierError: It does not answer, or is no Toxiproxy.
        """
        return str(self._asked("its version", lambda: self._api.get("/version"))["version"])

    def populate(self, name: str, listen: str, upstream: str) -> None:
        """Have this one proxy, enabled; done again it changes nothing.

        Raises:
            CarrierError: The server refused or gave no answer.
        """
        proxy = {"name": name, "listen": listen, "upstream": upstream, "enabled": True}
        self._asked(f"proxy {name}", lambda: self._api.post("/populate", json=[proxy]))

    def state(self, name: str) -> ProxyState:
        """Read a proxy back.

        Raises:
            CarrierError: There is none of this name, or the server gave no answer.
        """
        found = self._asked(f"proxy {name}", lambda: self._api.get(f"/proxies/{name}"))
        try:
            return ProxyState(bool(found["enabled"]), {str(each["name"]): _toxic(each) for each in found["toxics"]})
        except (KeyError, TypeError, ValueError) as error:
            raise self._failed(f"proxy {name}", f"its answer is no proxy ({error!r})") from error

    def enable(self, name: str, enabled: bool) -> None:
        """Listen, or cut every connection of the proxy and refuse new ones.

        Raises:
            CarrierError: The server refused or gave no answer.
        """
        self._asked(f"proxy {name}", lambda: self._api.post(f"/proxies/{name}", json={"enabled": enabled}))

    def add(self, proxy: str, name: str, toxic: Toxic) -> None:
        """Add a toxic behind those that are there, in force for open connections too.

        Raises:
            CarrierError: There is one of this name, the server refused, or it gave no answer.
        """
        document = {
            "name": name,
            "type": toxic.type,
            "stream": toxic.stream,
            "toxicity": toxic.toxicity,
            "attributes": dict(toxic.attributes),
        }
        self._asked(f"toxic {name}", lambda: self._api.post(f"/proxies/{proxy}/toxics", json=document))

    def remove(self, proxy: str, name: str) -> None:
        """Take a toxic away; gone already is fine.

        Raises:
            CarrierError: The server refused or gave no answer.
        """
        with suppress(_Gone):
            self._asked(f"toxic {name}", lambda: self._api.delete(f"/proxies/{proxy}/toxics/{name}"))

    def close(self) -> None:
        """Close the connection."""
        self._link.close()

    def _asked(self, what: str, call: Callable[[], _Answer]) -> Any:
        """Make one call; return its JSON, None where it has none."""
        try:
            with self._lock:
                answer = call()
            if answer.status_code >= HTTPStatus.BAD_REQUEST:  # the client lets a 500 pass
                raise self._failed(
                    what, f"{answer.status_code} {answer.content[:160].decode(errors='replace').strip()}"
                )
            return loads(answer.content) if answer.content else None
        except NotFound as error:
            raise _Gone(f"{self._head(what)}: there is none of this name; see the carrier's log") from error
        except ProxyExists as error:
            raise self._failed(what, "there is one of this name already") from error
        except InvalidToxic as error:
            raise self._failed(what, str(error)) from error
        except TimeoutError as error:
            raise self._failed(what, "no answer in time") from error
        except ValueError as error:
            raise self._failed(what, "the answer is no JSON; is this a Toxiproxy?") from error
        except (OSError, HTTPException) as error:
            raise self._failed(what, "nobody answers there") from error

    def _head(self, what: str) -> str:
        return f"Toxiproxy at {self._place}, {what}"

    def _failed(self, what: str, why: str) -> CarrierError:
        return CarrierError(f"{self._head(what)}: {why}; see the carrier's log")


class _Gone(CarrierError):
    """There is nothing of this name."""


@dataclass(frozen=True)
class _Answer:
    """What the client looks at, under its names."""

    status_code: int
    content: bytes


class _Link(HTTPConnection):
    """One kept connection. No proxy of the environment is asked, for none leads to 127.0.0.1."""

    _unsent: list[bytes] | None = None
    _used = 0.0

    def ask(self, method: str, path: str, body: bytes | None = None) -> _Answer:
        """Make one call; over a new connection where the kept one has ended, or may end any moment."""
        idle, self._used = time.monotonic() - self._used, time.monotonic()
        if self.sock is not None and (idle > _IDLE_SECONDS_MAX or _has_ended(self.sock)):
            self.close()
        try:
            self.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            answer = self.getresponse()
            return _Answer(answer.status, answer.read())
        except BaseException:
            self.close()  # the next answer would be that of this call
            raise

    def request(self, *arguments: Any, **more: Any) -> None:
        """Send head and body together."""
        self._unsent = []
        try:
            super().request(*arguments, **more)
        finally:
            whole, self._unsent = b"".join(self._unsent), None
        self.send(whole)

    def send(self, data: Any) -> None:
        """Send, or keep until the request is whole."""
        if self._unsent is None:
            super().send(data)
        else:
            self._unsent.append(data)


def _has_ended(connection: socket.socket) -> bool:
    """Whether it was closed at the other end, as by a restart of the server; nothing else comes between calls."""
    ears = select.poll()  # of any number of files, unlike select
    ears.register(connection, select.POLLIN)
    return bool(ears.poll(0))


def _consumer(link: _Link) -> type[APIConsumer]:
    """The client's API class with an address, a connection and time limits of its own."""

    class Consumer(APIConsumer):  # type: ignore[misc]  # the client has no types
        """Its callers and its errors are the client's own."""

        @classmethod
        def get(cls, url: str) -> Any:
            return validate_response(link.ask("GET", url))

        @classmethod
        def post(cls, url: str, json: Any) -> Any:
            return validate_response(link.ask("POST", url, dumps(json)))

        @classmethod
        def delete(cls, url: str) -> Any:
            return validate_response(link.ask("DELETE", url))

    return Consumer


def _toxic(document: Mapping[str, Any]) -> Toxic:
    stream: Stream = "upstream" if document["stream"] == "upstream" else "downstream"
    attributes = {str(name): int(value) for name, value in document["attributes"].items()}
    return Toxic(str(document["type"]), stream, attributes, round(float(document["toxicity"]), 6))

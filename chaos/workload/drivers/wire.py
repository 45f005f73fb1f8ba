"""HTTP for drivers: one request, sent once, over connections that one phone has for itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import aiohttp
from yarl import URL

from chaos.errors import NotNow, Refused
from chaos.workload.session import FrontDoor

SHOWN_BYTES = 160


async def send_once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """A middleware for clients of aiohttp that has each request sent once: `ClientSession(middlewares=(send_once,))`.

    By itself aiohttp sends a GET, PUT or DELETE again when a kept connection turns out to be dead, and an attempt that
    the history does not see may not be made.

    Raises:
        aiohttp.ClientOSError: The connection broke; it is unknown whether the service has got the request.
    """
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:  # nothing was sent
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise ConnectionError(*error.args) from error  # of which aiohttp makes a `ClientOSError`


def login(username: str, password: str) -> dict[str, str]:
    """The header of basic authentication; none without a user name."""
    pair = base64.b64encode(f"{username}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"} if username else {}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whole. `request` says what was asked, for messages."""

    request: str
    status: int
    headers: Mapping[str, str]
    content: bytes

    def __str__(self) -> str:
        return f"{self.request}: {self.status} {self.content[:SHOWN_BYTES].decode('utf-8', 'replace')}".rstrip()

    def raise_for(self, *, refused: Collection[int] = (), not_now: Collection[int] = (503,)) -> None:
        """Raise unless it is a success.

        Raises:
            Refused: Its status is one of those that mean: definitely not applied.
            NotNow: ... and may be tried again.
            RuntimeError: Any other status but 2xx; whether a write was applied is unknown.
        """
        if self.status in refused:
            raise Refused(str(self))
        if self.status in not_now:
            raise NotNow(str(self))
        if not 200 <= self.status < 300:
            raise RuntimeError(str(self))


class Wire:
    """The connections of one phone to one service. It connects when first used, and again after `close`.

    Attributes:
        url: Of the service, without a path.
        headers: Go with every request.
    """

    def __init__(self, front_door: FrontDoor, headers: Mapping[str, str] | None = None) -> None:
        """Nothing is connected yet."""
        self.url = f"http://{front_door.host}:{front_door.port}"
        self.headers = dict(headers or {})
        self._client: aiohttp.ClientSession | None = None

    async def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | io.BytesIO = b"",
    ) -> Answer:
        """Send a request once and wait for the whole answer, whatever its status; a redirect is not followed.

        Args:
            method: Of any kind.
            path: As it is to be sent, with its query; what needs quoting is quoted already.
            headers: Besides those of every request.
            body: One that is large is better a `BytesIO`: it is sent piece by piece, and holds up no other phone.

        Raises:
            NotNow: No connection could be made, so nothing was sent.
        """
        url = URL(self.url + path, encoded=True)
        try:
            async with self._connected().request(
                method, url, headers=headers, data=body, allow_redirects=False
            ) as answer:
                return Answer(f"{method} {path}", answer.status, answer.headers, await answer.read())
        except aiohttp.ClientConnectorError as error:
            raise NotNow(f"no connection: {error}") from error

    async def close(self) -> None:
        """Close every connection."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _connected(self) -> aiohttp.ClientSession:
        if self._client is None:
            self._client = aiohttp.ClientSession(
                headers=self.headers,
                timeout=aiohttp.ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                middlewares=(send_once,),
            )
        return self._client

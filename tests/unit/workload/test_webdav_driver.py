"""The driver `webdav` before a server that parses items and writes them anew, as CardDAV and CalDAV servers do."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import pytest
from aiohttp import web

from chaos.errors import NotNow, Refused, UsageError
from chaos.experiment.drivers import DriverChoice
from chaos.workload.drivers import chosen_driver
from chaos.workload.drivers.webdav.session import WebdavOptions, WebdavSession
from chaos.workload.records import digest, make
from chaos.workload.session import Record
from tests.unit.workload.fakes import listening

USER = "u-00"
SECONDS_MAX = 10.0
ALL = ("contact", "calendar", "todo", "photo", "invoice")


def rewritten(item: str) -> str:
    """Lines unfolded, own properties first, and folded anew at another length with another end of line."""
    lines = re.sub(r"\r\n ", "", item).split("\r\n")
    inner = sorted(lines[1:-2], key=lambda line: not line.startswith("X-")) if "VCARD" in item else lines[1:-2]
    return "\n".join(re.sub(r"(?<=.)(.{60})", r"\1\n ", line) for line in [lines[0], *inner, *lines[-2:]])


@dataclass
class Server:
    """Collections by path, and in each the items by path.

    Attributes:
        names_etags: Whether a PUT is answered with an etag.
        asked: Every request, as "METHOD path".
        answers: The statuses of the next requests, whatever they ask for.
        silent_on: An item that no REPORT tells of.
    """

    names_etags: bool = True
    asked: list[str] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    silent_on: str = ""
    logins: set[str] = field(default_factory=set)
    collections: dict[str, dict[str, str]] = field(default_factory=lambda: {"/": {}})

    def keep(self, path: str, item: str) -> None:
        self.collections[parent(path)][path] = item

    def item(self, path: str) -> str | None:
        return self.collections.get(parent(path), {}).get(path)

    async def handle(self, request: web.Request) -> web.Response:
        path, body = request.path, await request.text()
        self.asked.append(f"{request.method} {path}")
        self.logins.add(request.headers.get("Authorization", ""))
        if self.answers:
            return web.Response(status=self.answers.pop(0))
        return getattr(self, request.method.lower())(path, request.headers, body)  # type: ignore[no-any-return]

    def put(self, path: str, headers: Any, body: str) -> web.Response:
        if parent(path) not in self.collections:
            return web.Response(status=409)
        if self._is_other(path, headers):
            return web.Response(status=412)
        self.keep(path, rewritten(body))
        return web.Response(status=201, headers={"ETag": etag(self.item(path))} if self.names_etags else {})

    def delete(self, path: str, headers: Any, _body: str) -> web.Response:
        if self.item(path) is None or self._is_other(path, headers):
            return web.Response(status=404 if self.item(path) is None else 412)
        del self.collections[parent(path)][path]
        return web.Response(status=204)

    def get(self, path: str, _headers: Any, _body: str) -> web.Response:
        item = self.item(path)
        return web.Response(status=404) if item is None else web.Response(text=item, headers={"ETag": etag(item)})

    def mkcol(self, path: str, _headers: Any, _body: str) -> web.Response:
        if path in self.collections or parent(path) not in self.collections:
            return web.Response(status=405 if path in self.collections else 409)
        self.collections[path] = {}
        return web.Response(status=201)

    def propfind(self, path: str, _headers: Any, _body: str) -> web.Response:
        if path not in self.collections:
            return web.Response(status=404)
        kind = "<resourcetype><collection/></resourcetype>"
        own = f"<response><href>{path}</href><propstat><prop>{kind}</prop>{OK}</propstat></response>"
        return multistatus(own + "".join(told(each, item) for each, item in self.collections[path].items()))

    def report(self, path: str, _headers: Any, body: str) -> web.Response:
        space, data = ("carddav", "address-data") if "addressbook" in body else ("caldav", "calendar-data")
        wanted = [each.text or "" for each in ElementTree.fromstring(body).iter("{DAV:}href")]
        return multistatus(
            "".join(
                told(
                    each, self.item(each), f'<d xmlns="urn:ietf:params:xml:ns:{space}">'.replace("<d", f"<{data}"), data
                )
                for each in wanted
                if each != self.silent_on
            )
        )

    def _is_other(self, path: str, headers: Any) -> bool:
        there = self.item(path)
        wanted, none = headers.get("If-Match"), headers.get("If-None-Match") == "*"
        return (wanted is not None and wanted != etag(there)) or (none and there is not None)


OK = "<status>HTTP/1.1 200 OK</status>"


def parent(path: str) -> str:
    return path.rstrip("/").rpartition("/")[0] + "/"


def etag(item: str | None) -> str:
    return f'"{hashlib.sha1((item or "").encode()).hexdigest()}"'


def told(path: str, item: str | None, opened: str = "", data: str = "") -> str:
    if item is None:
        return f"<response><href>{path}</href><status>HTTP/1.1 404 Not Found</status></response>"
    text = f"{opened}{escape(item)}</{data}>" if opened else ""
    tag = f"<getetag>{etag(item)}</getetag>"
    return f"<response><href>{path}</href><propstat><prop>{tag}{text}</prop>{OK}</propstat></response>"


def multistatus(inside: str) -> web.Response:
    return web.Response(status=207, text=f'<?xml version="1.0"?><multistatus xmlns="DAV:">{inside}</multistatus>')


Phone = Callable[[], WebdavSession]


def play(scene: Callable[[Server, Phone], Awaitable[None]], **options: Any) -> None:
    """A scene of a server and a maker of phones of one user."""

    async def act() -> None:
        server, phones = Server(), list[WebdavSession]()
        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/{path:.*}", server.handle)
        driver = type("Mine", (WebdavSession,), {"options": WebdavOptions(**options)})
        async with listening(app) as door:

            def phone() -> WebdavSession:
                phones.append(driver(door, user=USER, device=f"d-{len(phones)}"))
                return phones[-1]

            try:
                await asyncio.wait_for(scene(server, phone), SECONDS_MAX)
            finally:
                for each in phones:
                    await each.close()

    asyncio.run(act())


def record(write: str = "w-1", name: str = "ada-1", kind: str = "contact") -> Record:
    return make(USER, name, write, kind, size_bytes=70_001)


@pytest.mark.parametrize("kind", ALL)
def test_a_record_of_any_type_comes_back_whole_from_a_server_that_writes_it_anew(kind: str) -> None:
    async def scene(_server: Server, phone: Phone) -> None:
        wanted = [record(f"w-{number}", f"ada-{number}", kind) for number in range(12)]
        for each in wanted:
            await phone().put(each, None, "k")
        found = await phone().everything()
        assert sorted(map(digest, found)) == sorted(map(digest, wanted))
        assert len({each.row for each in found}) == len(wanted)

    play(scene)


def test_phones_that_all_find_no_collection_make_it_once_and_none_of_them_fails() -> None:
    async def scene(server: Server, phone: Phone) -> None:
        await asyncio.gather(*(phone().put(record(f"w-{n}", f"ada-{n}"), None, "k") for n in range(8)))
        assert len(server.collections["/u-00/contacts/"]) == 8

    play(scene)


def test_where_no_collection_is_nothing_is_there_and_where_the_server_fails_the_read_does() -> None:
    async def scene(server: Server, phone: Phone) -> None:
        assert await phone().everything() == []
        server.answers = [500]
        with pytest.raises(RuntimeError, match=r"PROPFIND /u-00/contacts/: 500"):
            await phone().everything()
        server.answers = [200]
        with pytest.raises(RuntimeError, match="207"):
            await phone().everything()

    play(scene)


def test_an_item_of_which_the_server_says_nothing_is_a_failed_read_and_no_missing_record() -> None:
    async def scene(server: Server, phone: Phone) -> None:
        await phone().put(record(), None, "k")
        server.silent_on = "/u-00/contacts/ada-1.vcf"
        with pytest.raises(RuntimeError, match=r"says nothing of /u-00/contacts/ada-1\.vcf"):
            await phone().everything()

    play(scene)


def test_a_second_create_and_a_write_on_an_old_base_are_refused() -> None:
    async def scene(_server: Server, phone: Phone) -> None:
        one, two = phone(), phone()
        await one.put(record("w-1"), None, "k")
        with pytest.raises(Refused, match="412"):
            await two.put(record("w-2"), None, "k")
        await one.put(record("w-3"), "w-1", "k")
        for call in (one.put(record("w-4"), "w-1", "k"), one.delete("ada-1", "w-1", "k")):
            with pytest.raises(Refused, match="412"):
                await call
        assert [digest(each) for each in await two.everything()] == [digest(record("w-3"))]
        await two.delete("ada-1", "w-3", "k")
        assert await one.everything() == []

    play(scene)


@pytest.mark.parametrize("names_etags", [True, False], ids=["told", "not told"])
def test_the_etag_of_a_base_that_was_not_told_or_forgotten_is_asked_for(names_etags: bool) -> None:
    async def scene(server: Server, phone: Phone) -> None:
        server.names_etags = names_etags
        one, two = phone(), phone()
        await one.put(record("w-1"), None, "k")
        await two.put(record("w-2"), "w-1", "k")
        asked = len(server.asked)
        with pytest.raises(Refused):
            await one.put(record("w-3"), "w-1", "k")
        # With its etag at hand, the server is asked to compare; without, the item says that it is another one.
        assert [each.split()[0] for each in server.asked[asked:]] == (["PUT"] if names_etags else ["GET"])
        assert [each.write for each in await one.everything()] == ["w-2"]

    play(scene)


def test_without_a_base_the_last_writer_wins_and_a_create_that_is_tried_again_overwrites_nothing() -> None:
    async def scene(_server: Server, phone: Phone) -> None:
        one, two = phone(), phone()
        await one.put(record("w-1"), None, "k")
        await two.everything()
        await two.put(record("w-2"), None, "k")
        with pytest.raises(Refused, match="412"):
            await one.put(record("w-1"), None, "k")
        assert [each.write for each in await one.everything()] == ["w-2"]
        await one.delete("ada-1", None, "k")
        assert await two.everything() == []

    play(scene)


@pytest.mark.parametrize(
    "damaged",
    ["", "\0" * 40, "BEGIN:VCARD\nX-HOLDFAST:e30\nEND:VCARD", "BEGIN:VCARD\nX-HOLDFAST:{}\nEND:VCARD", "half"],
    ids=["empty", "zeros", "no fields", "no base64", "torn"],
)
def test_a_damaged_item_is_a_record_with_the_text_that_is_there(damaged: str) -> None:
    async def scene(server: Server, phone: Phone) -> None:
        await phone().put(record("w-1", "ada-1"), None, "k")
        await phone().put(record("w-2", "ben-2"), None, "k")
        path = "/u-00/contacts/ada-1.vcf"
        text = (server.item(path) or "")[:200] if damaged == "half" else damaged.replace("\0", "0")
        server.keep(path, text)
        found = {each.name: each for each in await phone().everything()}
        assert found["ada-1"].row == path
        assert digest(found["ada-1"]) != digest(record("w-1", "ada-1"))
        assert digest(found["ben-2"]) == digest(record("w-2", "ben-2"))

    play(scene)


def test_a_busy_server_is_not_now_and_a_failing_one_is_unknown() -> None:
    async def scene(server: Server, phone: Phone) -> None:
        for status in (503, 429):
            server.answers = [status]
            with pytest.raises(NotNow):
                await phone().put(record(), None, "k")
        for status in (500, 207, 302):  # the second tells of each resource by itself
            server.answers = [status]
            with pytest.raises(RuntimeError, match=str(status)) as unknown:
                await phone().put(record(), None, "k")
            assert not isinstance(unknown.value, Refused)

    play(scene)


def test_each_user_logs_in_or_one_login_is_for_all() -> None:
    async def scene(server: Server, phone: Phone) -> None:
        await phone().put(record(), None, "k")
        assert server.collections.keys() >= {"/dav/", "/dav/u-00-cards/"}
        assert server.logins == {"Basic aG9sZGZhc3Q6czNjcmV0"}

    play(scene, user="holdfast", password="s3cret", contacts="/dav/{user}-cards/")


@pytest.mark.parametrize("path", ["contacts/", "/{user}", "/{name}/", "/a b/"])
def test_a_path_that_is_none_of_a_collection_is_refused_at_its_place(path: str) -> None:
    with pytest.raises(UsageError, match=r"driver\.webdav\.contacts: .* is no path of a collection"):
        chosen_driver(DriverChoice("webdav", {"contacts": path}), None)

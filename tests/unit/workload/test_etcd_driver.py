"""The driver `etcd` before a gateway of a few lines; tests/integration/test_stores.py has it before the real one."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from chaos.errors import NotNow, Refused
from chaos.workload.drivers import etcd
from chaos.workload.drivers.etcd import EtcdOptions, EtcdSession
from chaos.workload.records import make
from chaos.workload.session import FrontDoor
from chaos.workload.values import packed

SECONDS_MAX = 10.0
ONE = make("u-00", "ada-1", "w-1", "todo")
TWO = make("u-00", "ada-1", "w-2", "todo")
HEADER = {"header": {"revision": "7"}}
DONE = {**HEADER, "succeeded": True, "responses": [{"response_put": HEADER}]}


def code(number: int, text: str) -> dict[str, Any]:
    return {"error": text, "message": text, "code": number}


@dataclass
class Gateway:
    """Answers with the next of `answers`, each a status and a document.

    Attributes:
        asked: All requests, each as its path, its document and its token.
    """

    answers: list[tuple[int, Any]] = field(default_factory=list)
    asked: list[tuple[str, Any, str]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.path, await request.json(), request.headers.get("Authorization", "")))
        status, document = self.answers.pop(0)
        return web.json_response(document, status=status)


def play(scene: Callable[[EtcdSession, Gateway], Awaitable[None]], options: EtcdOptions | None = None) -> None:
    async def act() -> None:
        gateway = Gateway()
        app = web.Application()
        app.router.add_post("/{path:.*}", gateway.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        driver = type("Mine", (EtcdSession,), {"options": options or EtcdOptions()})
        session = driver(FrontDoor("127.0.0.1", runner.addresses[0][1]), user="u-00", device="d-00")
        try:
            await scene(session, gateway)
        finally:
            await session.close()
            await runner.cleanup()

    asyncio.run(asyncio.wait_for(act(), SECONDS_MAX))


def row(name: str, value: bytes, revision: int) -> dict[str, str]:
    key = base64.b64encode(f"holdfast/u-00/{name}".encode()).decode()
    return {"key": key, "value": base64.b64encode(value).decode(), "mod_revision": str(revision)}


def test_an_update_compares_the_revision_that_the_write_got() -> None:
    async def scene(session: EtcdSession, gateway: Gateway) -> None:
        gateway.answers = [(200, DONE), (200, HEADER)]
        await session.put(ONE, None, "k-1")
        with pytest.raises(Refused, match="no longer at w-1") as refused:
            await session.put(TWO, "w-1", "k-2")
        assert not isinstance(refused.value, NotNow)
        create, update = (document["compare"] for _, document, _ in gateway.asked)
        assert [(each["target"], each["create_revision"]) for each in create] == [("CREATE", "0")]
        assert [(each["target"], each["mod_revision"]) for each in update] == [("MOD", "7")]

    play(scene)


def test_a_record_that_was_read_is_overwritten_where_the_last_write_wins() -> None:
    async def scene(session: EtcdSession, gateway: Gateway) -> None:
        gateway.answers = [(200, {**HEADER, "kvs": [row("ada-1", packed(ONE), 3)]}), (200, DONE)]
        await session.everything()
        await session.put(TWO, None, "k-1")
        assert gateway.asked[-1][1]["compare"] == []

    play(scene)


def test_a_base_that_this_phone_never_saw_is_refused_without_a_request() -> None:
    async def scene(session: EtcdSession, gateway: Gateway) -> None:
        for call in (session.put(TWO, "w-1", "k-1"), session.delete("ada-1", "w-1", "k-2")):
            with pytest.raises(Refused, match="never seen"):
                await call
        assert gateway.asked == []

    play(scene)


def test_pages_are_turned_by_the_last_key_and_all_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(session: EtcdSession, gateway: Gateway) -> None:
        records = [make("u-00", f"ada-{number}", f"w-{number}", "todo") for number in range(5)]
        rows = [row(each.name, packed(each), 10 + number) for number, each in enumerate(records)]
        pages: list[dict[str, Any]] = [
            {"kvs": rows[:2], "more": True},
            {"kvs": rows[2:4], "more": True},
            {"kvs": rows[4:]},
        ]
        gateway.answers = [(200, {**HEADER, **page}) for page in pages]
        assert [each.name for each in await session.everything()] == [each.name for each in records]
        starts = [base64.b64decode(document["key"]) for _, document, _ in gateway.asked]
        assert starts == [b"holdfast/u-00/", b"holdfast/u-00/ada-1\0", b"holdfast/u-00/ada-3\0"]
        assert {document["range_end"] for _, document, _ in gateway.asked} == {
            base64.b64encode(b"holdfast/u-000").decode()
        }

    monkeypatch.setattr(etcd, "PAGE", 2)
    play(scene)


def test_a_page_that_fails_is_no_full_read() -> None:
    async def scene(session: EtcdSession, gateway: Gateway) -> None:
        gateway.answers = [
            (200, {**HEADER, "kvs": [row("ada-1", packed(ONE), 3)], "more": True}),
            (503, code(14, "etcdserver: leader changed")),
        ]
        with pytest.raises(RuntimeError, match="leader changed"):
            await session.everything()

    play(scene)


@pytest.mark.parametrize(
    ("status", "document"),
    [
        (503, code(14, "etcdserver: request timed out")),
        (503, code(14, "etcdserver: request timed out, possibly due to previous leader failure")),
        (429, code(8, "etcdserver: mvcc: database space exceeded")),
        (500, code(2, "raft: stopped")),
        (504, code(4, "context deadline exceeded")),
        (502, "Bad Gateway"),
        (200, {"succeeded": True}),
        (200, []),
    ],
)
def test_what_may_have_been_applied_is_unknown(status: int, document: object) -> None:
    """etcd proposes a write before it gives up waiting, and applies one that uses up its space."""

    async def scene(session: EtcdSession, gateway: Gateway) -> None:
        gateway.answers = [(status, document)]
        with pytest.raises(RuntimeError):
            await session.put(ONE, None, "k-1")

    play(scene)


@pytest.mark.parametrize(
    ("status", "document", "error"),
    [
        (429, code(8, "etcdserver: too many requests"), NotNow),
        (401, code(16, "etcdserver: invalid auth token"), NotNow),
        (400, code(3, "etcdserver: request is too large"), Refused),
        (429, code(8, "grpc: received message larger than max (2600020 vs. 2097152)"), Refused),
    ],
)
def test_what_was_turned_away_is_not_applied(status: int, document: object, error: type[Exception]) -> None:
    async def scene(session: EtcdSession, gateway: Gateway) -> None:
        gateway.answers = [(status, document)]
        with pytest.raises(Refused) as refused:
            await session.put(ONE, None, "k-1")
        assert type(refused.value) is error

    play(scene)


def test_who_has_a_name_asks_with_a_token_and_fetches_another_one_when_it_is_no_longer_good() -> None:
    async def scene(session: EtcdSession, gateway: Gateway) -> None:
        gateway.answers = [
            (200, {**HEADER, "token": "one"}),
            (200, DONE),
            (401, code(16, "etcdserver: invalid auth token")),
            (200, {**HEADER, "token": "two"}),
            (200, DONE),
        ]
        await session.put(ONE, None, "k-1")
        with pytest.raises(NotNow):
            await session.put(TWO, "w-1", "k-2")
        await session.put(TWO, "w-1", "k-2")
        assert gateway.asked[0] == ("/v3/auth/authenticate", {"name": "notes", "password": "secret"}, "")
        assert [token for path, _, token in gateway.asked if path == "/v3/kv/txn"] == ["one", "one", "two"]

    play(scene, EtcdOptions(user="notes", password="secret"))


def test_a_delete_of_what_is_not_there_is_refused() -> None:
    async def scene(session: EtcdSession, gateway: Gateway) -> None:
        gateway.answers = [(200, {**DONE, "responses": [{"response_delete_range": HEADER}]})]
        with pytest.raises(Refused, match="not there"):
            await session.delete("ada-1", None, "k-1")

    play(scene)

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web

from chaos.errors import NotNow, Refused
from chaos.workload.drivers.http import HttpSession
from chaos.workload.drivers.wire import send_once
from chaos.workload.records import make, observe
from chaos.workload.session import FrontDoor
from tests.unit.workload.fakes import Service, served

SECONDS_MAX = 10.0


def play(scene: Callable[[HttpSession, Service], Awaitable[None]]) -> None:
    async def scenery() -> None:
        service = Service()
        async with served(service) as front_door:
            session = HttpSession(front_door, user="u-00", device="d-00")
            try:
                await asyncio.wait_for(scene(session, service), SECONDS_MAX)
            finally:
                await session.close()

    asyncio.run(scenery())


@pytest.mark.parametrize("kind", ["contact", "calendar", "todo", "photo"])
def test_what_is_written_is_read_back_whole_by_both_reads(kind: str) -> None:
    async def scene(session: HttpSession, _service: Service) -> None:
        for number in range(20):
            record = make("u-00", f"ada-{number}", f"w-{number}", kind, size_bytes=60_000)
            ack = await session.put(record, None, f"k-{number}")
            assert ack.by == "fake"
            found = [one for one in await session.everything() if one.name == record.name]
            delta = [one for one in (await session.changes(None)).records if one.name == record.name]
            assert [observe(one).hash for one in found + delta] == [observe(record).hash] * 2

    play(scene)


def test_a_warning_that_comes_with_an_acknowledgement_is_passed_on() -> None:
    async def scene(session: HttpSession, service: Service) -> None:
        service.warning = "the standby has not confirmed"
        record = make("u-00", "ada-1", "w-1", "contact")
        assert (await session.put(record, None, "k-1")).warning == service.warning
        assert (await session.delete("ada-1", "w-1", "k-2")).warning == service.warning

    play(scene)


def test_a_conflict_is_refused_and_an_overloaded_service_is_not_now() -> None:
    async def scene(session: HttpSession, service: Service) -> None:
        one = make("u-00", "ada-1", "w-1", "todo")
        await session.put(one, None, "k-1")
        await session.put(make("u-00", "ada-1", "w-2", "todo"), "w-1", "k-2")
        with pytest.raises(Refused) as refused:
            await session.put(make("u-00", "ada-1", "w-3", "todo"), "w-1", "k-3")
        assert not isinstance(refused.value, NotNow)
        service.trouble.append("busy")
        with pytest.raises(NotNow):
            await session.delete("ada-1", "w-2", "k-4")

    play(scene)


def test_a_kept_connection_that_breaks_is_no_hidden_second_attempt() -> None:
    async def scene(session: HttpSession, service: Service) -> None:
        await session.put(make("u-00", "ada-1", "w-1", "todo"), None, "k-1")
        service.trouble.append("lost answer")
        # aiohttp would send this PUT again on a new connection, and the history would show one attempt.
        with pytest.raises(Exception, match=r"disconnected|reset") as unknown:
            await session.put(make("u-00", "ada-1", "w-2", "todo"), "w-1", "k-2")
        assert not isinstance(unknown.value, Refused)
        assert service.keys == ["k-1", "k-2"]

    play(scene)


def test_nobody_at_the_front_door_is_not_now_since_nothing_was_sent() -> None:
    async def scene() -> None:
        session = HttpSession(FrontDoor("127.0.0.1", 1), user="u-00", device="d-00")
        for call in (
            session.put(make("u-00", "ada-1", "w-1", "photo", size_bytes=9), None, "k"),
            session.changes(None),
            session.everything(),
        ):
            with pytest.raises(NotNow):
                await call
        await session.close()

    asyncio.run(scene())


def test_a_base_that_this_phone_never_saw_is_refused_without_a_request() -> None:
    async def scene(session: HttpSession, service: Service) -> None:
        with pytest.raises(Refused, match="never seen"):
            await session.put(make("u-00", "ada-1", "w-2", "todo"), "w-1", "k")
        assert service.keys == []

    play(scene)


def test_a_session_can_be_used_again_after_its_connections_were_closed() -> None:
    async def scene(session: HttpSession, _service: Service) -> None:
        await session.put(make("u-00", "ada-1", "w-1", "todo"), None, "k-1")
        await session.close()
        await session.put(make("u-00", "ada-1", "w-2", "todo"), "w-1", "k-2")

    play(scene)


@pytest.mark.parametrize("reset", [True, False], ids=["by a reset", "by a plain end"])
@pytest.mark.parametrize("kept", [True, False], ids=["on a kept connection", "on a new one"])
def test_a_reply_that_was_cut_leaves_the_outcome_unknown_and_is_no_second_attempt(kept: bool, reset: bool) -> None:
    async def scene() -> None:
        asked: list[bytes] = []

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while head := await reader.readuntil(b"\r\n\r\n"):
                asked.append(head.partition(b" ")[0])
                await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))
                if asked[-1] == b"PUT" or not kept:
                    break
                writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{"revision":"1"}')
            if reset:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            session = HttpSession(FrontDoor(*server.sockets[0].getsockname()), user="u-00", device="d-00")
            if kept:
                await session.put(make("u-00", "ada-1", "w-1", "todo"), None, "k-1")
            with pytest.raises(aiohttp.ClientError) as unknown:
                await session.put(make("u-00", "ada-1", "w-2", "todo"), "w-1" if kept else None, "k-2")
            assert not isinstance(unknown.value, Refused), "what is not refused is recorded as info"
            assert asked == ([b"POST", b"PUT"] if kept else [b"POST"])
            await session.close()

    asyncio.run(asyncio.wait_for(scene(), SECONDS_MAX))


def test_rows_without_what_belongs_to_them_are_passed_on_as_they_are_for_the_check_to_judge() -> None:
    whole = make("u-00", "ada-1", "w-1", "contact")
    good = {"row": 7, "name": "ada-1", "type": "contact", "write": "w-1", "revision": "1", "fields": dict(whole.fields)}
    rows: list[object] = [
        {**good, "blob": ""},
        {**good, "fields": None, "blob": None},
        dict.fromkeys(good),
        {},
        None,
        7,
        {"blob": []},
    ]

    async def scenery() -> None:
        async def answer(_request: web.Request) -> web.Response:
            return web.json_response({"records": rows, "deleted": [], "cursor": "1"})

        app = web.Application()
        app.router.add_get("/records", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        session = HttpSession(FrontDoor("127.0.0.1", runner.addresses[0][1]), user="u-00", device="d-00")
        try:
            for records in (await session.everything(), (await session.changes(None)).records):
                assert len(records) == len(rows)
                first, second, *others = [observe(record, "u-00") for record in records]
                assert (first.hash, first.row) == (observe(whole).hash, "7")
                assert (second.record, second.write) == ("ada-1", "w-1")
                assert second.hash != first.hash
                assert {(row.owner, row.record, row.write) for row in others} == {("u-00", "", "")}
        finally:
            await session.close()
            await runner.cleanup()

    asyncio.run(asyncio.wait_for(scenery(), SECONDS_MAX))


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_request_whose_kept_connection_breaks_is_not_sent_again(method: str) -> None:
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The first request of a connection is answered, the second one breaks it."""
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        with contextlib.suppress(asyncio.IncompleteReadError):
            asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    async def act() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            host, port = server.sockets[0].getsockname()[:2]
            async with aiohttp.ClientSession(middlewares=(send_once,)) as client:
                await client.request(method, f"http://{host}:{port}/")
                with pytest.raises(aiohttp.ClientOSError):
                    await client.request(method, f"http://{host}:{port}/")

    asyncio.run(asyncio.wait_for(act(), 10))
    assert len(asked) == 2

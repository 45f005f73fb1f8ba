from __future__ import annotations

import asyncio
import gc
import socket
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from unittest.mock import Mock

import pytest

from chaos.workload.reads import relay as relays
from chaos.workload.reads.relay import Relay, Relays
from chaos.workload.session import FrontDoor

Ask = Callable[[bytes], Awaitable[None]]


@asynccontextmanager
async def talk() -> AsyncIterator[tuple[Relay, Ask, asyncio.StreamReader]]:
    """A relay to a service that returns what it hears; a way to ask through it and wait until that has an answer."""
    heard = asyncio.Queue[None]()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while said := await reader.read(100):
            writer.write(said)
            heard.put_nowait(None)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    try:
        with Relays().to(FrontDoor(*server.sockets[0].getsockname())) as relay:
            answers, asking = await asyncio.open_connection(relay.front_door.host, relay.front_door.port)

            async def ask(words: bytes) -> None:
                asking.write(words)
                await heard.get()

            yield relay, ask, answers
            asking.close()
    finally:
        server.close()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.wait([asyncio.create_task(asyncio.sleep(0))])


def play(scene: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scene(), 5))


def test_replies_that_are_kept_back_come_in_their_order_when_they_are_let_go() -> None:
    async def scene() -> None:
        async with talk() as (relay, ask, answers):
            relay.hold()
            reading = asyncio.create_task(answers.readexactly(7))
            await ask(b"one ")
            await until(lambda: relay.keeps_one)
            await ask(b"two")
            assert not reading.done()
            relay.let_go()
            assert await reading == b"one two"
            assert not relay.keeps_one

    play(scene)


def test_as_many_replies_as_wanted_pass_before_one_is_kept_back() -> None:
    async def scene() -> None:
        async with talk() as (relay, ask, answers):
            relay.hold(after=1)
            await ask(b"one")
            assert await answers.readexactly(3) == b"one"
            assert not relay.keeps_one
            await ask(b"two")
            await until(lambda: relay.keeps_one)
            relay.let_go()
            assert await answers.readexactly(3) == b"two"

    play(scene)


def test_replies_are_let_go_by_themselves_where_a_driver_that_blocks_lets_nobody_do_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relays, "HOLD_SECONDS", 0.02)

    async def scene() -> None:
        async with talk() as (relay, ask, answers):
            relay.hold()
            await ask(b"one")
            assert await answers.readexactly(3) == b"one"
            assert not relay.holds

    play(scene)


def test_who_was_let_in_just_before_the_end_does_not_come_to_the_service_after_it() -> None:
    async def scene() -> None:
        relay = Relay(FrontDoor("127.0.0.1", 1))
        await relay.open()
        await relay.close()
        let_in = Mock()
        await relay._talk("", Mock(), let_in)
        let_in.transport.abort.assert_called_once_with()
        assert relay.refused == "", "nobody was asked"

    play(scene)


def test_a_client_that_is_being_let_in_when_the_relay_ends_is_sent_away() -> None:
    async def scene() -> None:
        relay = Relay(FrontDoor("127.0.0.1", 1))
        await relay.open()
        with socket.create_connection((relay.front_door.host, relay.front_door.port)) as client:
            for _ in range(2):  # turns of the loop: then asyncio has its socket, and no connection of it yet
                await asyncio.sleep(0)
            await relay.close()
            client.setblocking(False)
            assert await asyncio.get_running_loop().sock_recv(client, 1) == b"", "its connection has ended"

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        play(scene)
        gc.collect()
    assert [str(each.message) for each in warned] == []
